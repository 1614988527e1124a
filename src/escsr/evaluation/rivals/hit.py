"""HiT-SRF: correlation of pixels and of channels in windows that grow (Zhang et al., ECCV 2024)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from escsr.evaluation.rivals.frame import LightFrame, ResidualGroup, convolve
from escsr.evaluation.rivals.windows import merge_windows, split_windows
from escsr.networks.layers import reflect_pad

__all__ = ["ConvMLP", "HiTSRF", "SpatialChannelCorrelation"]

_DIM, _HEADS, _BASE = 60, 6, 8
_WINDOWS = (4, 8, 16, 32, 48, 64)
"""Sides of the windows of a group's six layers: 8 times (½, 1, 2, 4, 6, 8)."""


class _DualFeatures(nn.Module):
    """A 1×1 convolution gated by a bottleneck with a 3×3: (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        narrow = dim // 5
        self.conv = nn.Sequential(
            nn.Conv2d(dim, narrow, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(narrow, narrow, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(narrow, dim, 1),
        )
        self.linear = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.linear(x)


class _PositionBias(nn.Module):
    """A small network of the offset of two pixels: (..., 2) → (..., heads)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.pos_proj = nn.Linear(2, dim)
        self.pos1, self.pos2, self.pos3 = (
            nn.Sequential(nn.LayerNorm(dim), nn.ReLU(), nn.Linear(dim, width))
            for width in (dim, dim, heads)
        )

    def forward(self, offsets: Tensor) -> Tensor:
        return self.pos3(self.pos2(self.pos1(self.pos_proj(offsets))))


class SpatialChannelCorrelation(nn.Module):
    """Attention without softmax, linear in the window's pixels (Sections 3.2 and 3.3).

    Spatial: each pixel meets the window's cells, at most 8×8, whose values a learned linear makes.
    Channel: each channel meets each other channel over the window.

    Args:
        dim: Channels C; q and v have half of them each.
        window: Side w of the windows.
    """

    def __init__(self, dim: int, window: int) -> None:
        super().__init__()
        self.window, self.base = window, min(window, _BASE)
        self.cell = window // self.base
        self.qv = _DualFeatures(dim)
        self.proj = nn.Linear(dim, dim)
        self.spatial_linear = nn.Linear(self.cell**2, 1)
        self.pos = _PositionBias(dim // 16, _HEADS)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C), whole windows → (B, H, W, C)."""
        q, v = split_windows(convolve(self.qv, x), self.window).chunk(2, -1)  # (B, windows, w², C/2)
        both = torch.cat((self.spatial(q, v), self.channel(q, v)), -1)
        return self.proj(merge_windows(both, self.window, x.shape[2]))

    def spatial(self, q: Tensor, v: Tensor) -> Tensor:
        """`(q·v̄ᵀ/d + bias)·v̄` for each head, where v̄ are the values of the cells."""
        cells = self._cells(v).unflatten(-1, (_HEADS, -1)).transpose(-3, -2)  # (..., heads, cells, d)
        heads = q.unflatten(-1, (_HEADS, -1)).transpose(-3, -2)  # (..., heads, w², d)
        scores = heads @ cells.transpose(-2, -1) / heads.shape[-1] + self.bias()
        return (scores @ cells).transpose(-3, -2).flatten(-2)

    def _cells(self, v: Tensor) -> Tensor:
        """(..., w², C/2) → (..., cells, C/2)."""
        grid = v.unflatten(-2, (self.base, self.cell, self.base, self.cell))
        pixels = grid.movedim((-4, -2), (-2, -1)).flatten(-2)  # (..., rows, columns, C/2, pixels of a cell)
        return self.spatial_linear(pixels).squeeze(-1).flatten(-3, -2)

    def channel(self, q: Tensor, v: Tensor) -> Tensor:
        """`v·(qᵀ·v/L)ᵀ` over the L pixels of a window."""
        scores = q.transpose(-2, -1) @ v / q.shape[-2]
        return (scores @ v.transpose(-2, -1)).transpose(-2, -1)

    def bias(self) -> Tensor:
        """Bias of each pixel to each cell, the mean over the cell's pixels: (heads, w², cells).

        The authors gather w²×w² biases and average them; averaging the table of offsets is the same.
        """
        window, cell, weight = self.window, self.cell, self.pos.pos_proj.weight
        offset = torch.arange(1 - window, window, device=weight.device, dtype=weight.dtype)
        table = self.pos(torch.stack(torch.meshgrid(offset, offset, indexing="ij"), -1))
        means = F.avg_pool2d(table.permute(2, 0, 1), cell, 1)  # (heads, 2w − cell, 2w − cell)
        pixel = torch.arange(window, device=weight.device)
        first = torch.arange(self.base, device=weight.device) * cell
        index = pixel[:, None] - first + window - cell  # (w, base)
        return means[:, index[:, None, :, None], index[None, :, None, :]].flatten(3).flatten(1, 2)


class ConvMLP(nn.Module):
    """Two linears with a depthwise 5×5 between: (B, H, W, C) → (B, H, W, C)."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        depthwise = nn.Conv2d(hidden, hidden, 5, padding=2, groups=hidden)
        self.dwconv = nn.ModuleDict({"depthwise_conv": nn.Sequential(depthwise, nn.GELU())})
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        h = F.gelu(self.fc1(x))
        return self.fc2(h + convolve(self.dwconv["depthwise_conv"], h))


class _Layer(nn.Module):
    """Correlation and ConvMLP, each normalised behind: (B, H, W, C) → (B, H, W, C)."""

    def __init__(self, dim: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(dim)
        self.correlation = SpatialChannelCorrelation(dim, window)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = ConvMLP(dim, 2 * dim)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[1:3]
        bottom, right = -rows % self.window, -columns % self.window
        padded = reflect_pad(x.permute(0, 3, 1, 2), bottom=bottom, right=right).permute(0, 2, 3, 1)
        x = x + self.norm1(self.correlation(padded)[:, :rows, :columns])
        return x + self.norm2(self.mlp(x))


class HiTSRF(LightFrame):
    """HiT-SRF as published for light super-resolution: 4 groups of 6 layers, 60 channels.

    Pictures are padded in every layer, to that layer's window, as the authors do.

    Args:
        scale: Output side per LR side; None for the encoder alone.
    """

    def __init__(self, scale: int | None) -> None:
        groups = (ResidualGroup(_DIM, (_Layer(_DIM, window) for window in _WINDOWS)) for _ in range(4))
        super().__init__(_DIM, groups, scale)
