"""Resizers by name: the ways in which LR pictures are made from HR ones, each as its source makes them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Integral
from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from escsr.data.pil_resize import PilFilter, pil_resize
from escsr.data.resize import imresize
from escsr.errors import ConfigError, DataError
from escsr.runtime.choices import Resizer, check_choice

__all__ = ["Resizer", "downscale"]


def downscale(hr: NDArray[np.uint8], scale: int, resizer: Resizer = "matlab-bicubic") -> NDArray[np.uint8]:
    """Makes the LR picture of an HR one.

    Args:
        hr: uint8 (H, W, C), both sides multiples of `scale`.
        scale: Factor r by which the sides are divided.
        resizer: See `Resizer`.

    Returns:
        uint8 (H/r, W/r, C).

    Raises:
        ConfigError: There is no such resizer, or the scale is not a positive integer.
        DataError: The sides are no multiples of `scale`.

    Example:
        >>> downscale(np.zeros((12, 18, 3), np.uint8), 3, "pil-bicubic").shape
        (4, 6, 3)
    """
    check_choice("resizer", resizer, Resizer)
    if not (isinstance(scale, Integral) and scale >= 1):
        raise ConfigError(f"scale must be a positive integer, not {scale}.")
    fits = hr.ndim == 3 and 0 not in hr.shape and not hr.shape[0] % scale and not hr.shape[1] % scale
    if hr.dtype != np.uint8 or not fits:
        raise DataError(
            f"HR must be uint8 (H, W, C), its sides multiples of {scale}, not {hr.dtype} {hr.shape}."
        )
    return hr.copy() if scale == 1 else _DOWNSCALE[resizer](hr, scale)


def _pil(hr: NDArray[np.uint8], scale: int, *, resample: PilFilter) -> NDArray[np.uint8]:
    return pil_resize(hr, (hr.shape[0] // scale, hr.shape[1] // scale), resample)


def _interpolate(
    hr: NDArray[np.uint8], scale: int, *, mode: str, half_up: bool, antialias: bool = False
) -> NDArray[np.uint8]:
    """PyTorch's interpolation in float64, rounded as the library that is imitated does."""
    pixels = torch.from_numpy(hr.astype(np.float64)).permute(2, 0, 1)[None]
    size = (hr.shape[0] // scale, hr.shape[1] // scale)
    small = F.interpolate(pixels, size, mode=mode, antialias=antialias)[0].permute(1, 2, 0)
    rounded = (small + 0.5).floor() if half_up else small.round()
    return rounded.clamp(0, 255).to(torch.uint8).numpy()


_DOWNSCALE: dict[str, Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]] = {
    "matlab-bicubic": lambda hr, scale: imresize(hr, 1 / scale),
    "matlab-double": lambda hr, scale: imresize(hr, 1 / scale, convention="matlab-double"),
    **{f"pil-{resample}": partial(_pil, resample=resample) for resample in get_args(PilFilter)},
    "pil-nearest": lambda hr, scale: hr[scale // 2 :: scale, scale // 2 :: scale].copy(),
    "torch-bicubic": partial(_interpolate, mode="bicubic", half_up=False, antialias=True),
    "opencv-bicubic": partial(_interpolate, mode="bicubic", half_up=False),
    "opencv-bilinear": partial(_interpolate, mode="bilinear", half_up=True),
    # Means of r×r; OpenCV has a path of its own for ×2, which rounds half up instead of to even.
    "opencv-area": lambda hr, scale: _interpolate(hr, scale, mode="area", half_up=scale == 2),
    "opencv-nearest": lambda hr, scale: hr[::scale, ::scale].copy(),
}
