"""Image quality metrics as the super-resolution literature computes them, in float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from escsr.errors import ConfigError, DataError

__all__ = ["psnr", "rgb_to_y", "ssim"]


def rgb_to_y(image: Tensor) -> Tensor:
    """Luma Y of ITU-R BT.601 in studio range, as MATLAB's `rgb2ycbcr` but not rounded.

    Args:
        image: (..., 3, H, W) in [0, 255]; or (..., 1, H, W), grey as R = G = B.

    Returns:
        (..., 1, H, W) in [16, 235], float64.
    """
    image = image.double()
    if image.shape[-3] == 1:
        image = image.expand(*image.shape[:-3], 3, *image.shape[-2:])
    red, green, blue = image.unbind(-3)
    return ((65.481 * red + 128.553 * green + 24.966 * blue) / 255 + 16).unsqueeze(-3)


def psnr(first: Tensor, second: Tensor, *, peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio, dB.

    Args:
        first: Any shape, in [0, peak].
        second: The same shape.
        peak: The largest value.

    Returns:
        10·log10(peak² / MSE); infinite for equal pictures.

    Raises:
        ConfigError: They are no tensors.
        DataError: The shapes differ, or there are no pixels.
    """
    _check(first, second)
    error = (first.double() - second.double()).square().mean().item()
    return math.inf if error == 0 else 10 * math.log10(peak**2 / error)


def ssim(first: Tensor, second: Tensor, *, peak: float = 255.0) -> float:
    """Structural similarity (Wang et al. 2004): 11×11 Gaussian σ 1.5, valid region only.

    Args:
        first: (C, H, W), in [0, peak], sides at least 11.
        second: The same shape.
        peak: The largest value; C1 = (0.01·peak)², C2 = (0.03·peak)².

    Returns:
        The mean over pixels and channels, in [−1, 1].

    Raises:
        ConfigError: They are no tensors, or of other dimensions.
        DataError: The shapes differ or a side is shorter than 11.
    """
    _check(first, second)
    if first.dim() != 3:
        raise ConfigError(f"SSIM is of one picture, (C, H, W), not {tuple(first.shape)}.")
    if min(first.shape[-2:]) < 11:
        raise DataError(f"SSIM needs sides of at least 11 pixels, not {tuple(first.shape[-2:])}.")
    a, b = first.double()[:, None], second.double()[:, None]
    offset = torch.arange(11, dtype=torch.float64, device=a.device) - 5
    line = torch.exp(-offset.square() / (2 * 1.5**2))
    line = line / line.sum()

    def blur(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, line.reshape(1, 1, -1, 1)), line.reshape(1, 1, 1, -1))

    mean_a, mean_b = blur(a), blur(b)
    var_a = blur(a * a) - mean_a.square()
    var_b = blur(b * b) - mean_b.square()
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    similarity = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a.square() + mean_b.square() + c1) * (var_a + var_b + c2)
    )
    return similarity.mean().item()


def _check(first: Tensor, second: Tensor) -> None:
    for each in (first, second):
        if not isinstance(each, Tensor):
            kind = type(each).__name__
            raise ConfigError(f"Pictures to compare must be tensors (torch.from_numpy), not {kind}.")
    if first.shape != second.shape:
        raise DataError(f"Pictures to compare differ in size: {tuple(first.shape)}, {tuple(second.shape)}.")
    if not first.numel():
        raise DataError(f"Pictures to compare have no pixels: {tuple(first.shape)}.")
