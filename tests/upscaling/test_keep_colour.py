"""Colours held: low frequencies are the picture's, detail is the network's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from escsr.models.saving import save_network
from escsr.networks import ESC, variant_config
from escsr.upscaling import keep_colour
from escsr.upscaling.keep_colour import keep_colour_, mirrored, without_mirrored
from escsr.upscaling.upscaler import Upscaler


@given(height=st.integers(1, 90), width=st.integers(1, 70), scale=st.integers(1, 4))
def test_a_shift_is_taken_back(height: int, width: int, scale: int) -> None:
    lr = 0.2 + 0.6 * torch.rand(1, 3, height, width)
    sr = (
        F.interpolate(lr, scale_factor=scale, mode="nearest")
        + torch.tensor([0.1, -0.05, 0.02])[:, None, None]
    )
    keep_colour_(sr, lr)
    expected = F.interpolate(lr, scale_factor=scale, mode="nearest")
    torch.testing.assert_close(sr, expected, rtol=0, atol=1e-5)


def test_detail_stays_and_slow_drift_goes() -> None:
    lr = torch.full((1, 3, 128, 96), 0.5)
    rows, columns = torch.arange(256)[:, None], torch.arange(192)
    detail = 0.1 * ((rows + columns) % 2 * 2.0 - 1)
    drift = 0.05 * torch.cos(torch.pi * (columns + 0.5) / 192).expand(256, 192)
    sr = 0.5 + (detail + drift).expand(1, 3, -1, -1).clone()
    keep_colour_(sr, lr)
    left = sr[0, 0] - 0.5
    assert (left - detail).abs().max() < 0.012
    assert (left - detail).mean().abs() < 1e-4


def test_bands_of_rows_are_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lr, sr = torch.rand(2, 3, 50, 41), torch.rand(2, 3, 150, 123)
    results = []
    for rows in (7, 64, 1000):
        monkeypatch.setattr(keep_colour, "_ROWS", rows)
        results.append(keep_colour_(sr.clone(), lr))
    assert torch.equal(results[0], results[2])
    assert torch.equal(results[1], results[2])


def test_sides_that_are_no_whole_multiples() -> None:
    lr, sr = torch.full((1, 3, 20, 31), 0.25), torch.full((1, 3, 33, 50), 0.5)
    torch.testing.assert_close(keep_colour_(sr, lr), torch.full_like(sr, 0.25))


@pytest.mark.parametrize("level", [0, 37, 255])
def test_the_border_of_a_grey_is_that_grey(level: int) -> None:
    """Of a real model, up to the corners; alone its network is off there by two levels."""
    pixels = np.full((21, 18, 3), level, np.uint8)
    error = {
        keep: np.abs(Upscaler("esc-real-light-x4", keep_colour=keep, device="cpu")(pixels) - float(level))
        for keep in (True, False)
    }
    assert error[True].max() <= 1
    assert error[True].mean() <= error[False].mean()


def test_mirrored_pixels_do_not_show() -> None:
    lr = torch.rand(1, 3, 1, 5)
    sr = F.interpolate(mirrored(lr), scale_factor=3, mode="nearest")
    assert torch.equal(without_mirrored(sr, 3), F.interpolate(lr, scale_factor=3, mode="nearest"))


def shifted_model(path: Path, *, degradation: str | None) -> Path:
    """A network that gives bicubic-like results, all of them 0.1 too bright."""
    torch.manual_seed(0)
    network = ESC(variant_config("esc-light", scale=2))
    with torch.no_grad():
        for name, weight in network.upsampler.named_parameters():
            weight.fill_(0.1 if name.endswith("bias") else 0.0)
    save_network(network, path, metadata={} if degradation is None else {"degradation": degradation})
    return path


def test_models_of_real_photographs_keep_colours_by_themselves(tmp_path: Path) -> None:
    picture = np.full((20, 24, 3), 100, np.uint8)
    clean = shifted_model(tmp_path / "clean.safetensors", degradation=None)
    real = shifted_model(tmp_path / "real.safetensors", degradation="gentle")
    for path, keep, expected in (
        (clean, None, 126),
        (clean, True, 100),
        (real, None, 100),
        (real, False, 126),
    ):
        result = Upscaler(path, keep_colour=keep, device="cpu")(picture)
        assert np.abs(result.astype(int) - expected).max() <= 1


def test_a_callers_autocast_changes_nothing(tmp_path: Path) -> None:
    save_network(
        ESC(variant_config("esc-light", scale=2).replace(num_blocks=1)), tmp_path / "m.safetensors"
    )
    upscaler = Upscaler(tmp_path / "m.safetensors", device="cpu", keep_colour=True)
    lr = torch.rand(1, 3, 24, 20)
    expected = upscaler(lr)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(upscaler(lr), expected)
