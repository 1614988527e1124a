"""How much memory a run takes, said before it begins."""

from __future__ import annotations

from dataclasses import dataclass

from escsr.networks.config import NetworkConfig
from escsr.streaming.feature_store import FeatureStorage
from escsr.streaming.tiles import cut_side

__all__ = ["Memory", "predict_memory"]

_FLOAT = 4
_MAPS = 3
"""FeatureStore alive at once: the block's input x, the stream y and the ConvFFN's output z."""

_LTE_HIDDEN, _LTE_CHUNK = 256, 32768


@dataclass(frozen=True)
class Memory:
    """Bytes that a run takes beside the network.

    Attributes:
        feature_maps: Feature maps of the whole picture, in host memory or in a file.
        picture: The picture and its result as float32, in host memory.
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
    lr, sr = 3 * _FLOAT * pixels, 3 * _FLOAT * out_pixels
    rows, columns = (max(map(len, cut_side(side, tile_size, config.window_size))) for side in size)
    body, tail = _workspace(config, batch * rows * columns, out_pixels / pixels)
    if (rows, columns) == size:
        return Memory(feature_maps=0, picture=lr + sr, workspace=max(body, tail))
    one_map = pixels * config.dim * (2 if feature_storage == "float16" else _FLOAT)
    stages = Memory(feature_maps=_MAPS * one_map, picture=lr, workspace=body)
    end = Memory(feature_maps=one_map, picture=lr + sr, workspace=tail)
    return max(stages, end, key=lambda memory: memory.total)


def _workspace(config: NetworkConfig, pixels: int, enlargement: float) -> tuple[int, int]:
    """Bytes for a tile in the blocks and in the upsampler.

    The factors are measured (`benchmarks/streaming_memory.py`): attention, with its copies of q, k, v,
    takes most in a block, besides three forms of the bias matrix.
    """
    bias = 3 * config.num_heads * config.window_size**4
    body = 16 * config.dim * pixels + bias
    if config.upsampler == "nearest_conv":
        tail: float = 5 * 16 * config.dim * pixels
    elif config.upsampler == "lte":
        tail = (2 * _LTE_HIDDEN + 9 * enlargement) * pixels + 8 * _LTE_HIDDEN * _LTE_CHUNK
    else:
        tail = (3 * config.dim + 9 * enlargement) * pixels
    return _FLOAT * body, int(_FLOAT * tail)
