"""The bundled models on what no test set holds: flat, noisy, patterned, tiny and 16-bit pictures.

A new model in `weights/` is tested by itself; what is known to be amiss with one is told on its card.
Figures that `bundle_model.py` has recorded of a file (and its digest, see `test_weights.py`) can only
change with the code: one or a few models are measured again.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

import escsr
import model_tables
from escsr.evaluation.stability import HALF_LIMIT, measure_stability, stress_patterns
from escsr.upscaling.inference import Inference

MODELS = escsr.list_models()
KINDS = ("esc-light-x4", "esc-fp-x4", "esc-x4", "esc-lte", "esc-real-light-gan-x4")
_ALL = {record["model"]: record for record in model_tables.read_records()}
RECORDS = {name: record["stability"] for name, record in _ALL.items()}
HARDEST = ("black and white noise", "checkerboard", "stripes", "text")

INSIDE, BORDER, REAL_BORDER = 0.5, 1.5, 2.5
"""Levels of 255 that a grey picture may differ by before rounding, inside and where convolutions see zeros
beyond the border: a result of 8 bits is off by one level at most, and only there. Networks for real
photographs are off by two, and their results by one, because `Upscaler` mirrors their pictures."""

GAN_INSIDE, GAN_BORDER = 1.0, 9.0
"""The same of GAN forms; `Upscaler` keeps their colours too (`benchmarks/real_photos.py`: 0.4 of 255)."""

BRIGHTNESS, REAL_BRIGHTNESS, GAN_BRIGHTNESS = 0.05, 0.15, 0.2
"""By how much the mean of a pattern of single pixels may change: models for noise take it for noise.
`Upscaler` keeps the mean, see `test_the_mean_of_no_picture_changes`."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["esc-light-x4", "esc-real-light-gan-x4"])
def test_figures_are_the_recorded_ones(name: str) -> None:
    pictures = {key: picture for key, picture in stress_patterns().items() if key in HARDEST}
    figures = measure_stability(escsr.load_network(name), pictures)
    recorded = RECORDS[name]
    assert not figures.overflowing
    for key, largest in figures.activations.items():
        assert largest == pytest.approx(recorded["activations"][key], rel=0.05)
    assert figures.constant_inside == pytest.approx(recorded["constant_inside"], abs=0.02)
    assert figures.constant_border == pytest.approx(recorded["constant_border"], abs=0.02)
    assert figures.pure_border == pytest.approx(recorded["pure_border"], abs=0.1)


@pytest.mark.parametrize("name", MODELS)
def test_recorded_figures_are_good(name: str) -> None:
    recorded = RECORDS[name]
    assert list(recorded["activations"]) == list(stress_patterns())
    assert max(recorded["activations"].values()) < HALF_LIMIT
    inside, border = INSIDE, REAL_BORDER if "degradation" in _ALL[name] else BORDER
    if "-gan-" in name:
        inside, border = GAN_INSIDE, GAN_BORDER
    assert recorded["constant_inside"] < inside
    assert recorded["constant_border"] < border


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_float16_is_close_to_float32(name: str) -> None:
    pictures = stress_patterns()
    exact = _upscaler(name)
    half = escsr.Upscaler(name, device="cpu", precision="float16")
    for key in ("black and white noise", "text"):
        scale = _scale(name)
        error = half(pictures[key][None], scale=scale) - exact(pictures[key][None], scale=scale)
        assert half.inference.precision_policy.precision == "float16"
        assert error.square().mean() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("side", [1, 3, 32])
@pytest.mark.parametrize("name", MODELS)
def test_no_picture_blows_up(name: str, side: int) -> None:
    inference = _upscaler(name).inference
    assert isinstance(inference, Inference)
    chosen = [
        picture for key, picture in stress_patterns(side).items() if key in ("white", "noise", *HARDEST)
    ]
    pictures = torch.stack(chosen)
    sr = inference.run(pictures, scale=_scale(name))
    assert sr.isfinite().all()
    assert sr.min() > -1.5
    assert sr.max() < 2.5
    most = REAL_BRIGHTNESS if "degradation" in _ALL[name] else BRIGHTNESS
    most = GAN_BRIGHTNESS if "-gan-" in name else most
    assert (sr.mean((1, 2, 3)) - pictures.mean((1, 2, 3))).abs().max() < most


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if "degradation" in _ALL[name]])
def test_the_mean_of_no_picture_changes(name: str) -> None:
    patterns = stress_patterns(32)
    pictures = torch.stack([patterns[key] for key in HARDEST])
    sr = _upscaler(name)(pictures, scale=_scale(name))
    assert (sr.mean((2, 3)) - pictures.mean((2, 3))).abs().max() < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("level", [0, 3, 128, 255])
@pytest.mark.parametrize("name", MODELS)
def test_a_constant_picture_stays_so(name: str, level: int) -> None:
    pixels = np.full((40, 33, 3), level, np.uint8)
    error = np.abs(_upscaler(name)(pixels, scale=_scale(name)).astype(int) - level)
    assert error[8:-8, 8:-8].max() == 0
    assert error.max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_picture_of_a_pure_colour_stays_so_inside(name: str) -> None:
    """At the border single pixels of a saturated colour are off by more: the cards tell."""
    colour = np.array([0, 255, 0], np.uint8)
    pixels = np.broadcast_to(colour, (40, 33, 3)).copy()
    error = np.abs(_upscaler(name)(pixels, scale=_scale(name)).astype(int) - colour)
    assert error[16:-16, 16:-16].max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_16_bit_pictures_keep_their_depth(name: str) -> None:
    ramp = np.linspace(20_000, 21_000, 32).astype(np.uint16)  # four levels of 8 bits
    pixels = np.broadcast_to(ramp[None, :, None], (16, 32, 3)).copy()
    pixels[..., 2] += 5  # of equal channels it would be grey
    larger = _upscaler(name)(pixels, scale=_scale(name))
    assert larger.dtype == np.uint16
    middle = larger[12:-12, 12:-12].astype(float)
    assert len(np.unique(middle)) > 100
    assert 20_000 < middle.min() < middle.max() < 21_000
    assert abs(larger.mean() - pixels.mean()) < 0.01 * 65_535


@cache
def _upscaler(name: str) -> escsr.Upscaler:
    return escsr.Upscaler(name, device="cpu", precision="float32")


def _scale(name: str) -> float | None:
    """What a model must be told where it has no scale of its own."""
    return None if _ALL[name]["scale"] else 2.0
