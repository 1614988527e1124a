"""Target sizes: exactly as asked, for any picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from escsr.errors import ConfigError
from escsr.models.checkpoints import save_network
from escsr.upscaling.target_size import TargetSize
from escsr.upscaling.upscaler import Upscaler
from samples import small_network

SIDE = st.integers(1, 9000)


def kept(size: TargetSize, rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns of the result for a picture."""
    enlarged = size.upscaled(rows, columns)
    part = size.cropped(*enlarged)
    assert all(0 <= s.start < s.stop <= side for s, side in zip(part, enlarged, strict=True))
    return part[0].stop - part[0].start, part[1].stop - part[1].start


@given(SIDE, SIDE, SIDE)
def test_one_side_is_as_asked_and_the_other_keeps_the_shape(rows: int, columns: int, wanted: int) -> None:
    height, width = kept(TargetSize(width=wanted), rows, columns)
    assert width == wanted
    assert height == max(1, round(rows * wanted / columns))
    assert kept(TargetSize(height=wanted), rows, columns)[0] == wanted
    assert max(kept(TargetSize(longest=wanted), rows, columns)) == wanted


@given(SIDE, SIDE, SIDE, SIDE)
def test_both_sides(rows: int, columns: int, height: int, width: int) -> None:
    inside = kept(TargetSize(width=width, height=height), rows, columns)
    assert inside[0] <= height
    assert inside[1] <= width
    assert inside[0] == height or inside[1] == width
    around = TargetSize(width=width, height=height, fit="cover")
    assert kept(around, rows, columns) == (height, width)
    enlarged = around.upscaled(rows, columns)
    assert enlarged[0] == height or enlarged[1] == width
    assert kept(TargetSize(width=width, height=height, fit="exact"), rows, columns) == (height, width)


@given(SIDE, SIDE, st.floats(0.01, 20))
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
    assert cover.cropped(600, 1200) == (slice(0, 600), slice(450, 750))


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
        ({"scale": 0}, "positive"),
        ({"scale": float("nan")}, "positive"),
        ({"width": 0}, "at least 1 pixel"),
        ({"longest": 5, "width": 5}, "Give one of"),
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


def test_nothing_asked_is_no_size() -> None:
    assert TargetSize.choose() is None


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory: pytest.TempPathFactory) -> Upscaler:
    path: Path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_network(small_network("esc-light"), path)
    return Upscaler(path, device="cpu")


@pytest.mark.parametrize("wanted", [(1, 1), (13, 90), (26, 34), (77, 5)])
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
    with pytest.raises(ConfigError, match="Give one of"):
        upscaler(np.zeros((4, 4, 3), np.uint8), scale=2, size=TargetSize(scale=2))
