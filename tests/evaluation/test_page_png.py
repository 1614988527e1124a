"""The page of `escsr compare` as PNG, and the words on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from escsr import images
from escsr.data.pil_resize import pil_resize
from escsr.evaluation.side_by_side import compare_picture
from escsr.images import Picture
from escsr.images.text import draw_text, has_font
from samples import flowers

CROPS = ("4,6,24x20", "20,10,16x30")
ROUNDING = 1
"""Between bicubic interpolation that is rounded once and Pillow's, which is after each pass, levels."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pixels = flowers()[60:106, 40:90]
    images.write(Picture(pixels), tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_png_shows_each_crop_in_each_column(folder: Path) -> None:
    compare_picture("photo.png", "page.png", model=["bicubic", "nearest"], scale=4, crop=CROPS)
    page = images.read("page.png").pixels
    pixels = images.read("photo.png").pixels
    # 24 and 16 input pixels become 96 and 64, and are shown 4 and 6 times as large.
    width, heights, gap, left = 384, (20 * 16, 30 * 24), 6, 16 + 24
    assert page.shape[1] == left + 3 * width + 2 * gap + 16
    top = page.shape[0] - 16 - heights[1] - gap - heights[0]
    crops = (pixels[6:26, 4:28], pixels[10:40, 20:36])
    larger = pil_resize(pixels, (4 * 46, 4 * 50))
    bicubic = (larger[24:104, 16:112], larger[40:160, 80:144])
    for crop, smooth, height in zip(crops, bicubic, heights, strict=True):
        for index, shown in enumerate((crop, smooth, crop)):
            x = left + index * (width + gap)
            factor = height // shown.shape[0]
            expected = shown.repeat(factor, 0).repeat(factor, 1)
            part = page[top : top + height, x : x + width]
            np.testing.assert_allclose(part, expected.astype(int), atol=ROUNDING * (index == 1))
        assert (page[top : top + height, left + width : left + width + gap] == 255).all()
        top += height + gap


def test_png_names_its_columns_and_outlines_its_crops(folder: Path) -> None:
    if not has_font():
        pytest.skip("this machine has no font")
    compare_picture("photo.png", "a.png", model=["one=bicubic"], scale=2, crop=CROPS)
    compare_picture("photo.png", "b.png", model=["two=bicubic"], scale=2, crop=CROPS)
    a, b = images.read("a.png").pixels, images.read("b.png").pixels
    assert a.shape == b.shape
    differs = (a != b).any(2)
    rows, columns = np.nonzero(differs)
    ink = draw_text("one", height=18, bold=True)
    assert columns.min() >= 16 + 24 + 384 + 6 - 2
    assert columns.max() < 16 + 24 + 384 + 6 + 2 * ink.shape[1]
    assert rows.max() - rows.min() < 2 * ink.shape[0]
    red = (a == (214, 39, 40)).all(2)
    assert red[: 16 + 256, : 16 + 384].sum() > 400


def test_long_names_are_broken_into_lines(folder: Path) -> None:
    compare_picture("photo.png", "page.png", model=[f"{'long' * 60}=bicubic"], scale=2, crop=CROPS)
    short = compare_picture("photo.png", "short.png", model=["bicubic"], scale=2, crop=CROPS)
    assert short.crops[0].width == 24
    long, page = images.read("page.png").pixels, images.read("short.png").pixels
    assert long.shape[1] == page.shape[1]
    assert long.shape[0] > page.shape[0] + 50


def test_text_is_drawn_whatever_it_holds() -> None:
    for text in ('<b>bold & "quoted"', "\x07\x1b[31m\udcff", "日本 ×4", "<", "", "   "):
        ink = draw_text(text)
        assert ink.dtype == np.uint8
        assert ink.ndim == 2
    if has_font():
        assert draw_text("<b>x</b>").shape[1] > draw_text("x").shape[1]
        high, low = draw_text("l", bold=True), draw_text("p", bold=True)
        assert len(low) > len(high)  # both from the top of the line
    assert draw_text("several words that do not fit", width=60).shape[1] <= 61
