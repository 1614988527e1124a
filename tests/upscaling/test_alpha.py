from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from escsr.runtime.progress import OnProgress
from escsr.upscaling.alpha import bleed, keep_hidden, within_neighbourhood
from escsr.upscaling.channels import upscale_pixels


def bicubic(lr: Tensor, on_progress: OnProgress | None) -> Tensor:
    """A network that rings and blurs like a real one."""
    return functional.interpolate(lr, scale_factor=3, mode="bicubic").clamp(0, 1)


def test_bleeding_fills_from_what_is_seen() -> None:
    colour, alpha = torch.zeros(3, 37, 53), torch.zeros(1, 37, 53)
    colour[:, 10:20, 30:40] = torch.tensor([0.9, 0.5, 0.1])[:, None, None]
    alpha[:, 10:20, 30:40] = 1
    assert torch.allclose(
        bleed(colour, alpha), torch.tensor([0.9, 0.5, 0.1])[:, None, None].expand_as(colour)
    )


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 99))
def test_bleeding_leaves_visible_pixels_and_stays_in_range(h: int, w: int, share: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    colour = torch.rand(3, h, w, generator=generator)
    alpha = torch.rand(1, h, w, generator=generator) * (torch.rand(1, h, w, generator=generator) < share)
    bled = bleed(colour, alpha)
    seen = (alpha > 0).expand_as(colour)
    assert torch.equal(bled[seen], colour[seen])
    if seen.any() and not seen.all():
        assert bled.min() >= colour[seen].min() - 1e-5
        assert bled.max() <= colour[seen].max() + 1e-5
    elif not seen.any():
        assert torch.equal(bled, colour)


def test_opacity_of_one_value_around_is_exact() -> None:
    alpha = torch.full((1, 20, 20), 0.3)
    alpha[:, :8], alpha[:, 12:] = 0, 1
    noisy = alpha.repeat_interleave(2, 1).repeat_interleave(2, 2) + 0.1 * torch.randn(1, 40, 40)
    held = within_neighbourhood(noisy, alpha)
    assert (held[:, :14] == 0).all()
    assert (held[:, 26:] == 1).all()
    assert held.min() == 0
    assert held.max() == 1


def test_hidden_colours_come_back() -> None:
    colour = torch.rand(3, 4, 5)
    sr, sr_alpha = torch.rand(3, 8, 10), torch.ones(1, 8, 10)
    sr_alpha[:, :4] = 0
    kept = keep_hidden(sr, sr_alpha, colour)
    assert torch.equal(kept[:, 4:], sr[:, 4:])
    assert torch.equal(kept[:, :4], colour[:, :2].repeat_interleave(2, 1).repeat_interleave(2, 2))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("hidden", [0.0, 1.0])
def test_no_fringes(dtype: type, hidden: float) -> None:
    """A disc of one colour keeps it to its last visible pixel, whatever lies under the transparency."""
    y, x = np.mgrid[:24, :24]
    alpha = np.clip(8.5 - np.hypot(y - 11.5, x - 11.5), 0, 1)[..., None]
    peak = 1 if dtype is np.float32 else np.iinfo(dtype).max
    pixels = np.concatenate([np.where(alpha > 0, (0.8, 0.4, 0.2), hidden), alpha], -1) * peak
    result = upscale_pixels(pixels.astype(dtype), bicubic)
    seen = result[..., 3] > 0
    assert 0.1 < seen.mean() < 0.9
    difference = result[seen][:, :3] / peak - (0.8, 0.4, 0.2)
    assert np.abs(difference).max() < (0.005 if dtype is np.uint8 else 0.0001)
    assert (result[:6, :6, :3] == np.asarray(hidden * peak, dtype)).all(), "as the file had it"
    assert (result[33:39, 33:39, 3] == peak).all(), "whole in the middle"


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_no_rings_around_what_is_brighter_than_white(linear: bool, channels: int) -> None:
    y, x = np.mgrid[:40, :40]
    pixels = np.full((40, 40, channels), 0.05, np.float32)
    pixels[np.hypot(y - 19.5, x - 25.5) < 6, :3] = 900
    if channels == 4:
        pixels[..., 3] = 1
    result = upscale_pixels(pixels, bicubic, linear=linear)[..., :3]
    assert result.min() == pytest.approx(0.05, rel=1e-4)
    assert result.max() == pytest.approx(900, rel=1e-4)
    far = result[:, :20]
    assert far.max() == pytest.approx(0.05, rel=1e-4)
    ordinary = np.clip(pixels, 0, 1)
    expected = bicubic(torch.from_numpy(ordinary[..., :1].transpose(2, 0, 1)).expand(3, -1, -1)[None], None)
    assert (upscale_pixels(ordinary, bicubic)[..., 0] == expected[0, 0].numpy()).all(), "others are as ever"
