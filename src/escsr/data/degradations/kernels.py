"""Blur kernels of the second-order degradation: Gaussians of three shapes, and the sinc of a low-pass.

Source: Real-ESRGAN (ICCVW 2021), section 3, whose shapes are those of Liu et al. (ICCV 2020).
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from escsr.errors import ConfigError

__all__ = ["KernelShape", "gaussian_kernel", "sinc_kernel"]

KernelShape = Literal["gaussian", "generalised", "plateau"]
"""With q = xᵀΣ⁻¹x: "gaussian" exp(−q/2), "generalised" exp(−q^β/2), "plateau" 1/(1 + q^β)."""


def gaussian_kernel(
    size: int,
    sigma: tuple[float, float],
    theta: float = 0.0,
    *,
    shape: KernelShape = "gaussian",
    beta: float = 1.0,
) -> NDArray[np.float64]:
    """A kernel of one of the Gaussian shapes, its sum 1.

    Args:
        size: Side k, odd.
        sigma: Widths along its two axes, pixels; equal for an isotropic kernel.
        theta: Turn of the axes, radians.
        shape: See `KernelShape`.
        beta: Exponent β of the shapes other than "gaussian".

    Returns:
        (k, k).

    Raises:
        ConfigError: The size is even, a width not positive, or the shape unknown.
    """
    if size < 1 or size % 2 == 0 or min(sigma) <= 0 or shape not in get_args(KernelShape):
        raise ConfigError(
            f"A kernel needs an odd size, positive sigma and a known shape, not {size}, {sigma}, {shape}."
        )
    rotation = np.array([[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]])
    inverse = np.linalg.inv(rotation @ np.diag(np.square(sigma)) @ rotation.T)
    axis = np.arange(size) - (size - 1) / 2
    place = np.stack(np.meshgrid(axis, axis), -1)  # (k, k, 2): x, y
    q = np.einsum("ijk,kl,ijl->ij", place, inverse, place)
    if shape == "plateau":
        kernel = 1 / (1 + q**beta)
    else:
        kernel = np.exp(-(q**beta if shape == "generalised" else q) / 2)
    return kernel / kernel.sum()


def sinc_kernel(size: int, cutoff: float) -> NDArray[np.float64]:
    """A circular low-pass: it leaves rings beside edges, as over-sharpened and compressed pictures have.

    Args:
        size: Side k, odd.
        cutoff: ω, radians per pixel, in (0, π].

    Returns:
        (k, k), its sum 1: ω·J₁(ωr) / (2πr), and ω²/(4π) in the middle.
    """
    axis = np.arange(size) - (size - 1) / 2
    radius = np.hypot(*np.meshgrid(axis, axis))
    bessel = torch.special.bessel_j1(torch.from_numpy(cutoff * radius)).numpy()
    kernel = np.full((size, size), cutoff**2 / (4 * math.pi))
    np.divide(cutoff * bessel, 2 * math.pi * radius, out=kernel, where=radius > 0)
    return kernel / kernel.sum()
