from __future__ import annotations

import math

import pytest
import torch

from escsr.errors import ConfigError, DataError
from escsr.evaluation.metrics import psnr, rgb_to_y, ssim


def test_luma_of_known_colours() -> None:
    colours = torch.tensor([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]])
    y = rgb_to_y(colours.T.reshape(3, 1, 5)).flatten()
    assert y.tolist() == pytest.approx([16, 235, 81.481, 144.553, 40.966])
    assert rgb_to_y(torch.full((1, 2, 2), 255)).flatten().tolist() == pytest.approx([235] * 4)


def test_psnr() -> None:
    zero = torch.zeros(3, 4, 4)
    assert psnr(zero, zero + 1) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(zero, zero + 0.1, peak=1.0) == pytest.approx(20.0)
    assert psnr(zero, zero) == math.inf
    with pytest.raises(DataError, match="differ in size"):
        psnr(zero, zero[:1])


def test_ssim_by_its_definition() -> None:
    """One 11×11 window, summed by hand."""
    a, b = torch.rand(2, 1, 11, 11, dtype=torch.float64) * 255
    offset = torch.arange(11, dtype=torch.float64) - 5
    window = torch.exp(-(offset[:, None] ** 2 + offset**2) / 4.5)
    window /= window.sum()
    mean_a, mean_b = (window * a[0]).sum(), (window * b[0]).sum()
    var_a, var_b = (window * (a[0] - mean_a) ** 2).sum(), (window * (b[0] - mean_b) ** 2).sum()
    cov = (window * (a[0] - mean_a) * (b[0] - mean_b)).sum()
    c1, c2 = 6.5025, 58.5225
    expected = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    expected /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    assert ssim(a, b) == pytest.approx(expected.item())
    assert ssim(a, a) == pytest.approx(1)
    assert ssim(a, b) == pytest.approx(ssim(b, a))
    with pytest.raises(DataError, match="at least 11"):
        ssim(a[:, :10], b[:, :10])


def test_refusals() -> None:
    image = torch.rand(3, 12, 12)
    for metric in (psnr, ssim):
        with pytest.raises(ConfigError, match="must be tensors"):
            metric(image.numpy(), image.numpy())  # type: ignore[arg-type]
        with pytest.raises(DataError, match="no pixels"):
            metric(image[:0], image[:0])
    for other in (image[0], image[None]):
        with pytest.raises(ConfigError, match=r"one picture, \(C, H, W\)"):
            ssim(other, other)
