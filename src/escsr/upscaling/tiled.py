"""Models that are known by what they do alone, on pictures of any size: in overlapping tiles, not exact."""

from __future__ import annotations

import logging
import math
from numbers import Integral

import torch
from torch import Tensor

from escsr.errors import ConfigError, DeviceError
from escsr.models.foreign import ForeignModel
from escsr.networks.layers import Size
from escsr.runtime.choices import Precision
from escsr.runtime.fork import claim_process, claim_threads
from escsr.runtime.memory import is_out_of_memory
from escsr.runtime.precision import PrecisionPolicy
from escsr.runtime.progress import OnProgress, part_of
from escsr.streaming import Memory, Span, Tile
from escsr.upscaling.reach import Reach, measure_reach, rounded_up
from escsr.upscaling.self_ensemble import self_ensembled

__all__ = ["TiledInference"]

_TILE_SIZES = {"cpu": 256}
_DEVICE_TILE_SIZE = 512
_SMALLEST_TILE = 64
"""Where memory runs out, tiles are halved down to this, LR pixels."""

_PICTURE_BYTES = 3 * (2 * 4 + 2)
"""Of an LR pixel: its colours as read from a file, and twice as float32."""

_LOG = logging.getLogger(__name__)


class TiledInference:
    """Runs a model of another architecture; a `SuperResolver`, with the same doors as `Inference`.

    A picture that is not larger than a tile is computed at once. A larger one is cut into tiles, each of
    which is computed with a margin that is measured on the model: as far as an edge is felt. What it pools
    further than that differs from tile to tile, so the result is not exactly that of the whole picture;
    `remarks` says so. Threads may share it.

    Args:
        model: The model, on the device that computes.
        name: What tables call it.
        precision: See `Precision`; "auto" is float32 where its makers allow no half precision.
        tile_size: Tile side, LR pixels, rounded up to the model's grid; None for 256 on a CPU and 512
            elsewhere.

    Raises:
        ConfigError: A setting is impossible.
    """

    def __init__(
        self,
        model: ForeignModel,
        *,
        name: str = "network",
        precision: Precision = "auto",
        tile_size: int | None = None,
    ) -> None:
        if tile_size is not None and not (_is_whole(tile_size) and tile_size >= 1):
            raise ConfigError(f"tile_size must be a positive whole number, not {tile_size!r}.")
        self.model, self.network, self.name, self.scale = model, model.module, name, model.scale
        self.pad_multiple = 1  # it pads by itself
        self.device = next(model.module.parameters()).device
        if precision == "auto" and not model.holds_half:
            precision = "float32"
        self.precision_policy = PrecisionPolicy(self.device, precision)
        self._tile_size = tile_size or _TILE_SIZES.get(self.device.type, _DEVICE_TILE_SIZE)
        self._reach: Reach | None = None

    @property
    def usual_tile_size(self) -> int:
        """Tile side that was asked for, or the usual one, LR pixels; smaller after memory ran out."""
        return max(self._tile_size, self.model.smallest)

    @property
    def reach(self) -> Reach:
        """Margin and grid of tiles, measured at first use; see `measure_reach`."""
        if self._reach is None:
            self._reach = measure_reach(self.model)
            _LOG.info("%s: tiles get a margin of %d pixels.", self.name, self._reach.halo)
        return self._reach

    def run(
        self,
        lr: Tensor,
        *,
        size: Size | None = None,
        self_ensemble: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Tensor:
        """Upscales pictures.

        Args:
            lr: (B, 3, H, W), float32, in [0, 1], in host memory.
            size: Output rows and columns; None, or those of its scale.
            self_ensemble: Mean over the eight flips and quarter turns.
            on_progress: Called with the share of the work done, in [0, 1].

        Returns:
            (B, 3, rH, rW), float32, in [0, 1], in host memory.

        Raises:
            ConfigError: The size is another, or `lr` holds other than numbers.
            DeviceError: The memory does not suffice.
            CheckpointError: The model's results are not numbers.
        """
        claim_process()
        claim_threads()
        if not lr.isfinite().all():
            raise ConfigError("The picture holds values that are not finite numbers.")
        out_size = self.scale * lr.shape[-2], self.scale * lr.shape[-1]
        if size not in (None, out_size):
            raise ConfigError(f"This model upscales by {self.scale}; it has no other size.")
        if self_ensemble:
            return self_ensembled(
                lambda lr, _, report: self._run_all(lr, report), lr, out_size, on_progress
            )
        return self._run_all(lr, on_progress)

    def __call__(self, lr: Tensor, *, size: Size | None = None) -> Tensor:
        """`run` as a `SuperResolver`."""
        return self.run(lr, size=size)

    def predict(self, size: Size, out_size: Size, *, batch: int = 1) -> Memory:
        """Memory of the picture and its result alone: what the model takes for a tile is not known."""
        picture = batch * (_PICTURE_BYTES * math.prod(size) + 3 * 4 * math.prod(out_size))
        return Memory(feature_maps=0, picture=picture, workspace=0)

    def remarks(self, size: Size) -> tuple[str, ...]:
        """What is not exact in the result of a picture of some rows and columns, in words."""
        if not self._needs_tiles(size):
            return ()
        beyond = "" if self.reach.is_bounded else ", which it looks beyond"
        return (
            f"computed in tiles of {self._side} pixels with {self.reach.halo} around them{beyond}: nearly, "
            "but not exactly as the whole picture",
        )

    @property
    def _side(self) -> int:
        """Of a tile, on the model's grid."""
        return rounded_up(self.usual_tile_size, self.reach.grid)

    def _needs_tiles(self, size: Size) -> bool:
        return not self.model.tiles_itself and max(size) > self.usual_tile_size

    def _run_all(self, lr: Tensor, on_progress: OnProgress | None) -> Tensor:
        parts = [
            self._run_one(picture[None], part_of(on_progress, index, len(lr)))
            for index, picture in enumerate(lr)
        ]
        return torch.cat(parts)

    def _run_one(self, lr: Tensor, on_progress: OnProgress | None) -> Tensor:
        """(1, 3, H, W) → (1, 3, rH, rW), with smaller tiles where memory runs out."""
        while True:
            try:
                if self._needs_tiles((lr.shape[-2], lr.shape[-1])):
                    return self._run_tiles(lr, on_progress)
                sr = self._compute(lr)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(error)
                continue
            if on_progress is not None:
                on_progress(1.0)
            return sr

    def _run_tiles(self, lr: Tensor, on_progress: OnProgress | None) -> Tensor:
        height, width = lr.shape[-2:]
        r, margin = self.scale, self.reach.halo
        sr = lr.new_empty(1, 3, r * height, r * width)
        tiles = _grid(height, width, self._side)
        for index, (rows, columns) in enumerate(tiles):
            outer = rows.widened(margin, height), columns.widened(margin, width)
            part = self._compute(lr[..., outer[0].slice, outer[1].slice])
            inner = _within(rows, outer[0], r), _within(columns, outer[1], r)
            sr[..., _scaled(rows, r), _scaled(columns, r)] = part[..., inner[0], inner[1]]
            if on_progress is not None:
                on_progress((index + 1) / len(tiles))
        return sr

    def _compute(self, lr: Tensor) -> Tensor:
        return self.precision_policy(self.model, (lr.contiguous().to(self.device),)).cpu()

    def _halve(self, error: BaseException) -> None:
        smaller = self.usual_tile_size // 2
        if smaller < max(_SMALLEST_TILE, self.model.smallest) or self.model.tiles_itself:
            raise DeviceError(
                f"{self.device} has too little memory for {self.model.name}, even for tiles of "
                f"{self.usual_tile_size}; free some or use another device."
            ) from error
        self._tile_size = smaller
        _LOG.warning("%s is out of memory: tiles of %d from now on.", self.device, smaller)


def _grid(height: int, width: int, tile_size: int) -> list[Tile]:
    def spans(side: int) -> list[Span]:
        return [Span(start, min(side, start + tile_size)) for start in range(0, side, tile_size)]

    return [(rows, columns) for rows in spans(height) for columns in spans(width)]


def _scaled(span: Span, factor: int) -> slice:
    return slice(factor * span.start, factor * span.stop)


def _within(span: Span, outer: Span, factor: int) -> slice:
    return slice(factor * (span.start - outer.start), factor * (span.stop - outer.start))


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
