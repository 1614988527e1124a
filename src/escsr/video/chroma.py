"""Chroma between half and full resolution, sited left in a row and between two rows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["chroma_down", "chroma_up"]

_AT_HALF = (-1 / 16, 9 / 16, 9 / 16, -1 / 16)
"""Between four values, in the middle (Catmull-Rom)."""

_AT_QUARTER = (-9 / 128, 111 / 128, 29 / 128, -3 / 128)
"""Between four values, a quarter behind the second."""

_HALVED_LEFT = (-1 / 32, 0.0, 9 / 32, 16 / 32, 9 / 32, 0.0, -1 / 32)
"""Half the values of a row, those at even places; the counterpart of `_AT_HALF`."""

_HALVED_MIDDLE = (0.5, 0.5)


def chroma_up(plane: Tensor, chroma: str, size: tuple[int, int]) -> Tensor:
    """A chroma plane at full resolution.

    Args:
        plane: (h, w), float.
        chroma: "420", "422", "440" or "444".
        size: Rows and columns of the result.

    Returns:
        (H, W).
    """
    rows, columns = size
    if chroma in ("420", "422"):
        odd = _filtered(plane, _AT_HALF, (1, 2), 1)
        plane = torch.stack((plane, odd), dim=2).flatten(1)[:, :columns]
    if chroma in ("420", "440"):
        above = _filtered(plane, _AT_QUARTER[::-1], (2, 1), 0)
        below = _filtered(plane, _AT_QUARTER, (1, 2), 0)
        plane = torch.stack((above, below), dim=1).flatten(0, 1)[:rows]
    return plane


def chroma_down(plane: Tensor, chroma: str) -> Tensor:
    """A chroma plane at the resolution of its format; of an odd side the half is rounded up.

    Args:
        plane: (H, W), float.
        chroma: "420", "422", "440" or "444".

    Returns:
        (h, w).
    """
    if chroma in ("420", "422"):
        plane = _filtered(plane, _HALVED_LEFT, (3, 3), 1)[:, ::2]
    if chroma in ("420", "440"):
        plane = _filtered(plane, _HALVED_MIDDLE, (0, 1), 0)[::2]
    return plane


def _filtered(plane: Tensor, weights: tuple[float, ...], margin: tuple[int, int], axis: int) -> Tensor:
    """A filter along columns (0) or rows (1), the border repeated."""
    pad = (*margin, 0, 0) if axis == 1 else (0, 0, *margin)
    padded = functional.pad(plane[None, None], pad, mode="replicate")[0, 0]
    length = plane.shape[axis]
    result = torch.zeros_like(plane)
    for offset, weight in enumerate(weights):
        if weight:
            result.add_(padded.narrow(axis, offset, length), alpha=weight)
    return result
