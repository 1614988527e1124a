"""Crops: as written, and where a picture has most detail."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from escsr import images
from escsr.errors import ConfigError
from escsr.evaluation.crops import Crop, choose_crops, parse_crop
from samples import EXAMPLES

SIDES = st.integers(1, 260)


@given(SIDES, SIDES, st.integers(0, 9))
def test_chosen_crops_lie_in_the_picture_and_do_not_overlap(rows: int, columns: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    crops = choose_crops(pixels)
    assert 1 <= len(crops) <= 3
    assert crops == choose_crops(pixels.copy())
    for crop in crops:
        assert (crop.width, crop.height) == (min(96, columns), min(96, rows))
        assert parse_crop(str(crop), rows, columns) == crop
    assert not any(a.overlaps(b) for a, b in itertools.combinations(crops, 2))


def test_detail_is_found_and_noise_of_single_pixels_is_not_taken_for_it() -> None:
    random = np.random.default_rng(0)
    pixels = np.full((400, 600, 3), 128, np.uint8)
    pixels[:200] += random.integers(0, 40, (200, 600, 1), dtype=np.uint8)  # fine noise in the upper half
    pixels[260:340, 420:500] = (
        random.integers(0, 256, (10, 10, 1)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    )
    best = choose_crops(pixels)[0]
    assert best.x <= 420 + 8
    assert best.x + best.width >= 500 - 8
    assert best.y <= 260 + 8
    assert best.y + best.height >= 340 - 8


def test_crops_of_a_real_picture_are_spread_out() -> None:
    pixels = images.read(EXAMPLES / "city.png").pixels
    crops = choose_crops(pixels)
    assert len(crops) == 3
    reach = np.hypot(*pixels.shape[:2])
    for a, b in itertools.combinations(crops, 2):
        assert np.hypot(a.x - b.x, a.y - b.y) > reach / 6


@given(st.integers(0, 50), st.integers(1, 50), st.sampled_from([1, 1.5, 2, 2.7, 4]))
def test_neighbours_stay_neighbours_when_scaled(start: int, length: int, scale: float) -> None:
    first = Crop(0, start, 9, length).scaled(scale)
    second = Crop(0, start + length, 9, 7).scaled(scale)
    assert first.y + first.height == second.y
    whole = Crop(0, 0, 60, 120).scaled(scale)
    assert second.y + second.height <= whole.height


def test_margin_ends_at_the_picture() -> None:
    grown = Crop(10, 100, 20, 30).grown(64, 150, 300)
    assert grown == Crop(0, 36, 94, 114)
    assert Crop(10, 100, 20, 30).within(grown) == Crop(10, 64, 20, 30)


@pytest.mark.parametrize("text", ["1,2", "1,2,3", "-1,0,4x4", "0;0;4x4", "0,0,4x4x4", "a,b,cxd", ""])
def test_crops_written_otherwise_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must be X,Y,W,H"):
        parse_crop(text, 100, 100)


@pytest.mark.parametrize("text", ["0,0,101x4", "97,0,4x4", "0,90,4x11", "0,0,4x0", "999999999,0,1x1"])
def test_crops_outside_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"beyond the picture of 100×100|must be X,Y,W,H"):
        parse_crop(text, 100, 100)
