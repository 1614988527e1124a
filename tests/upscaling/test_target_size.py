"""Target sizes: exactly as asked, for any picture."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from escsr.errors import ConfigError
from escsr.models.saving import save_network
from escsr.runtime.choices import Fit
from escsr.upscaling.target_size import TargetSize, parse_crop
from escsr.upscaling.upscaler import Upscaler
from samples import small_network

SIDE = st.integers(1, 9000)


def kept(size: TargetSize, rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns of the result for a picture."""
    enlarged = size.upscaled(rows, columns)
    part = size.kept(rows, columns)
    assert all(0 <= s.start < s.stop <= side for s, side in zip(part, enlarged, strict=True))
    return part[0].stop - part[0].start, part[1].stop - part[1].start


@given(SIDE, SIDE, SIDE)
def test_one_side_is_as_asked_and_the_other_keeps_the_shape(rows: int, columns: int, more: int) -> None:
    wanted = columns + more
    height, width = kept(TargetSize(width=wanted), rows, columns)
    assert width == wanted
    assert height == max(1, round(rows * wanted / columns))
    taller = rows + more
    assert kept(TargetSize(height=taller), rows, columns)[0] == taller
    longest = max(rows, columns) + more
    assert max(kept(TargetSize(longest=longest), rows, columns)) == longest


@given(SIDE, SIDE, SIDE, SIDE)
def test_both_sides(rows: int, columns: int, higher: int, wider: int) -> None:
    height, width = rows + higher, columns + wider
    inside = kept(TargetSize(width=width, height=height), rows, columns)
    assert inside[0] <= height
    assert inside[1] <= width
    assert inside[0] == height or inside[1] == width
    around = TargetSize(width=width, height=height, fit="cover")
    assert kept(around, rows, columns) == (height, width)
    enlarged = around.upscaled(rows, columns)
    assert enlarged[0] == height or enlarged[1] == width
    assert kept(TargetSize(width=width, height=height, fit="exact"), rows, columns) == (height, width)


@given(st.fractions(Fraction(1, 10**6), 10**6, max_denominator=10**6), SIDE, SIDE)
def test_a_picture_stretched_to_a_size_is_shown_in_its_shape(
    aspect: Fraction, height: int, width: int
) -> None:
    shape = TargetSize(width=width, height=height, fit="exact").shape_of_pixels(aspect, 1, 1)
    shown = shape if aspect == 1 else shape * Fraction(width, height)
    assert abs(shown / aspect - 1) < 1e-3


@given(SIDE, SIDE, st.floats(1, 20))
def test_scales(rows: int, columns: int, scale: float) -> None:
    size = TargetSize(scale=scale)
    expected = max(1, round(rows * scale)), max(1, round(columns * scale))
    assert kept(size, rows, columns) == expected
    assert size.scale_of(rows, columns) == scale


