"""Exact tiled execution: the network runs stage by stage over tiles, never tile by tile through all.

Ordinary tiling is wrong for these networks: windows fall off their grid and the dynamic kernels pool
each tile instead of the picture. Here the maps of the whole picture stay in host memory, each stage
runs over all tiles before the next begins, and pooled means are summed over the tiles in float64. The
result equals the whole-picture forward up to the order of floating-point sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from escsr.errors import ConfigError
from escsr.networks.attention import window_padding
from escsr.networks.esc import ESC, Stage
from escsr.networks.layers import Margin
from escsr.networks.lte import LTE, query_axis

__all__ = ["Span", "cut_side", "run"]

Tile = tuple["Span", "Span"]


@dataclass(frozen=True)
class Span:
    """Pixels start..stop of one side."""

    start: int
    stop: int

    def widened(self, halo: int, size: int) -> Span:
        """With a margin on both ends, clipped to the side."""
        return Span(max(0, self.start - halo), min(size, self.stop + halo))

    def within(self, outer: Span) -> slice:
        """Where this span lies inside another."""
        return slice(self.start - outer.start, self.stop - outer.start)

    def times(self, factor: int) -> Span:
        """The same span on a side enlarged by a whole factor."""
        return Span(self.start * factor, self.stop * factor)

    @property
    def slice(self) -> slice:
        """For indexing the side."""
        return slice(self.start, self.stop)

    @property
    def is_empty(self) -> bool:
        """Whether there is no pixel in it (an output smaller than its tiles)."""
        return self.start >= self.stop


def cut_side(size: int, tile_size: int, window: int) -> list[Span]:
    """Cuts a side into tiles that begin on the window grid.

    The reflect padding of the last window reads up to w − 1 pixels back. Where the last tile is not
    longer than that padding it is merged with its neighbour, so that every tile holds the pixels that
    its padding mirrors.

    Args:
        size: Pixels of the side.
        tile_size: Wanted tile length, a multiple of the window.
        window: Window side.

    Returns:
        Tiles that cover the side without overlap; the last may have up to tile_size + w/2 pixels.
    """
    edges = [*range(0, size, tile_size), size]
    if len(edges) > 2 and window_padding(size, window) >= edges[-1] - edges[-2]:
        del edges[-2]
    return [Span(start, stop) for start, stop in pairwise(edges)]


@torch.no_grad()
def run(
    network: ESC,
    lr: Tensor,
    *,
    tile_size: int,
    scale: float | tuple[float, float] | None = None,
    size: tuple[int, int] | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Tensor:
    """Enlarges a picture of any size, equal to `network(lr)`, with the working memory of one tile.

    Args:
        network: The network, on the device that computes.
        lr: (B, 3, H, W) in [0, 1], in host memory, of the network's floating type.
        tile_size: Tile side, LR pixels, a multiple of the window; a picture that is not larger runs
            whole.
        scale: As for the network.
        size: As for the network.
        on_progress: Called with the share of the work done, in [0, 1].

    Returns:
        (B, 3, rH, rW), not clamped, in host memory.

    Raises:
        ConfigError: The tile size is not a positive multiple of the window.
    """
    window = network.config.window_size
    if tile_size < window or tile_size % window:
        raise ConfigError(f"tile_size must be a positive multiple of {window}, not {tile_size}.")
    height, width = lr.shape[-2:]
    out_size = network.output_size(height, width, scale=scale, size=size)
    rows, columns = cut_side(height, tile_size, window), cut_side(width, tile_size, window)
    tiles = [(row, column) for row in rows for column in columns]
    if len(tiles) == 1:
        device = next(network.parameters()).device
        any_size = out_size if network.config.scale is None else None
        return network(lr.to(device), size=any_size).to(lr.device)
    stages = list(network.stages())
    steps = (len(stages) + 1) * len(tiles)
    stream = _Stream(network, tiles, {"lr": network.normalise(lr)}, _Progress(on_progress, steps))
    pooled: Tensor | None = None
    for index, stage in enumerate(stages):
        pooled = stream.run_stage(stage, pooled)
        stream.forget(needed_by=stages[index + 1 :])
    return stream.upsample(out_size)


@dataclass(frozen=True)
class _Stream:
    """A picture on its way through the network: the maps of all of it, in host memory."""

    network: ESC
    tiles: list[Tile]
    maps: dict[str, Tensor]
    progress: _Progress

    @property
    def height(self) -> int:
        return self.maps["lr"].shape[-2]

    @property
    def width(self) -> int:
        return self.maps["lr"].shape[-1]

    def run_stage(self, stage: Stage, pooled: Tensor | None) -> Tensor | None:
        """Runs a stage over all tiles, writing its map; returns the picture's mean where it pools."""
        maps, total = self.maps, None
        for tile in self.tiles:
            region = self._region(tile, stage.halo)
            inputs = [self._take(name, region) for name in stage.around]
            inputs += [self._take(name, tile) for name in stage.at]
            if pooled is not None:
                inputs.append(pooled.to(inputs[0].device))
            result = stage.run(*inputs, _margin(tile, region))
            if stage.writes not in maps:
                maps[stage.writes] = torch.empty(
                    (*result.shape[:2], self.height, self.width),
                    dtype=result.dtype,
                    device=maps["lr"].device,
                    memory_format=torch.channels_last,
                )
            maps[stage.writes][..., tile[0].slice, tile[1].slice] = result
            if stage.pool is not None:
                weight = result[0, 0].numel() / (self.height * self.width)
                share = stage.pool(result).to(maps["lr"].device).double() * weight
                total = share if total is None else total + share
            self.progress.step()
        return None if total is None else total.to(maps["lr"].dtype)

    def forget(self, needed_by: list[Stage]) -> None:
        """Frees the maps that no stage still to come reads."""
        needed = {"lr", "features"}.union(*((*stage.around, *stage.at) for stage in needed_by))
        for name in self.maps.keys() - needed:
            del self.maps[name]

    def upsample(self, out_size: tuple[int, int]) -> Tensor:
        """The last step, written tile by tile into the result (B, 3, rH, rW)."""
        lr, upsampler = self.maps["lr"], self.network.upsampler
        sr = lr.new_empty(*lr.shape[:2], *out_size)
        if isinstance(upsampler, LTE):
            device = next(self.network.parameters()).device
            row_axis = query_axis(self.height, out_size[0], device, lr.dtype)
            column_axis = query_axis(self.width, out_size[1], device, lr.dtype)
        for tile in self.tiles:
            region = self._region(tile, upsampler.halo)
            inputs = self._take("features", region), self._take("lr", region)
            if isinstance(upsampler, LTE):
                rows = _queries(tile[0], self.height, out_size[0])
                columns = _queries(tile[1], self.width, out_size[1])
                if rows.is_empty or columns.is_empty:
                    continue
                result = upsampler(
                    *inputs,
                    row_axis.part(rows.start, rows.stop).moved(region[0].start),
                    column_axis.part(columns.start, columns.stop).moved(region[1].start),
                )
                sr[..., rows.slice, columns.slice] = result * 0.5 + 0.5
            else:
                rows, columns = (span.times(upsampler.scale) for span in tile)
                outer_rows, outer_columns = (span.times(upsampler.scale) for span in region)
                result = upsampler(*inputs)[..., rows.within(outer_rows), columns.within(outer_columns)]
                sr[..., rows.slice, columns.slice] = result
            self.progress.step()
        return sr

    def _region(self, tile: Tile, halo: int) -> Tile:
        return tile[0].widened(halo, self.height), tile[1].widened(halo, self.width)

    def _take(self, name: str, region: Tile) -> Tensor:
        """A region of a map, on the network's device."""
        part = self.maps[name][..., region[0].slice, region[1].slice]
        return part.to(next(self.network.parameters()).device)


def _margin(tile: Tile, region: Tile) -> Margin:
    """What a region has around its tile."""
    (rows, columns), (outer_rows, outer_columns) = tile, region
    return (
        columns.start - outer_columns.start,
        outer_columns.stop - columns.stop,
        rows.start - outer_rows.start,
        outer_rows.stop - rows.stop,
    )


def _queries(span: Span, size: int, out_size: int) -> Span:
    """Output pixels whose centres (i + 1/2)·size/out lie in a span of LR pixels."""

    def first(edge: int) -> int:
        return max(0, -((size - 2 * edge * out_size) // (2 * size)))

    return Span(first(span.start), out_size if span.stop == size else first(span.stop))


class _Progress:
    def __init__(self, report: Callable[[float], None] | None, total: int) -> None:
        self.report, self.total, self.done = report, total, 0

    def step(self) -> None:
        self.done += 1
        if self.report is not None:
            self.report(self.done / self.total)
