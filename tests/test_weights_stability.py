"""The bundled models on what no test set holds: flat, noisy, patterned, tiny and 16-bit pictures.

A new model in `weights/` is tested by itself; what is known to be amiss with one is told on its card.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

import escsr
import model_tables
from escsr.evaluation.stability import HALF_LIMIT, hard_pictures, measure_stability

MODELS = escsr.list_models()
RECORDS = {record["model"]: record["stability"] for record in model_tables.read_records()}
HARDEST = ("black and white noise", "checkerboard", "stripes", "text")

OVERFLOWING = {"esc-light-x3": {"checkerboard", "stripes"}}
"""Known faults, told on the cards: these patterns of single pixels leave the range of float16."""

INSIDE, BORDER = 1.0, 2.2
"""Levels of 255 that a constant picture may differ by: within, and where convolutions see the zeros beyond
the border. There it should be 1 as well; esc-light-x4 reaches 2.1."""


@pytest.mark.parametrize("name", MODELS)
def test_figures_are_the_recorded_ones(name: str) -> None:
    pictures = {key: picture for key, picture in hard_pictures().items() if key in HARDEST}
    figures = measure_stability(escsr.load_network(name), pictures)
    recorded = RECORDS[name]
    assert set(figures.overflowing) == OVERFLOWING.get(name, set())
    for key, largest in figures.activations.items():
        if key not in figures.overflowing:  # beyond the range they are chaotic
            assert largest == pytest.approx(recorded["activations"][key], rel=0.05)
    assert figures.constant_inside == pytest.approx(recorded["constant_inside"], abs=0.02)
    assert figures.constant_border == pytest.approx(recorded["constant_border"], abs=0.02)
    assert figures.constant_inside < INSIDE
    assert figures.constant_border < BORDER


@pytest.mark.parametrize("name", MODELS)
def test_records_hold_every_made_picture(name: str) -> None:
    activations = RECORDS[name]["activations"]
    assert list(activations) == list(hard_pictures())
    over = {key for key, largest in activations.items() if largest > HALF_LIMIT}
    assert over == OVERFLOWING.get(name, set())


@pytest.mark.parametrize("name", MODELS)
def test_float16_is_close_to_float32(name: str) -> None:
    pictures = hard_pictures()
    rest = [key for key in HARDEST if key not in OVERFLOWING.get(name, set())]
    exact = escsr.Upscaler(name, device="cpu", precision="float32")
    half = escsr.Upscaler(name, device="cpu", precision="float16")
    for key in rest:
        scale = _scale(name)
        error = half(pictures[key][None], scale=scale) - exact(pictures[key][None], scale=scale)
        assert half.inference.arithmetic.precision == "float16"
        assert error.square().mean() < 1e-6


@pytest.mark.parametrize(("name", "key"), [(name, min(keys)) for name, keys in OVERFLOWING.items()])
def test_what_overflows_is_computed_in_a_higher_precision(name: str, key: str) -> None:
    picture = hard_pictures()[key][None]
    half = escsr.Upscaler(name, device="cpu", precision="float16")
    error = half(picture) - escsr.Upscaler(name, device="cpu", precision="float32")(picture)
    assert half.inference.arithmetic.precision == "bfloat16"
    assert error.square().mean() < 1e-4


@pytest.mark.parametrize("side", [1, 2, 3, 5, 8, 32])
@pytest.mark.parametrize("name", MODELS)
def test_no_picture_blows_up(name: str, side: int) -> None:
    network = escsr.load_network(name)
    chosen = [
        picture for key, picture in hard_pictures(side).items() if key in ("white", "noise", *HARDEST)
    ]
    pictures = torch.stack(chosen)
    with torch.no_grad():
        sr = network(pictures) if network.config.scale else network(pictures, scale=2)
    assert sr.isfinite().all()
    assert sr.min() > -1.5
    assert sr.max() < 2.5
    assert (sr.mean((1, 2, 3)) - pictures.mean((1, 2, 3))).abs().max() < 0.05


@pytest.mark.parametrize("level", [0, 3, 128, 255])
@pytest.mark.parametrize("name", MODELS)
def test_a_constant_picture_stays_so(name: str, level: int) -> None:
    pixels = np.full((40, 33, 3), level, np.uint8)
    error = np.abs(escsr.Upscaler(name, device="cpu")(pixels, scale=_scale(name)).astype(int) - level)
    assert error[8:-8, 8:-8].max() <= 1
    assert error.max() <= 2, "convolutions see zeros beyond the border"


@pytest.mark.parametrize("name", MODELS)
def test_16_bit_pictures_keep_their_depth(name: str) -> None:
    ramp = np.linspace(20_000, 21_000, 32).astype(np.uint16)  # four levels of 8 bits
    pixels = np.broadcast_to(ramp[None, :, None], (16, 32, 3)).copy()
    larger = escsr.Upscaler(name, device="cpu")(pixels, scale=_scale(name))
    assert larger.dtype == np.uint16
    middle = larger[12:-12, 12:-12].astype(float)
    assert len(np.unique(middle)) > 100
    assert 20_000 < middle.min() < middle.max() < 21_000
    assert abs(larger.mean() - pixels.mean()) < 0.01 * 65_535


def _scale(name: str) -> float | None:
    """What a model must be told where it has no scale of its own."""
    return None if escsr.load_network(name).config.scale else 2.0
