"""Model "real": noise and blocks go, colours stay, and every size that the others have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import escsr
from escsr import images
from escsr.data.degradations import PRESETS, degrade
from escsr.data.degradations.jpeg import libjpeg
from escsr.data.resize import imresize
from escsr.evaluation.metrics import psnr
from escsr.evaluation.stability import pattern_peak
from escsr.models.bundled import find_model
from escsr.models.selection import DEFAULT_STRENGTH, choose_model, explain
from samples import EXAMPLES

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def real() -> escsr.Upscaler:
    return escsr.Upscaler("real", device="cpu")


def clean(name: str, side: int = 256) -> Pixels:
    return images.read(EXAMPLES / f"{name}.png").colour[100 : 100 + side, 150 : 150 + side]


def damaged(hr: Pixels, scale: int, sigma: float = 8.0, quality: int = 40) -> Pixels:
    """Shrunk, noisy, compressed."""
    lr = torch.from_numpy(imresize(hr, 1 / scale)).permute(2, 0, 1).float() / 255
    noise = torch.randn(lr.shape, generator=torch.Generator().manual_seed(0))
    lr = libjpeg((lr + noise * sigma / 255).clamp(0, 1), quality)
    return (lr * 255).round().byte().permute(1, 2, 0).numpy()


def quality(result: Pixels, truth: Pixels) -> float:
    return psnr(*(torch.from_numpy(pixels) for pixels in (result, truth)))


def test_the_name_stands_for_the_bundled_models() -> None:
    assert find_model("real").stem.startswith("esc-real-light-x")
    assert choose_model("real", 4).stem == "esc-real-light-x4"
    assert choose_model("real", 3).stem == "esc-real-light-x4"
    assert "esc-real-light" in explain("real", 4)
    assert escsr.Upscaler("real", scale=4, device="cpu").strength == DEFAULT_STRENGTH


@pytest.mark.slow
@pytest.mark.parametrize(("picture", "least"), [("flowers", 0.02), ("city", 0.2)])
def test_damaged_pictures_come_out_better(real: escsr.Upscaler, picture: str, least: float) -> None:
    """By little where all is fine texture, of which nothing is left in LR."""
    scale = real.scale or 4
    hr = clean(picture)
    lr = damaged(hr, scale, sigma=12, quality=30)
    ours = quality(real(lr), hr)
    assert ours > quality(imresize(lr, scale), hr) + least
    assert ours > quality(escsr.Upscaler(f"esc-light-x{scale}", device="cpu")(lr), hr) + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["gentle", "real-esrgan"])
def test_mean_colours_stay(real: escsr.Upscaler, preset: str) -> None:
    scale = real.scale or 4
    hr = torch.from_numpy(clean("flowers")).permute(2, 0, 1).float() / 255
    for index in range(3):
        lr, _ = degrade(hr, PRESETS[preset], scale=scale, seed=0, index=index)
        pixels = (lr * 255).round().byte().permute(1, 2, 0).numpy()
        shift = real(pixels).mean((0, 1)) - pixels.mean((0, 1))
        assert np.abs(shift).max() < 0.5


def test_grey_stays_grey(real: escsr.Upscaler) -> None:
    scale = real.scale or 4
    grey = damaged(np.repeat(clean("city")[..., :1], 3, axis=2), scale)[..., :1]
    result = real(np.repeat(grey, 3, axis=2))
    assert (np.ptp(result, axis=2) == 0).all()
    assert np.array_equal(result[..., :1], real(grey))


def test_a_noisy_flat_picture_gets_no_pattern(real: escsr.Upscaler) -> None:
    noise = np.random.default_rng(0).normal(128, 8, (64, 64, 3))
    result = real(noise.clip(0, 255).round().astype(np.uint8))[16:-16, 16:-16]
    assert pattern_peak(torch.from_numpy(result).permute(2, 0, 1)) < 0.1


def test_at_its_own_size_a_picture_is_cleaned(real: escsr.Upscaler) -> None:
    hr = clean("flowers", 128)
    lr = damaged(hr, 1, sigma=10, quality=50)
    cleaned = real(lr, scale=1)
    assert cleaned.shape == lr.shape
    assert quality(cleaned, hr) > quality(lr, hr) + 0.3


def test_sixteen_bits_and_transparency(real: escsr.Upscaler) -> None:
    scale = real.scale or 4
    lr = damaged(clean("city", 128), scale)
    deep = real(lr.astype(np.uint16) * 257)
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - real(lr)).max() <= 1
    opacity = np.full((*lr.shape[:2], 1), 200, np.uint8)
    assert (real(np.concatenate((lr, opacity), 2))[..., 3] == 200).all()
