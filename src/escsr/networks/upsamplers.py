"""Upsamplers U with their shortcuts S (ESC, ICCV 2025, Eq. 3 and supplementary section 6)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from escsr.networks.config import NetworkConfig
from escsr.networks.layers import reflect_pad

__all__ = ["ConvShortcut", "NearestConvUpsampler", "PixelShuffleUpsampler", "convert_scale"]


class PixelShuffleUpsampler(nn.Module):
    """3×3 convolution to 3r² channels and pixel shuffle, plus the picture enlarged as it is.

    The shortcut is nearest-neighbour (each channel repeated r² times before the shuffle is the same)
    or, in ESC-FP, bicubic with a = −0.75 and no antialiasing.
    """

    halo = 1
    """LR pixels around a region that its result depends on (2 with the bicubic shortcut)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        assert config.scale is not None
        self.scale = config.scale
        self.shortcut = config.shortcut
        self.halo = 2 if config.shortcut == "bicubic" else 1
        self.conv = nn.Conv2d(config.dim, 3 * config.scale**2, 3, padding=1)

    def forward(self, features: Tensor, lr: Tensor) -> Tensor:
        """(B, C, H, W) and the picture (B, 3, H, W) → (B, 3, rH, rW)."""
        detail = F.pixel_shuffle(self.conv(features), self.scale)
        return detail + F.interpolate(lr, scale_factor=self.scale, mode=self.shortcut)


class ConvShortcut(nn.Module):
    """ESC-Real's shortcut from the picture into the features: (B, 3, H, W) → (B, C, H, W).

    Differs from the paper's text: a LeakyReLU (0.2) stands before the last convolution.
    """

    halo = 3

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        hidden = 2 * config.dim
        self.expand = nn.Conv2d(3, hidden, 1)
        self.depthwise = nn.Conv2d(hidden, hidden, 7, groups=hidden)
        self.reduce = nn.Conv2d(hidden, config.dim, 1)

    def forward(self, lr: Tensor) -> Tensor:
        h = reflect_pad(self.expand(lr), left=3, right=3, top=3, bottom=3)
        return self.reduce(F.leaky_relu(self.depthwise(h), 0.2))


class NearestConvUpsampler(nn.Module):
    """ESC-Real's ×4: twice nearest ×2 and a convolution, then two more; no shortcut of its own."""

    halo = 2
    scale = 4

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        dim = config.dim
        self.convs = nn.ModuleList(nn.Conv2d(dim, out, 3, padding=1) for out in (dim, dim, dim, 3))

    def forward(self, features: Tensor, lr: Tensor) -> Tensor:  # noqa: ARG002
        """(B, C, H, W) → (B, 3, 4H, 4W); the picture itself is not used."""
        first, second, third, last = self.convs
        x = F.leaky_relu(first(F.interpolate(features, scale_factor=2, mode="nearest")), 0.2)
        x = F.leaky_relu(second(F.interpolate(x, scale_factor=2, mode="nearest")), 0.2)
        return last(F.leaky_relu(third(x), 0.2))


def convert_scale(weight: Tensor, bias: Tensor, scale: int) -> tuple[Tensor, Tensor]:
    """Turns the output convolution of one scale into that of another, to start training from.

    The weight is seen as pictures of r×r sub-pixels, which are resized bilinearly.

    Args:
        weight: (3r², C, 3, 3).
        bias: (3r²,).
        scale: The new scale s.

    Returns:
        Weight (3s², C, 3, 3) and bias (3s²,).
    """

    def resize(values: Tensor) -> Tensor:
        grid = values.reshape(1, -1, old, old)
        return F.interpolate(grid, size=(scale, scale), mode="bilinear", align_corners=False)

    old = round((weight.shape[0] / 3) ** 0.5)
    dim = weight.shape[1]
    grids = weight.reshape(3, old, old, dim, 3, 3).permute(0, 3, 4, 5, 1, 2)
    resized = resize(grids).reshape(3, dim, 3, 3, scale, scale).permute(0, 4, 5, 1, 2, 3)
    new_weight = resized.reshape(3 * scale**2, dim, 3, 3).contiguous()
    return new_weight, torch.flatten(resize(bias.reshape(3, old, old)))
