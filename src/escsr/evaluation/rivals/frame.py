"""The frame of SwinIR's light variant (Liang et al., 2021), in which three rivals set their own blocks."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from escsr.evaluation.rivals.padding import PaddingMode, pad_to_multiple

__all__ = ["LightFrame", "ResidualGroup", "convolve"]

_DIV2K_MEAN = (0.4488, 0.4371, 0.4040)


def convolve(conv: nn.Module, x: Tensor) -> Tensor:
    """What works on (B, C, H, W), on channels that come last: (B, H, W, C) → (B, H, W, C')."""
    return conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class ResidualGroup(nn.Module):
    """Some blocks and a 3×3 convolution, with a residual.

    Args:
        dim: Channels C.
        blocks: Each (B, H, W, C) → (B, H, W, C).
        name: Of their list among the weights.
    """

    def __init__(self, dim: int, blocks: Iterable[nn.Module], name: str = "blocks") -> None:
        super().__init__()
        self.residual_group = nn.ModuleDict({name: nn.Sequential(*blocks)})
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → (B, H, W, C)."""
        y = x
        for blocks in self.residual_group.values():
            y = blocks(y)
        return x + convolve(self.conv, y)


class LightFrame(nn.Module):
    """Shallow features, groups of blocks, deep features, one pixel shuffle.

    Args:
        dim: Channels C.
        groups: The groups of blocks.
        scale: Output side per LR side; None for the encoder alone.
        multiple: Sides are padded to a multiple of this.
        padding: With what.
    """

    mean: Tensor

    def __init__(
        self,
        dim: int,
        groups: Iterable[ResidualGroup],
        scale: int | None,
        *,
        multiple: int = 1,
        padding: PaddingMode = "symmetric",
    ) -> None:
        super().__init__()
        self.dim, self.scale, self.multiple, self.padding = dim, scale or 1, multiple, padding
        self.conv_first = nn.Conv2d(3, dim, 3, padding=1)
        self.patch_embed = nn.ModuleDict({"norm": nn.LayerNorm(dim)})
        self.layers = nn.ModuleList(groups)
        self.norm = nn.LayerNorm(dim)
        self.conv_after_body = nn.Conv2d(dim, dim, 3, padding=1)
        if scale is not None:
            self.upsample = nn.Sequential(
                nn.Conv2d(dim, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale)
            )
        self.register_buffer("mean", torch.tensor(_DIV2K_MEAN)[:, None, None], persistent=False)

    def forward(self, lr: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → (B, 3, rH, rW)."""
        padded = pad_to_multiple(lr - self.mean, self.multiple, self.padding)
        sr = self.upsample(self._deep(padded)) + self.mean
        return sr[..., : self.scale * lr.shape[-2], : self.scale * lr.shape[-1]]

    def features(self, lr: Tensor) -> Tensor:
        """For another upsampler: (B, 3, H, W) → (B, C, H, W)."""
        padded = pad_to_multiple(lr, self.multiple, self.padding)
        return self._deep(padded)[..., : lr.shape[-2], : lr.shape[-1]]

    def _deep(self, lr: Tensor) -> Tensor:
        shallow = self.conv_first(lr)
        x = self.patch_embed["norm"](shallow.permute(0, 2, 3, 1))
        for group in self.layers:
            x = group(x)
        return self.conv_after_body(self.norm(x).permute(0, 3, 1, 2)) + shallow
