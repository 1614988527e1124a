"""Layers that every block is made of: channel LayerNorm, ConvFFN and the reflect padding."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from escsr.networks import training_kernels

__all__ = [
    "NO_MARGIN",
    "ConvFFN",
    "LayerNorm",
    "Margin",
    "Projection",
    "Scale",
    "Size",
    "crop",
    "initial",
    "reflect_pad",
]

Size = tuple[int, int]
"""Rows and columns."""

Scale = float | tuple[float, float]
"""Factor of both sides, or one for rows and one for columns."""

Margin = tuple[int, int, int, int]
"""Pixels (left, right, top, bottom) of a region around the part of it whose result is wanted.

Where a region ends at the picture's border there is none, and operators pad as they do there."""

NO_MARGIN: Margin = (0, 0, 0, 0)


def crop(x: Tensor, margin: Margin) -> Tensor:
    """Takes a margin off: (B, C, top + H + bottom, left + W + right) → (B, C, H, W)."""
    left, right, top, bottom = margin
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def initial(fill: Callable[[Tensor], Tensor], *shape: int) -> nn.Parameter:
    """A parameter as training begins, by a function of `torch.nn.init`; on the meta device a shape alone.

    PyTorch would draw random numbers there too, but imports its compiler for it (0.8 s).
    """
    values = torch.empty(shape)
    return nn.Parameter(values if values.is_meta else fill(values))


class LayerNorm(nn.LayerNorm):
    """LayerNorm over the channels of each pixel, affine, eps 1e-6; in float32 under autocast.

    (B, C, H, W) → (B, C, H, W).
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim, eps=1e-6)

    def forward(self, input: Tensor) -> Tensor:
        if torch.is_autocast_enabled("cpu") and input.device.type == "cpu":
            input = input.to(self.weight.dtype)  # else gradients of the weights are sums of bfloat16
        normed = super().forward(input.permute(0, 2, 3, 1))  # (B, H, W, C)
        return normed.permute(0, 3, 1, 2)  # (B, C, H, W)


class Projection(nn.Conv2d):
    """A 1×1 convolution: (B, C, H, W) → (B, C', H, W)."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__(dim, out_dim, 1)

    def forward(self, input: Tensor) -> Tensor:
        projected = training_kernels.project(input, self)
        return super().forward(input) if projected is None else projected


class ConvFFN(nn.Module):
    """Feed-forward with a depthwise 3×3 inside: (B, C, H, W) → (B, C, H, W), less the margin.

    `h = GELU(expand(x)); y = reduce(GELU(depthwise(h)) + h)`, with the exact (erf) GELU.

    Args:
        dim: Channels C.
        ratio: Hidden width over `dim`; the width is `int(dim * ratio)`.
    """

    def __init__(self, dim: int, ratio: float) -> None:
        super().__init__()
        hidden = int(dim * ratio)
        self.expand = nn.Conv2d(dim, hidden, 1)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.reduce = nn.Conv2d(hidden, dim, 1)

    def forward(self, x: Tensor, margin: Margin = NO_MARGIN) -> Tensor:
        if margin == NO_MARGIN:
            y = training_kernels.conv_ffn(x, self.expand, self.depthwise, self.reduce)
            if y is not None:
                return y
        h = F.gelu(self.expand(x))
        return self.reduce(crop(F.gelu(self.depthwise(h)) + h, margin))


def _reflect_index(size: int, before: int, after: int, device: torch.device) -> Tensor:
    """Source index of each sample of a reflect-padded axis, for any padding and any size from 1.

    Equals `torch.nn.functional.pad(mode="reflect")` where that is defined (padding < size), and
    goes on folding beyond it; a single sample is repeated.

    Args:
        size: Samples of the axis.
        before: Samples to add in front.
        after: Samples to add behind.
        device: Where the index is made.

    Returns:
        Indices in [0, size), int64, shape (before + size + after,).
    """
    position = torch.arange(-before, size + after, device=device)
    period = max(1, 2 * (size - 1))
    folded = position.remainder(period)
    return torch.minimum(folded, period - folded)


def reflect_pad(x: Tensor, *, left: int = 0, right: int = 0, top: int = 0, bottom: int = 0) -> Tensor:
    """Reflect-pads the two last axes by any number of pixels (see `_reflect_index`).

    Args:
        x: (B, C, H, W).
        left: Columns to add in front.
        right: Columns to add behind.
        top: Rows to add in front.
        bottom: Rows to add behind.

    Returns:
        (B, C, top + H + bottom, left + W + right); `x` itself where nothing is added.
    """
    if top or bottom:
        x = x.index_select(-2, _reflect_index(x.shape[-2], top, bottom, x.device))
    if left or right:
        x = x.index_select(-1, _reflect_index(x.shape[-1], left, right, x.device))
    return x
