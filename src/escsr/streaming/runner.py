"""The runner: the network runs stage by stage over tiles, never tile by tile through all.

Ordinary tiling is wrong for these networks: windows fall off their grid and the dynamic kernels pool
each tile instead of the picture. Here the maps of the whole picture stay in host memory, each stage
runs over all tiles before the next begins, and pooled means are summed over the tiles in float64. The
result equals the whole-picture forward up to the order of floating-point sums.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from escsr.errors import ConfigError
from escsr.networks.esc import ESC, Stage
from escsr.networks.lte import LTE, Axis, query_axis
from escsr.streaming.feature_store import FeatureStorage, FeatureStore
from escsr.streaming.tiles import Span, Tile, cut, margin_of, queries
from escsr.streaming.transfers import Transfers

__all__ = ["Compute", "run"]

Compute = Callable[[Callable[..., Tensor], tuple[object, ...]], Tensor]
"""Calls a function of the network with its arguments; chooses the arithmetic and checks the result."""


def _plainly(function: Callable[..., Tensor], arguments: tuple[object, ...]) -> Tensor:
    return function(*arguments)


@torch.no_grad()
def run(
    network: ESC,
    lr: Tensor,
    *,
    tile_size: int,
    scale: float | tuple[float, float] | None = None,
    size: tuple[int, int] | None = None,
    feature_storage: FeatureStorage = "float32",
    folder: Path | None = None,
    compute: Compute = _plainly,
    on_halved: Callable[[int], None] | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Tensor:
    """Enlarges a picture of any size, equal to `network(lr)`, with the working memory of one tile.

    Where the device runs out of memory the work goes on from that tile with tiles of half the side;
    what is done stays done and the result is the same.

    Args:
        network: The network, on the device that computes.
        lr: (B, 3, H, W) in [0, 1], in host memory, of the network's floating type.
        tile_size: Tile side, LR pixels, a multiple of the window; a picture that is not larger runs
            whole.
        scale: As for the network.
        size: As for the network.
        feature_storage: How feature maps are kept.
        folder: For maps in a file; None for the system's temporary folder.
        compute: How functions of the network are called.
        on_halved: Called with the new tile size after the device ran out of memory.
        on_progress: Called with the share of the work done, in [0, 1].

    Returns:
        (B, 3, rH, rW), not clamped, in host memory.

    Raises:
        ConfigError: The tile size is not a positive multiple of the window.
        DeviceError: There is no room for the maps.
        torch.OutOfMemoryError: The device's memory does not hold one window.
    """
    window = network.config.window_size
    if tile_size < window or tile_size % window:
        raise ConfigError(f"tile_size must be a positive multiple of {window}, not {tile_size}.")
    height, width = lr.shape[-2:]
    out_size = network.output_size(height, width, scale=scale, size=size)
    stream = _Stream(network, lr, tile_size, feature_storage, folder, compute, on_halved, on_progress)
    return stream.run_whole(lr, out_size) if len(stream.tiles()) == 1 else stream.run_stages(out_size)


class _Stream:
    """A picture on its way through the network."""

    def __init__(
        self,
        network: ESC,
        lr: Tensor,
        tile_size: int,
        feature_storage: FeatureStorage,
        folder: Path | None,
        compute: Compute,
        on_halved: Callable[[int], None] | None,
        on_progress: Callable[[float], None] | None,
    ) -> None:
        self.network = network
        self.lr = network.normalise(lr)
        self.size: tuple[int, int] = (lr.shape[-2], lr.shape[-1])
        self.tile_size = tile_size
        self.store = FeatureStore(self.size, storage=feature_storage, folder=folder)
        self.compute = compute
        self.on_halved = on_halved
        self.on_progress = on_progress
        self.transfers = Transfers(next(network.parameters()).device)
        self.done, self.work = 0.0, 1

    def tiles(self) -> list[Tile]:
        """The whole picture in tiles of the present size."""
        return self._cut((Span(0, self.size[0]), Span(0, self.size[1])))

    def halve(self) -> bool:
        """Makes the tiles smaller, where they can be."""
        window = self.network.config.window_size
        if self.tile_size == window:
            return False
        self.tile_size = max(window, self.tile_size // 2 // window * window)
        if self.on_halved is not None:
            self.on_halved(self.tile_size)
        return True

    def run_whole(self, lr: Tensor, out_size: tuple[int, int]) -> Tensor:
        """The network at once, for a picture of one tile."""
        device = next(self.network.parameters()).device
        any_size = out_size if self.network.config.scale is None else None
        try:
            sr = self.compute(lambda picture: self.network(picture, size=any_size), (lr.to(device),))
        except torch.OutOfMemoryError:
            if not self.halve():
                raise
            return self.run_whole(lr, out_size) if len(self.tiles()) == 1 else self.run_stages(out_size)
        self._progress(1.0)
        return sr.to(lr.device)

    def run_stages(self, out_size: tuple[int, int]) -> Tensor:
        """The network stage by stage."""
        stages = list(self.network.stages())
        self.work = len(stages) + 1
        pooled: Tensor | None = None
        for index, stage in enumerate(stages):
            pooled = self._run_stage(stage, pooled)
            later = stages[index + 1 :]
            self.store.keep_only({"features"}.union(*((*each.around, *each.at) for each in later)))
        return self._upsample(out_size)

    def _run_stage(self, stage: Stage, pooled: Tensor | None) -> Tensor | None:
        """Runs a stage over all tiles, writing its map; returns the picture's mean where it pools."""
        means: list[Tensor] = []

        def fetch(tile: Tile) -> list[Tensor]:
            region = self._region(tile, stage.halo)
            around = [self._take(name, region) for name in stage.around]
            return around + [self._take(name, tile) for name in stage.at]

        def work(tile: Tile, inputs: list[Tensor]) -> Tensor:
            extra = [] if pooled is None else [pooled.to(inputs[0].device)]
            margin = margin_of(tile, self._region(tile, stage.halo))
            result = self.compute(stage.run, (*inputs, *extra, margin))
            if stage.pool is not None:
                share = len(tile[0]) * len(tile[1]) / (self.size[0] * self.size[1])
                means.append(stage.pool(result).cpu().double() * share)
            return result

        self._each_tile(fetch, work, lambda tile, result: self.store.put(stage.writes, tile, result))
        return torch.stack(means).sum(0).to(self.lr.dtype) if means else None

    def _upsample(self, out_size: tuple[int, int]) -> Tensor:
        """The last step, written tile by tile into the result (B, 3, rH, rW)."""
        upsampler = self.network.upsampler
        sr = self.lr.new_empty(*self.lr.shape[:2], *out_size)
        device = next(self.network.parameters()).device
        axes = [
            query_axis(side, out, device, self.lr.dtype)
            for side, out in zip(self.size, out_size, strict=True)
        ]

        def fetch(tile: Tile) -> list[Tensor]:
            region = self._region(tile, upsampler.halo)
            return [self._take("features", region), self._take("lr", region)]

        def work(tile: Tile, inputs: list[Tensor]) -> Tensor:
            return (
                self._query(tile, inputs, axes)
                if isinstance(upsampler, LTE)
                else self._enlarge(tile, inputs)
            )

        def write(tile: Tile, result: Tensor) -> None:
            rows, columns = (queries(*sides) for sides in zip(tile, self.size, out_size, strict=True))
            sr[..., rows.slice, columns.slice] = result

        self._each_tile(fetch, work, write)
        return sr

    def _enlarge(self, tile: Tile, inputs: list[Tensor]) -> Tensor:
        """A tile of a fixed scale, its margin cut off."""
        upsampler = self.network.upsampler
        assert not isinstance(upsampler, LTE)
        region = self._region(tile, upsampler.halo)
        rows, columns = (
            inner.times(upsampler.scale).within(outer.times(upsampler.scale))
            for inner, outer in zip(tile, region, strict=True)
        )
        return self.compute(upsampler, tuple(inputs))[..., rows, columns]

    def _query(self, tile: Tile, inputs: list[Tensor], axes: list[Axis]) -> Tensor:
        """A tile of any scale: the output pixels whose centres lie in it."""
        upsampler, features = self.network.upsampler, inputs[0]
        parts = []
        for span, side, axis, outer in zip(
            tile, self.size, axes, self._region(tile, upsampler.halo), strict=True
        ):
            asked = queries(span, side, len(axis.low))
            parts.append(axis.part(asked.start, asked.stop).moved(outer.start))
        shape = [len(axis.low) for axis in parts]
        if 0 in shape:
            return features.new_empty(features.shape[0], 3, *shape)
        return self.compute(upsampler, (*inputs, *parts)) * 0.5 + 0.5

    def _each_tile(
        self,
        fetch: Callable[[Tile], list[Tensor]],
        work: Callable[[Tile, list[Tensor]], Tensor],
        write: Callable[[Tile, Tensor], None],
    ) -> None:
        """Fetches, works on and writes every tile; the next one is fetched ahead."""
        waiting = self.tiles()
        while waiting:
            tile = waiting.pop(0)
            try:
                inputs = self.transfers.arrive(tile, fetch)
                if waiting:
                    self.transfers.send(waiting[0], fetch)
                result = work(tile, inputs)
            except torch.OutOfMemoryError:
                self.transfers.forget()
                if not self.halve():
                    raise
                waiting = [part for each in (tile, *waiting) for part in self._cut(each)]
                continue
            self.transfers.bring(result, partial(write, tile))
            self._progress(len(tile[0]) * len(tile[1]) / (self.size[0] * self.size[1]) / self.work)
        self.transfers.finish()

    def _cut(self, tile: Tile) -> list[Tile]:
        return cut(tile, self.tile_size, self.network.config.window_size, self.size)

    def _region(self, tile: Tile, halo: int) -> Tile:
        return tile[0].widened(halo, self.size[0]), tile[1].widened(halo, self.size[1])

    def _take(self, name: str, region: Tile) -> Tensor:
        if name == "lr":
            return self.lr[..., region[0].slice, region[1].slice]
        return self.store.take(name, region)

    def _progress(self, share: float) -> None:
        self.done += share
        if self.on_progress is not None:
            self.on_progress(min(1.0, round(self.done, 9)))
