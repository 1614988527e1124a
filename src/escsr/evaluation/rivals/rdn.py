"""RDN: residual dense blocks, all of whose outputs are fused (Zhang et al., CVPR 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["RDN"]

_BLOCKS, _CONVS, _CHANNELS = 16, 8, 64


class _DenseConv(nn.Module):
    """3×3 and ReLU, set behind its input: (B, C, H, W) → (B, C + 64, H, W)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(dim, _CHANNELS, 3, padding=1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, self.conv(x)), 1)


class _DenseBlock(nn.Module):
    """Eight dense convolutions and a 1×1 that fuses them, with a residual (Section 3.2)."""

    def __init__(self) -> None:
        super().__init__()
        widths = [_CHANNELS * (1 + index) for index in range(_CONVS + 1)]
        self.convs = nn.Sequential(*(_DenseConv(width) for width in widths[:-1]))
        self.LFF = nn.Conv2d(widths[-1], _CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.LFF(self.convs(x))


class RDN(nn.Module):
    """Configuration B of the light papers: 16 blocks of 8 convolutions, 64 channels.

    Names of weights are those of LTE's and LIIF's files (`SFENet1`, `RDBs`, `GFF`, `UPNet`).

    Args:
        scale: 2, 3 or 4 (4 in two steps); None for the encoder alone.
    """

    dim = _CHANNELS

    def __init__(self, scale: int | None) -> None:
        super().__init__()
        self.SFENet1 = nn.Conv2d(3, _CHANNELS, 3, padding=1)
        self.SFENet2 = nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1)
        self.RDBs = nn.ModuleList(_DenseBlock() for _ in range(_BLOCKS))
        self.GFF = nn.Sequential(
            nn.Conv2d(_BLOCKS * _CHANNELS, _CHANNELS, 1), nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1)
        )
        if scale is not None:
            steps = [layer for step in ((2, 2) if scale == 4 else (scale,)) for layer in _enlarge(step)]
            self.UPNet = nn.Sequential(*steps, nn.Conv2d(_CHANNELS, 3, 3, padding=1))

    def forward(self, lr: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, 3, rH, rW)."""
        return self.UPNet(self.features(lr))

    def features(self, lr: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, 64, H, W)."""
        shallow = self.SFENet1(lr)
        x, blocks = self.SFENet2(shallow), []
        for block in self.RDBs:
            x = block(x)
            blocks.append(x)
        return self.GFF(torch.cat(blocks, 1)) + shallow


def _enlarge(step: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(_CHANNELS, step**2 * _CHANNELS, 3, padding=1), nn.PixelShuffle(step)
