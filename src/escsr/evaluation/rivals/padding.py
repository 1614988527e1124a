"""Padding of pictures of any size to whole windows, behind and below."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from escsr.networks.layers import reflect_pad

__all__ = ["PaddingMode", "pad_to_multiple"]

PaddingMode = Literal["reflect", "symmetric", "zeros"]
"""A mirror on the last pixel, a mirror behind the last pixel, or black."""


def pad_to_multiple(lr: Tensor, multiple: int, mode: PaddingMode, *, smallest: int = 1) -> Tensor:
    """Adds rows and columns until both sides are multiples.

    Args:
        lr: (B, C, H, W), of any size from 1×1.
        multiple: Of the sides, pixels.
        mode: What is added.
        smallest: Least length of a side.

    Returns:
        (B, C, H', W'); `lr` itself where nothing is added.
    """
    bottom, right = (-(-max(side, smallest) // multiple) * multiple - side for side in lr.shape[-2:])
    if not (bottom or right):
        return lr
    if mode == "reflect":
        return reflect_pad(lr, right=right, bottom=bottom)
    if mode == "zeros":
        return F.pad(lr, (0, right, 0, bottom))
    return _symmetric(_symmetric(lr, bottom, -2), right, -1)


def _symmetric(lr: Tensor, more: int, axis: int) -> Tensor:
    size = lr.shape[axis]
    place = torch.arange(size + more, device=lr.device) % (2 * size)
    return lr.index_select(axis, torch.minimum(place, 2 * size - 1 - place))
