"""Noise and JPEG blocks are found where they are, and not in what is clean or drawn."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from escsr import images
from escsr.data.degradations.jpeg import libjpeg
from escsr.data.resize import imresize
from escsr.errors import ConfigError
from escsr.upscaling.damage import Damage, measure_damage
from samples import EXAMPLES

NAMES = ("city", "flowers")
ROWS, COLUMNS = np.mgrid[:384, :512]


def example(name: str) -> NDArray[np.uint8]:
    return np.ascontiguousarray(images.read(EXAMPLES / f"{name}.png").colour)


def noisy(pixels: NDArray[np.uint8], sigma: float, *, grey: bool = False) -> NDArray[np.uint8]:
    shape = (*pixels.shape[:2], 1 if grey else pixels.shape[2])
    noise = np.random.default_rng(0).normal(0, sigma, shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def compressed(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    image = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    return (libjpeg(image, quality) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("sigma", [4, 6, 10, 15, 20, 25, 30])
def test_the_width_of_noise(name: str, sigma: float, grey: bool) -> None:
    damage = measure_damage(noisy(example(name), sigma, grey=grey))
    assert damage.noise == pytest.approx(sigma, rel=0.2)
    assert damage.is_noisy == (sigma > 5) or sigma == 6
    assert not damage.is_blocky


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("quality", [25, 50, 75])
def test_blocks_whatever_was_cut_off(name: str, quality: int) -> None:
    pixels = compressed(example(name), quality)
    whole = measure_damage(pixels)
    assert whole.is_blocky
    for top, left in ((1, 0), (0, 3), (4, 4), (2, 7), (7, 5)):
        assert measure_damage(pixels[top:, left:]).blockiness == pytest.approx(whole.blockiness, rel=0.1)
    if quality < 75:
        assert measure_damage(compressed(pixels[3:, 5:], 95)).is_blocky, "cropped and saved again"


@pytest.mark.parametrize("name", NAMES)
def test_the_worse_the_quality_the_more_blocks(name: str) -> None:
    found = [measure_damage(compressed(example(name), quality)).blockiness for quality in (95, 75, 50, 25)]
    assert found == sorted(found)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1, 1 / 2, 1 / 4])
def test_clean_pictures(name: str, scale: float) -> None:
    pixels = imresize(example(name), scale)
    assert not measure_damage(pixels).is_damaged
    assert not measure_damage(compressed(pixels, 95)).is_damaged, "a camera's file is clean"
    assert str(measure_damage(pixels)) == "no damage"


def test_words_for_each_kind() -> None:
    assert str(Damage(noise=9.0, blockiness=0.0)) == "noise"
    assert str(Damage(noise=0.0, blockiness=0.5)) == "JPEG blocks"
    assert str(Damage(noise=9.0, blockiness=0.5)) == "noise and JPEG blocks"
    side_by_side = np.concatenate([noisy(example("city"), 20), compressed(example("city"), 25)], axis=1)
    assert measure_damage(side_by_side).is_damaged


def text() -> NDArray[np.uint8]:
    """Lines of letters of one shape each, their edges softened as fonts on a screen."""
    random = np.random.default_rng(1)
    letters = random.random((24, 14, 9)) < 0.35
    page = np.zeros((384, 512))
    for row in range(8, 360, 18):
        for column in range(8, 490, 11):
            page[row : row + 14, column : column + 9] = letters[random.integers(24)]
    soft = (2 * page + np.roll(page, 1, 1) + np.roll(page, -1, 1)) / 4
    return np.rint(255 - 225 * soft).astype(np.uint8)


def screenshot() -> NDArray[np.uint8]:
    """Bars, a lattice of buttons, a page of text and a photograph."""
    screen = np.full((800, 1280, 3), (236, 238, 241), np.uint8)
    screen[:40], screen[40:, :240] = (52, 60, 80), (225, 228, 233)
    for row in range(56, 760, 64):
        for column in range(264, 1240, 64):
            screen[row : row + 48, column : column + 48] = (200 + row // 64, 210, 230)
    screen[200:584, 300:812] = text()[..., None]
    screen[150:726, 700:1276] = example("city")
    return screen


DRAWN: dict[str, NDArray[Any]] = {
    "flat": np.full((300, 400, 3), 117, np.uint8),
    "black": np.zeros((300, 400), np.uint8),
    "ramp": np.rint(COLUMNS / 2).astype(np.uint8),
    "ramp of a step every 8 pixels": (COLUMNS // 8 + 100).astype(np.uint8),
    "slant": np.rint((COLUMNS + 0.7 * ROWS) / 4).astype(np.uint8),
    "ramp in 16 bits": (ROWS * 100 + COLUMNS).astype(np.uint16),
    "rings": np.rint(127 + 120 * np.sin(np.hypot(ROWS - 150, COLUMNS - 200) ** 2 / 900)).astype(np.uint8),
    "text": text(),
    "screenshot": screenshot(),
    "screenshot at half its size": imresize(screenshot(), 1 / 2),
    "pixels of a game": np.random.default_rng(0)
    .integers(0, 256, (8, 3), np.uint8)[np.random.default_rng(1).integers(0, 8, (40, 60))]
    .repeat(8, 0)
    .repeat(8, 1),
}


@pytest.mark.parametrize("name", DRAWN)
def test_drawn_pictures(name: str) -> None:
    assert not measure_damage(DRAWN[name]).is_damaged, measure_damage(DRAWN[name])


@pytest.mark.parametrize("cell", [1, 2, 3, 4, 6, 8, 10, 16])
@pytest.mark.parametrize(("dark", "light"), [(0, 255), (100, 110), (64, 192)])
@pytest.mark.parametrize("offset", [0, 1, 3])
def test_checkerboards(cell: int, dark: int, light: int, offset: int) -> None:
    is_light = ((ROWS + offset) // cell + (COLUMNS + offset) // cell) % 2
    assert not measure_damage(np.where(is_light, light, dark).astype(np.uint8)).is_damaged


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4)).flatmap(
        lambda shape: st.sampled_from(["uint8", "uint16", "float16", "float32"]).flatmap(
            lambda dtype: arrays(dtype, shape)
        )
    )
)
def test_any_small_array_is_measured(pixels: NDArray[Any]) -> None:
    damage = measure_damage(pixels)
    assert 0 <= damage.noise < 256
    assert 0 <= damage.blockiness < 8


def test_too_small_to_tell() -> None:
    for shape in ((1, 1), (1, 500), (500, 1), (8, 8, 3), (20, 20)):
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        assert measure_damage(pixels) == Damage(0.0, 0.0)


def test_the_same_in_every_depth_and_without_alpha() -> None:
    pixels = noisy(compressed(example("flowers"), 25), 1)
    whole = measure_damage(pixels)
    hole = np.random.default_rng(0).integers(0, 256, (*pixels.shape[:2], 1), dtype=np.uint8)
    assert measure_damage(np.concatenate([pixels, hole], axis=2)) == whole
    others: list[NDArray[Any]] = [pixels.astype(np.uint16) * 257, (pixels / 255).astype(np.float32)]
    linear = np.where(pixels <= 10, pixels / 255 / 12.92, ((pixels / 255 + 0.055) / 1.055) ** 2.4)
    found = [measure_damage(other) for other in others]
    found.append(measure_damage(linear.astype(np.float32), linear=True))
    for damage in found:
        assert damage.noise == pytest.approx(whole.noise, abs=0.02)
        assert damage.blockiness == pytest.approx(whole.blockiness, abs=0.005)
    grey = pixels[..., 1]
    assert measure_damage(grey) == measure_damage(grey[..., None])
    assert measure_damage(np.stack([grey, hole[..., 0]], axis=2)) == measure_damage(grey)


@pytest.mark.parametrize("tiles", [(2, 2), (1, 12), (12, 1), (4, 3)])
def test_a_large_picture_is_as_its_parts(tiles: tuple[int, int]) -> None:
    clean = example("city")
    for part in (noisy(clean, 12), compressed(clean, 25)):
        small, large = measure_damage(part), measure_damage(np.tile(part, (*tiles, 1)))
        assert large.noise == pytest.approx(small.noise, rel=0.15, abs=0.5)
        assert large.blockiness == pytest.approx(small.blockiness, rel=0.25, abs=0.05)


@pytest.mark.parametrize("shape", [(3000, 4000), (20000, 60), (60, 20000), (130, 9000), (1030, 1020)])
def test_the_cost_does_not_grow(shape: tuple[int, int]) -> None:
    def seconds(pixels: NDArray[np.uint8]) -> float:
        spent = []
        for _ in range(5):
            start = time.process_time()
            assert measure_damage(pixels).is_noisy
            spent.append(time.process_time() - start)
        return min(spent)

    random = np.random.default_rng(0)
    million, large = (random.integers(0, 256, (*s, 3), np.uint8) for s in ((1000, 1000), shape))
    assert seconds(large) < 3 * seconds(million)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros(5, np.uint8),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros((4, 4), int),
    ],
)
def test_what_is_no_picture(pixels: NDArray[Any]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        measure_damage(pixels)


@pytest.mark.parametrize("name", ["B100", "Set14"])
def test_shares_found_in_test_sets(shared: Path, name: str) -> None:
    pictures = [
        np.array(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
        for pixels in (
            images.read(path).colour for path in images.find_images(shared / "data" / name / "HR")[:12]
        )
    ]
    assert np.mean([measure_damage(compressed(pixels, 40)).is_blocky for pixels in pictures]) >= 0.9
    assert np.mean([measure_damage(noisy(pixels, 10)).is_noisy for pixels in pictures]) >= 0.9
    assert np.mean([measure_damage(imresize(pixels, 1 / 2)).is_damaged for pixels in pictures]) <= 0.1
