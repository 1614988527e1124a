"""How much memory a run takes, said before it begins."""

from __future__ import annotations

from dataclasses import dataclass

from escsr.networks.config import NetworkConfig
from escsr.networks.esc import UPSAMPLERS
from escsr.networks.inference_form import kept_bias_bytes
from escsr.streaming.feature_store import FeatureStorage
from escsr.streaming.tiles import cut_side

__all__ = ["Memory", "predict_memory"]

_FLOAT = 4
_MAPS = 3
"""Alive at once: the block's input x, the stream y and the ConvFFN's output z."""

_SOURCE_BYTES = 3 * (2 * _FLOAT + 2)
"""Of an LR pixel: its colours as read from a file, and twice as float32."""

_ALLOCATOR = 64 * 2**20
"""Bytes that the allocator holds beside; measured, as the factors of `_blocks` are."""


@dataclass(frozen=True)
class Memory:
    """Bytes that a run takes beside the network.

    Attributes:
        feature_maps: Feature maps of the whole picture, in host memory or in a file.
        picture: The picture as read, in float32 and as the network takes it, and its result in float32, in
            host memory.
        workspace: What the network takes while it computes a tile, on its device.
    """

    feature_maps: int
    picture: int
    workspace: int

    @property
    def total(self) -> int:
        """All of it, which is what the host needs where the device is its CPU."""
        return self.feature_maps + self.picture + self.workspace


def predict_memory(
    config: NetworkConfig,
    size: tuple[int, int],
    out_size: tuple[int, int],
    *,
    tile_size: int,
    batch: int = 1,
    feature_storage: FeatureStorage = "float32",
) -> Memory:
    """Predicts the peak of a run.

    While stages run there are three maps of C channels (768 B an LR pixel for C = 64) and the picture;
    at the end one map, the picture and the result. The larger of the two counts.

    Args:
        config: The network's shape.
        size: LR rows and columns.
        out_size: Rows and columns of the result.
        tile_size: Side of a tile, LR pixels.
        batch: Pictures at once.
        feature_storage: How feature maps are kept.

    Returns:
        Bytes of each kind at the peak.
    """
    pixels, out_pixels = batch * size[0] * size[1], batch * out_size[0] * out_size[1]
    lr, sr = _SOURCE_BYTES * pixels, 3 * _FLOAT * out_pixels
    rows, columns = (max(map(len, cut_side(side, tile_size, config.window_size))) for side in size)
    tile = batch * rows * columns
    kept = kept_bias_bytes(config) + _ALLOCATOR
    body = kept + _blocks(config, tile)
    tail = kept + int(UPSAMPLERS[config.upsampler].workspace(config, tile, tile * out_pixels / pixels))
    if (rows, columns) == size:
        return Memory(feature_maps=0, picture=lr + sr, workspace=max(body, tail))
    one_map = pixels * config.dim * (2 if feature_storage == "float16" else _FLOAT)
    stages = Memory(feature_maps=_MAPS * one_map, picture=lr, workspace=body)
    end = Memory(feature_maps=one_map, picture=lr + sr, workspace=tail)
    return max(stages, end, key=lambda memory: memory.total)


def _blocks(config: NetworkConfig, pixels: int) -> int:
    """Bytes for a tile in the blocks.

    The factors are measured (`benchmarks/streaming_memory.py`): attention, with its copies of q, k, v,
    takes most in a block, besides two forms of the bias matrix and one that is not kept. A bias of low rank
    has no matrix; its factors make q, k, v and the result wider.
    """
    if config.bias_rank is not None:
        return _FLOAT * (16 * config.dim + 4 * config.num_heads * config.bias_rank) * pixels
    forms = 2 if kept_bias_bytes(config) else 3
    return _FLOAT * (16 * config.dim * pixels + forms * config.num_heads * config.window_size**4)
