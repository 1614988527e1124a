"""Geometry of tiles: spans of pixels, cut on the window grid, with margins clipped to the picture."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral

from escsr.errors import ConfigError
from escsr.networks.layers import Margin
from escsr.networks.upsamplers import OutputRegion, OutputSpan

__all__ = ["Span", "Tile", "check_tile_size", "cut", "cut_side", "margin_of", "output_region"]


@dataclass(frozen=True)
class Span:
    """Pixels start..stop of one side."""

    start: int
    stop: int

    def __len__(self) -> int:
        return max(0, self.stop - self.start)

    def widened(self, halo: int, size: int) -> Span:
        """With a margin on both ends, clipped to the side."""
        return Span(max(0, self.start - halo), min(size, self.stop + halo))

    @property
    def slice(self) -> slice:
        """For indexing the side."""
        return slice(self.start, self.stop)


Tile = tuple[Span, Span]
"""Rows and columns."""


def check_tile_size(tile_size: int, window: int) -> None:
    """Refuses a tile side that is no positive multiple of the window.

    Raises:
        ConfigError: It is not.
    """
    is_whole = isinstance(tile_size, Integral) and not isinstance(tile_size, bool)
    if not is_whole or tile_size < window or tile_size % window:
        raise ConfigError(f"tile_size must be a positive multiple of {window}, not {tile_size!r}.")


def cut(tile: Tile, tile_size: int, window: int, size: tuple[int, int]) -> list[Tile]:
    """Cuts a tile into smaller ones, row by row.

    Args:
        tile: Begins on the window grid and ends on it or at the picture's border.
        tile_size: Wanted side, a multiple of the window.
        window: Window side.
        size: Rows and columns of the picture.

    Returns:
        Tiles that cover it without overlap; see `cut_side`.
    """
    rows, columns = (cut_side(side, tile_size, window, span) for side, span in zip(size, tile, strict=True))
    return [(row, column) for row in rows for column in columns]


def cut_side(size: int, tile_size: int, window: int, span: Span | None = None) -> list[Span]:
    """Cuts a side, or a part of it, into tiles that begin on the window grid.

    The reflect padding of the last window reads up to w − 1 pixels back. Where the last tile is not
    longer than that padding it is merged with its neighbour, so that every tile holds the pixels that
    its padding mirrors.

    Args:
        size: Pixels of the side.
        tile_size: Wanted tile length, a multiple of the window.
        window: Window side.
        span: The part, which begins on the grid and ends on it or with the side; None for all.

    Returns:
        Tiles that cover it without overlap; the last may have up to tile_size + w/2 pixels.
    """
    span = Span(0, size) if span is None else span
    edges = [*range(span.start, span.stop, tile_size), span.stop]
    at_border = span.stop == size
    if at_border and len(edges) > 2 and -size % window >= edges[-1] - edges[-2]:
        del edges[-2]
    return [Span(start, stop) for start, stop in pairwise(edges)]


def margin_of(tile: Tile, region: Tile) -> Margin:
    """What a region has around its tile."""
    (rows, columns), (outer_rows, outer_columns) = tile, region
    return (
        columns.start - outer_columns.start,
        outer_columns.stop - columns.stop,
        rows.start - outer_rows.start,
        outer_rows.stop - rows.stop,
    )


def output_region(
    tile: Tile, region: Tile, size: tuple[int, int], out_size: tuple[int, int]
) -> OutputRegion:
    """Output pixels whose centres (i + 1/2)·size/out lie in a tile, computed from maps of a region.

    Args:
        tile: LR pixels.
        region: The tile with what is around it.
        size: Rows and columns of the picture.
        out_size: Rows and columns of the result.
    """
    rows, columns = (_output_span(*side) for side in zip(tile, region, size, out_size, strict=True))
    return rows, columns


def _output_span(span: Span, outer: Span, size: int, out_size: int) -> OutputSpan:
    def first(edge: int) -> int:
        return max(0, -((size - 2 * edge * out_size) // (2 * size)))

    stop = out_size if span.stop == size else first(span.stop)
    return OutputSpan(size, out_size, first(span.start), stop, outer.start)
