"""A page as one picture: a row for each crop, a column for each model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from escsr.data.pil_resize import pil_resize
from escsr.evaluation.page import Page, Pixels
from escsr.images.text import draw_text

__all__ = ["draw_page"]

_COLUMN = 384
"""Pixels that columns are about wide."""

_OVERVIEW = (256, 384)
"""Most rows and columns of the small picture of the whole."""

_GAP, _MARGIN, _STRIP = 6, 16, 24
_INK, _GREY = (20, 20, 20), (95, 95, 95)
_COLOURS = ((214, 39, 40), (31, 119, 180), (44, 160, 44), (190, 100, 0), (148, 60, 189), (0, 130, 140))
"""Of the crops' outlines and numbers, in turn."""


def draw_page(page: Page) -> Pixels:
    """Draws a page: the picture with its crops outlined, then every crop as each model makes it.

    Crops are enlarged by whole numbers, each pixel repeated, so that columns are about 384 pixels wide.

    Args:
        page: What it shows.

    Returns:
        (rows, columns, 3), on white.
    """
    rows = [[_enlarged(column.crops[index]) for column in page.columns] for index in range(len(page.crops))]
    width = max(row[0].shape[1] for row in rows)
    full = 2 * _MARGIN + _STRIP + len(page.columns) * (width + _GAP) - _GAP
    bands = [_head(page, full - 2 * _MARGIN), _band(_labels(page, width), width)]
    for index, row in enumerate(rows):
        bands.append(_band(row, width))
        colour = _COLOURS[index % len(_COLOURS)]
        _write(bands[-1], str(index + 1), 0, 0, colour=colour, bold=True)
    heights = [len(band) for band in bands]
    sheet = _white(2 * _MARGIN + sum(heights) + _GAP * len(bands), full)
    y = _MARGIN
    for index, band in enumerate(bands):
        _paste(sheet, band, _MARGIN, y)
        y += len(band) + _GAP * (2 if index == 0 else 1)
    return sheet


def _white(rows: int, columns: int) -> Pixels:
    return np.full((rows, columns, 3), 255, np.uint8)


def _band(images: list[Pixels], width: int) -> Pixels:
    """Pictures of the columns beside each other, with room for a number at the left."""
    band = _white(max(map(len, images)), _STRIP + len(images) * (width + _GAP) - _GAP)
    for index, image in enumerate(images):
        _paste(band, image, _STRIP + index * (width + _GAP), 0)
    return band


def _labels(page: Page, width: int) -> list[Pixels]:
    """Names of the columns, and below the longest of them what else is said of each."""
    names = [draw_text(each.label, height=18, width=width, bold=True) for each in page.columns]
    below = max(map(len, names)) + _GAP
    details = [draw_text(each.detail, height=14, width=width) for each in page.columns]
    height = below + max(map(len, details))
    labels = []
    for name, detail in zip(names, details, strict=True):
        labels.append(_white(height, width))
        _blend(labels[-1], name, 0, 0, _INK)
        _blend(labels[-1], detail, 0, below, _GREY)
    return labels


def _enlarged(image: Pixels) -> Pixels:
    factor = max(1, round(_COLUMN / image.shape[1]))
    return image.repeat(factor, 0).repeat(factor, 1)


def _head(page: Page, width: int) -> Pixels:
    """The overview, and right of it what is to be said."""
    overview = _overview(page)
    x = overview.shape[1] + _MARGIN
    room = max(_COLUMN // 2, width - x)
    head = _white(4 * _OVERVIEW[0], width)
    _paste(head, overview, 0, 0)
    y = _write(head, page.title, x, 0, width=room, height=20, bold=True) + 2 * _GAP
    for line in page.lines:
        y = _write(head, line, x, y, width=room, height=15, colour=_GREY) + _GAP
    return head[: max(len(overview), y)]


def _overview(page: Page) -> Pixels:
    rows, columns = page.picture.shape[:2]
    factor = min(_OVERVIEW[0] / rows, _OVERVIEW[1] / columns)
    size = (max(1, round(rows * factor)), max(1, round(columns * factor)))
    small = pil_resize(page.picture, size)
    for index, crop in enumerate(page.crops):
        colour = _COLOURS[index % len(_COLOURS)]
        y, x = crop.y * size[0] // rows, crop.x * size[1] // columns
        bottom = max(y + 1, (crop.y + crop.height) * size[0] // rows)
        right = max(x + 1, (crop.x + crop.width) * size[1] // columns)
        for inset, paint in ((0, (255, 255, 255)), (1, colour), (2, colour), (3, (255, 255, 255))):
            _outline(small, (y + inset, bottom - inset), (x + inset, right - inset), paint)
        _number(small, str(index + 1), (y, bottom), (x, right), colour)
    return small


def _number(
    image: Pixels, text: str, rows: tuple[int, int], columns: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    """Numbers an outline: in its corner, or beside it where it is small."""
    ink = draw_text(text, height=15, bold=True)
    height, width = ink.shape[0] + 5, ink.shape[1] + 8
    y, x = rows[0] + 1, columns[0] + 1
    if min(rows[1] - rows[0], columns[1] - columns[0]) < 2 * height:
        x = columns[1] + 2 if columns[1] + 2 + width <= image.shape[1] else columns[0] - 2 - width
        y = rows[0]
    y, x = max(0, min(y, image.shape[0] - height)), max(0, min(x, image.shape[1] - width))
    image[y : y + height, x : x + width] = colour
    _blend(image, ink, x + 4, y, (255, 255, 255))


def _outline(
    image: Pixels, rows: tuple[int, int], columns: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    top, bottom, left, right = *rows, *columns
    if top >= bottom or left >= right:
        return
    image[top:bottom, (left, right - 1)] = colour
    image[(top, bottom - 1), left:right] = colour


def _write(
    image: Pixels,
    text: str,
    x: int,
    y: int,
    *,
    width: int | None = None,
    height: int = 18,
    colour: tuple[int, int, int] = _INK,
    bold: bool = False,
) -> int:
    """Writes text into an image, cut where that ends; returns the row below it."""
    return _blend(image, draw_text(text, height=height, width=width, bold=bold), x, y, colour)


def _blend(image: Pixels, ink: NDArray[np.uint8], x: int, y: int, colour: tuple[int, int, int]) -> int:
    """Lays ink on an image, cut where that ends; returns the row below."""
    place = image[y : y + ink.shape[0], x : x + ink.shape[1]]
    share = ink[: place.shape[0], : place.shape[1], None] / np.float32(255)
    place[:] = np.rint(place * (1 - share) + np.array(colour, np.float32) * share)
    return y + len(place)


def _paste(sheet: Pixels, image: Pixels, x: int, y: int) -> None:
    sheet[y : y + image.shape[0], x : x + image.shape[1]] = image