def test_a_wide_picture_in_a_tall_frame() -> None:
    frame = TargetSize.choose(size="300x600")
    assert frame is not None
    assert frame.upscaled(100, 200) == (150, 300)
    assert frame.scale_of(100, 200) == 1.5
    cover = TargetSize(width=300, height=600, fit="cover")
    assert cover.upscaled(100, 200) == (600, 1200)
    assert cover.kept(100, 200) == (slice(0, 600), slice(450, 750))


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({"scale": 2.7}, "x2.7"),
        ({"width": 1920}, "1920w"),
        ({"height": 1080}, "1080h"),
        ({"size": "1920X1080"}, "1920x1080"),
        ({"longest": 2048}, "2048"),
    ],
)
def test_labels(options: dict[str, float | str], label: str) -> None:
    size = TargetSize.choose(**options)  # type: ignore[arg-type]
    assert size is not None
    assert size.label == label


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0}, "must be at least 1"),
        ({"scale": 0.5}, "pictures only get larger"),
        ({"scale": float("nan")}, "must be at least 1"),
        ({"width": 0}, "at least 1 pixel"),
        ({"longest": 5, "width": 5}, "Give only one of"),
        ({"size": "5 by 5"}, "WIDTHxHEIGHT"),
        ({"size": "9" * 5000 + "x5"}, "WIDTHxHEIGHT"),
        ({"size": 512}, "WIDTHxHEIGHT"),
        ({"size": "5x5", "height": 5}, "not both"),
        ({"width": 5, "height": 5, "fit": "fill"}, "contain, cover, exact"),
    ],
)
def test_impossible_sizes(options: dict[str, float | str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TargetSize.choose(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "size", [TargetSize(width=150), TargetSize(longest=150), TargetSize(width=50, height=60, fit="exact")]
)
def test_pictures_do_not_get_smaller(size: TargetSize) -> None:
    with pytest.raises(ConfigError, match=r"the picture \(200×100\) is larger than the size asked for"):
        size.kept(100, 200)


@given(SIDE, SIDE, st.floats(1, 5), st.data())
def test_a_crop_is_that_part_of_the_whole(
    rows: int, columns: int, scale: float, data: st.DataObject
) -> None:
    left, top = data.draw(st.integers(0, columns - 1)), data.draw(st.integers(0, rows - 1))
    width, height = data.draw(st.integers(1, columns - left)), data.draw(st.integers(1, rows - top))
    size = TargetSize(scale=scale, crop=(left, top, width, height))
    assert size.upscaled(rows, columns) == TargetSize(scale=scale).upscaled(rows, columns)
    shape = kept(size, rows, columns)
    assert abs(shape[0] - height * scale) <= 2
    assert abs(shape[1] - width * scale) <= 2
    assert size.label == f"x{scale:g}_crop"


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "1,2,3,0", "-1,0,4,4", "1,2,3,4,5", "", "1;2;3;4"])
def test_crops_that_cannot_be(text: str) -> None:
    with pytest.raises(ConfigError, match="crop must be X,Y,W,H"):
        parse_crop(text)


def test_crops_in_words_and_numbers() -> None:
    assert parse_crop(" 1, 2,3x4 ") == parse_crop((1, 2, 3, 4)) == (1, 2, 3, 4)
    with pytest.raises(ConfigError, match="beyond the picture"):
        TargetSize(scale=2, crop=(0, 0, 5, 5)).kept(4, 9)
    with pytest.raises(ConfigError, match="not both"):
        TargetSize(width=9, height=9, fit="cover", crop=(0, 0, 5, 5))


def test_nothing_asked_is_no_size() -> None:
    assert TargetSize.choose() is None


@pytest.mark.parametrize("sides", [{"scale": 2}, {"longest": 9}, {"width": 9}, {"height": 9}])
@pytest.mark.parametrize("fit", ["cover", "exact"])
def test_a_fit_is_for_both_sides(sides: dict[str, Any], fit: Fit) -> None:
    with pytest.raises(ConfigError, match=f"fit={fit} says how .* give both"):
        TargetSize.choose(**sides, fit=fit)


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory: pytest.TempPathFactory) -> Upscaler:
    path: Path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_network(small_network("esc-light"), path)
    return Upscaler(path, device="cpu")


@pytest.mark.parametrize("wanted", [(13, 17), (13, 90), (26, 34), (77, 5)])
def test_pictures_come_out_as_asked(upscaler: Upscaler, wanted: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (13, 17, 4), dtype=np.uint8)
    for fit in ("exact", "cover"):
        size = TargetSize(height=wanted[0], width=wanted[1], fit=fit)
        assert upscaler(image, size=size).shape == (*wanted, 4)


def test_the_result_is_resized_before_it_is_rounded(upscaler: Upscaler) -> None:
    lr = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))
    whole = upscaler.inference.run(lr)
    resized = torch.nn.functional.interpolate(whole, size=(18, 24), mode="bicubic", antialias=True)
    torch.testing.assert_close(upscaler(lr, scale=1.5), resized.clamp(0, 1))


def test_scale_and_size_are_not_both_given(upscaler: Upscaler) -> None:
    with pytest.raises(ConfigError, match="Give only one of"):
        upscaler(np.zeros((4, 4, 3), np.uint8), scale=2, size=TargetSize(scale=2))


def test_a_crop_at_the_border_of_a_smaller_side_is_inside() -> None:
    """Both sides as asked, of which one is smaller than the picture's."""
    rows, _ = TargetSize(width=100, height=6, fit="exact", crop=(0, 11, 4, 1)).kept(12, 16)
    assert rows == slice(5, 6)
