"""Windows of a picture whose channels come last, and which of their pixels are neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["merge_windows", "relative_index", "split_windows", "wrapped_pairs"]


def split_windows(x: Tensor, window: int) -> Tensor:
    """(B, H, W, C), whole windows → (B, H/w · W/w, w², C)."""
    x = x.unflatten(1, (-1, window)).unflatten(3, (-1, window))  # (B, H/w, w, W/w, w, C)
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def merge_windows(windows: Tensor, window: int, columns: int) -> Tensor:
    """The inverse: (B, H/w · W/w, w², C) → (B, H, W, C), W columns."""
    x = windows.unflatten(1, (-1, columns // window)).unflatten(3, (window, window))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def wrapped_pairs(rows: int, columns: int, window: int, shift: int, device: torch.device) -> Tensor:
    """Which pixels share a window only because rolling by `shift` brought one of them around the border.

    Args:
        rows: Of the picture, a multiple of the window's side.
        columns: As well.
        window: Side of a window.
        shift: How far the picture is rolled up and to the left.
        device: Where the result is.

    Returns:
        bool, (H/w · W/w, w², w²).
    """
    down, right = (torch.arange(side, device=device) >= side - shift for side in (rows, columns))
    region = 2 * down[:, None] + right  # (H, W)
    regions = split_windows(region[None, :, :, None], window)[0, :, :, 0]
    return regions[:, :, None] != regions[:, None]


def relative_index(window: int) -> Tensor:
    """Where a table of (2w − 1)² offsets has that of each pair of a window's pixels: int64, (w², w²)."""
    place = torch.cartesian_prod(torch.arange(window), torch.arange(window))
    offset = place[:, None] - place + window - 1  # (w², w², 2)
    return offset[..., 0] * (2 * window - 1) + offset[..., 1]
