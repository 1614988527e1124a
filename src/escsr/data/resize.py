"""MATLAB-compatible bicubic `imresize`, the low-pass that super-resolution benchmarks are made with.

Bicubic with a = −0.5, the kernel stretched by 1/scale when downscaling (antialiasing), symmetric
border, output size ceil(size · scale). PIL, OpenCV and PyTorch compute something else.
"""

from __future__ import annotations

import math
from functools import lru_cache, reduce
from numbers import Real
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from escsr.errors import ConfigError

__all__ = ["Convention", "imresize", "weigh_taps"]

Convention = Literal["matlab-uint8", "matlab-double"]
"""`imresize(I)` on 8-bit pixels, which rounds between the two passes, or `imresize(im2double(I))`."""


_Image = TypeVar("_Image", NDArray[Any], Tensor)


def imresize(
    image: _Image,
    scale: float,
    *,
    convention: Convention = "matlab-uint8",
    size: tuple[int, int] | None = None,
) -> _Image:
    """Resizes a picture as MATLAB's `imresize(image, scale, "bicubic")` does.

    Args:
        image: uint8 array (H, W) or (H, W, C) in [0, 255]; or floating array of the same shape; or
            floating tensor (..., H, W), differentiable. Floating pictures of any range are neither
            rounded nor clipped, whatever the convention.
        scale: Factor of both sides, below 1 to downscale.
        convention: For uint8: "matlab-uint8" rounds half up and clips after each of the two passes
            (rows first), as MATLAB does on uint8; "matlab-double" works in double and rounds once.
        size: Output (rows, columns) where ceil(side · scale) is not wanted.

    Returns:
        The same kind and type as `image`.

    Raises:
        ConfigError: The picture is empty or of another type, or the scale or the size is not positive.

    Example:
        >>> imresize(np.zeros((10, 13, 3), np.uint8), 1 / 3).shape
        (4, 5, 3)
    """
    if convention not in ("matlab-uint8", "matlab-double"):
        raise ConfigError(f"convention must be 'matlab-uint8' or 'matlab-double', not {convention!r}.")
    if not (isinstance(scale, Real) and scale > 0 and math.isfinite(scale)):
        raise ConfigError(f"scale must be one positive number, not {scale!r}.")
    _check_size(size)
    if isinstance(image, Tensor):
        if not image.is_floating_point() or image.dim() < 2 or 0 in image.shape[-2:]:
            raise ConfigError(
                "A tensor to resize must be floating, with rows and columns last, not "
                f"{str(image.dtype).removeprefix('torch.')} {tuple(image.shape)}."
            )
        return _resize_axis(_resize_axis(image, -2, scale, size and size[0]), -1, scale, size and size[1])
    if not isinstance(image, np.ndarray):
        raise ConfigError(f"A picture to resize must be an array or a tensor, not {type(image).__name__}.")
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ConfigError(f"A picture to resize must be (H, W) or (H, W, C), not {image.shape}.")
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise ConfigError(f"A picture to resize must be uint8 or floating, not {image.dtype}.")
    pixels = torch.from_numpy(image.astype(np.float64))
    whole = image.dtype == np.uint8
    pixels = _resize_axis(pixels, 0, scale, size and size[0])
    if whole and convention == "matlab-uint8":
        pixels = _round_to_uint8(pixels)
    pixels = _resize_axis(pixels, 1, scale, size and size[1])
    resized = (_round_to_uint8(pixels) if whole else pixels).numpy()
    return resized.astype(image.dtype, copy=False)


def _check_size(size: Any) -> None:
    is_pair = isinstance(size, (tuple, list)) and len(size) == 2
    if size is not None and not (is_pair and all(isinstance(x, (int, np.integer)) and x > 0 for x in size)):
        raise ConfigError(f"size must be two positive integers, rows and columns, not {size!r}.")


def _round_to_uint8(pixels: Tensor) -> Tensor:
    """Rounds half up, as MATLAB does for positive values, and clips."""
    return (pixels + 0.5).floor_().clamp_(0, 255)


def _resize_axis(x: Tensor, axis: int, scale: float, size: int | None) -> Tensor:
    if scale == 1 and size in (None, x.shape[axis]):
        return x
    index, weight = _contributions(x.shape[axis], scale, size)
    return weigh_taps(x, axis, index.to(x.device), weight.to(x.device, x.dtype))


def weigh_taps(x: Tensor, axis: int, index: Tensor, weight: Tensor) -> Tensor:
    """Weighted sums of pixels along an axis, differentiable.

    Args:
        x: Floating, any shape.
        axis: The axis to resize.
        index: int64 (out, taps): pixels of the axis that an output pixel is made of.
        weight: (out, taps), of the type of `x`.

    Returns:
        `x` with `out` entries along the axis.
    """
    shape = [1] * x.dim()
    shape[axis] = -1
    taps = zip(index.T, weight.T, strict=True)
    return reduce(torch.add, (x.index_select(axis, pixels) * part.reshape(shape) for pixels, part in taps))


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is kept may be needed for gradients later
def _contributions(size: int, scale: float, out_size: int | None) -> tuple[Tensor, Tensor]:
    """Input pixels of every output pixel of an axis, and their weights, both (out, taps); read only."""
    out = out_size if out_size is not None else math.ceil(size * scale)
    stretch = min(scale, 1.0)
    width = 4 / stretch
    place = torch.arange(1, out + 1, dtype=torch.float64, device="cpu") / scale + 0.5 * (1 - 1 / scale)
    first = (place - width / 2).floor()
    taps = math.ceil(width) + 2
    pixel = first[:, None] + torch.arange(taps, dtype=torch.float64, device="cpu")
    weight = stretch * _cubic(stretch * (place[:, None] - pixel))
    weight = weight / weight.sum(1, keepdim=True)
    folded = (pixel.long() - 1).remainder(2 * size)
    index = torch.minimum(folded, 2 * size - 1 - folded)
    used = (weight != 0).any(0)
    return index[:, used], weight[:, used]


def _cubic(x: Tensor) -> Tensor:
    """Keys' cubic kernel with a = −0.5."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x <= 1, near, torch.where(x <= 2, far, torch.zeros_like(x)))
