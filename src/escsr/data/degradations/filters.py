"""Blur, resize and sharpening of images in degradations, on tensors (C, H, W) in [0, 1]."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

__all__ = ["ResizeMode", "blur", "resize", "sharpen"]

ResizeMode = Literal["area", "bilinear", "bicubic"]
"""Interpolation without antialiasing, as OpenCV's: factors below ½ alias."""

_SHARPEN_TAPS, _SHARPEN_SIGMA = 51, 8.0
_SHARPEN_WEIGHT, _SHARPEN_THRESHOLD = 0.5, 10 / 255


def blur(image: Tensor, kernel: NDArray[np.float64]) -> Tensor:
    """Correlates every channel with one kernel; the border is reflected (101).

    Args:
        image: (C, H, W).
        kernel: (k, k), k odd.

    Returns:
        (C, H, W).
    """
    radius = kernel.shape[-1] // 2
    height, width = image.shape[-2:]
    padded = _padded(image, radius)
    size = tuple(_fast_length(side) for side in padded.shape[-2:])
    flipped = torch.from_numpy(np.ascontiguousarray(kernel[::-1, ::-1])).to(image.dtype)
    product = torch.fft.rfft2(padded, s=size) * torch.fft.rfft2(flipped, s=size)
    whole = torch.fft.irfft2(product, s=size)
    return whole[..., 2 * radius : 2 * radius + height, 2 * radius : 2 * radius + width]


def resize(
    image: Tensor, *, mode: ResizeMode, factor: float = 1.0, size: tuple[int, int] | None = None
) -> Tensor:
    """Resizes by a factor, which the coordinates use as it is, or to a size.

    Args:
        image: (C, H, W).
        mode: See `ResizeMode`; bicubic has a = −0.75.
        factor: Result over input; sides are rounded down, to 1 at least.
        size: Rows and columns of the result instead.

    Returns:
        (C, R, S), not clamped.
    """
    align = None if mode == "area" else False
    if size is None and min(image.shape[-2:]) * factor < 1:
        size = (max(1, int(image.shape[-2] * factor)), max(1, int(image.shape[-1] * factor)))
    if size is not None:
        return F.interpolate(image[None], size=size, mode=mode, align_corners=align)[0]
    return F.interpolate(image[None], scale_factor=factor, mode=mode, align_corners=align)[0]


def sharpen(image: Tensor) -> Tensor:
    """Unsharp mask of training targets: only where the residual is above 10 of 255 levels.

    Args:
        image: (C, H, W).

    Returns:
        (C, H, W), in [0, 1].
    """
    residual = image - _smooth(image)
    mask = _smooth((residual.abs() > _SHARPEN_THRESHOLD).to(image.dtype))
    sharp = (image + _SHARPEN_WEIGHT * residual).clamp(0, 1)
    return mask * sharp + (1 - mask) * image


def _smooth(image: Tensor) -> Tensor:
    """A Gaussian of 51 taps and σ 8, the border reflected: two products with matrices."""
    rows, columns = (_smoothing_matrix(side) for side in image.shape[-2:])
    return rows @ image @ columns.T


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is kept may be needed for gradients later
def _smoothing_matrix(side: int) -> Tensor:
    """Output pixels × input pixels of one axis, (side, side)."""
    radius = _SHARPEN_TAPS // 2
    line = np.exp(-np.square(np.arange(-radius, radius + 1)) / (2 * _SHARPEN_SIGMA**2))
    place = np.lib.stride_tricks.sliding_window_view(_reflected(side, radius), _SHARPEN_TAPS)
    matrix = np.zeros((side, side))
    np.add.at(matrix, (np.arange(side)[:, None], place), line / line.sum())
    return torch.from_numpy(matrix).float()


def _reflected(side: int, radius: int) -> NDArray[np.int64]:
    """Pixels of a side and `radius` more at both ends, mirrored at the border ones: (side + 2·radius,)."""
    period = max(1, 2 * (side - 1))
    place = np.abs(np.arange(-radius, side + radius)) % period
    return np.minimum(place, period - place) if side > 1 else np.zeros(side + 2 * radius, np.int64)


def _padded(image: Tensor, radius: int) -> Tensor:
    """(C, H, W) → (C, H + 2·radius, W + 2·radius), reflected as often as it takes."""
    if radius < min(image.shape[-2:]):
        return F.pad(image, [radius] * 4, mode="reflect")
    rows, columns = (torch.from_numpy(_reflected(side, radius)) for side in image.shape[-2:])
    return image.index_select(1, rows).index_select(2, columns)


@lru_cache(maxsize=1024)
def _fast_length(size: int) -> int:
    """The next length whose only factors are 2, 3 and 5."""
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 1
