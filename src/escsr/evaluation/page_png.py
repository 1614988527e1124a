"""A page as one picture: a row for each crop, a column for each model."""

from __future__ import annotations

import numpy as np

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
    left = [_MARGIN + _STRIP + index * (width + _GAP) for index in range(len(page.columns))]
    full = left[-1] + width + _MARGIN
    head = _head(page, full - 2 * _MARGIN)
    labels = [_label(column.label, column.detail, width) for column in page.columns]
    top = _MARGIN + len(head) + 2 * _GAP
    first = top + max(map(len, labels)) + _GAP
    heights = [len(row[0]) for row in rows]
    sheet = np.full((first + sum(heights) + _GAP * (len(rows) - 1) + _MARGIN, full, 3), 255, np.uint8)
    _paste(sheet, head, _MARGIN, _MARGIN)
    for label, x in zip(labels, left, strict=True):
        _paste(sheet, label, x, first - _GAP - len(label))
    y = first
    for index, (row, height) in enumerate(zip(rows, heights, strict=True)):
        _write(sheet, str(index + 1), _MARGIN, y, colour=_COLOURS[index % len(_COLOURS)], bold=True)
        for image, x in zip(row, left, strict=True):
            _paste(sheet, image, x, y)
        y += height + _GAP
    return sheet


def _enlarged(image: Pixels) -> Pixels:
    factor = max(1, round(_COLUMN / image.shape[1]))
    return image.repeat(factor, 0).repeat(factor, 1)


def _head(page: Page, width: int) -> Pixels:
    """The overview, and right of it what is to be said."""
    overview = _overview(page)
    x = overview.shape[1] + _MARGIN
    room = max(_COLUMN // 2, width - x)
    head = np.full((4 * _OVERVIEW[0], width, 3), 255, np.uint8)
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
        small[y + 1 : y + 21, x + 1 : x + 19] = colour
        _write(small, str(index + 1), x + 6, y + 5, height=15, colour=(255, 255, 255), bold=True)
    return small


def _outline(
    image: Pixels, rows: tuple[int, int], columns: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    top, bottom, left, right = *rows, *columns
    if top >= bottom or left >= right:
        return
    image[top:bottom, (left, right - 1)] = colour
    image[(top, bottom - 1), left:right] = colour


def _label(label: str, detail: str, width: int) -> Pixels:
    image = np.full((2 * _COLUMN, width, 3), 255, np.uint8)
    y = _write(image, label, 0, 0, width=width, height=18, bold=True)
    if detail:
        y = _write(image, detail, 0, y + _GAP, width=width, height=14, colour=_GREY)
    return image[:y]


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
    ink = draw_text(text, height=height, width=width, bold=bold)
    place = image[y : y + ink.shape[0], x : x + ink.shape[1]]
    share = ink[: place.shape[0], : place.shape[1], None] / np.float32(255)
    place[:] = np.rint(place * (1 - share) + np.array(colour, np.float32) * share)
    return y + len(place)


def _paste(sheet: Pixels, image: Pixels, x: int, y: int) -> None:
    sheet[y : y + image.shape[0], x : x + image.shape[1]] = image
