"""Discriminators with spectral norm that ESC-Real's second stage trains against.

Sources: the U-Net is that of Real-ESRGAN (ICCVW 2021), section 3; discriminators of fixed features are
from "Projected GANs Converge Faster" (Sauer et al., NeurIPS 2021); spectral norm is by Miyato et al.
(ICLR 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LEAST_SIDE", "FeatureDiscriminator", "SpectralConv2d", "UNetDiscriminator"]

LEAST_SIDE = 4
"""Rows and columns of features that `FeatureDiscriminator` takes at least."""

_EPSILON = 1e-12


class SpectralConv2d(nn.Conv2d):
    """A convolution without bias whose weight is divided by its largest singular value.

    The value is estimated by one power iteration in each forward pass in training mode; in eval mode the
    last estimate stays. The two vectors are buffers, so that a resumed training goes on with them.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the result.
        kernel_size: Side of the kernel.
        stride: Input pixels from one result to the next.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding=1, bias=False)
        self.u: Tensor
        self.v: Tensor
        self.register_buffer("u", F.normalize(torch.randn(out_channels), dim=0, eps=_EPSILON))
        self.register_buffer("v", F.normalize(torch.randn(self.weight[0].numel()), dim=0, eps=_EPSILON))

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C', H', W')."""
        with torch.autocast(input.device.type, enabled=False):  # in float32, whatever products are made in
            weight = self.weight / self._largest_singular_value()
        return self._conv_forward(input, weight, None)

    def _largest_singular_value(self) -> Tensor:
        matrix = self.weight.flatten(1)  # (C', C·k·k)
        if self.training:
            with torch.no_grad():  # new tensors: an earlier pass of the same step still needs the old ones
                self.v = F.normalize(matrix.T @ self.u, dim=0, eps=_EPSILON)
                self.u = F.normalize(matrix @ self.v, dim=0, eps=_EPSILON)
        return self.u @ matrix @ self.v


class UNetDiscriminator(nn.Module):
    """Says of every pixel whether it is real: three steps down, three up, with skip connections.

    Args:
        features: Channels of the first layer; 64 in the paper (4,376,897 parameters).

    Example:
        >>> UNetDiscriminator(16)(torch.rand(2, 3, 64, 48)).shape
        torch.Size([2, 1, 64, 48])
    """

    def __init__(self, features: int = 64) -> None:
        super().__init__()
        widths = [features * factor for factor in (1, 2, 4, 8)]
        self.first = nn.Conv2d(3, features, 3, padding=1)
        self.down = nn.ModuleList(SpectralConv2d(narrow, wide, 4, 2) for narrow, wide in pairwise(widths))
        self.up = nn.ModuleList(SpectralConv2d(wide, narrow) for wide, narrow in pairwise(widths[::-1]))
        self.refine = nn.ModuleList(SpectralConv2d(features, features) for _ in range(2))
        self.last = nn.Conv2d(features, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], sides multiples of 8 → logits (B, 1, H, W), positive for real."""
        skips = [F.leaky_relu(self.first(image), 0.2)]
        for conv in self.down:
            skips.append(F.leaky_relu(conv(skips[-1]), 0.2))
        x = skips.pop()
        for conv in self.up:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = F.leaky_relu(conv(x), 0.2) + skips.pop()
        for conv in self.refine:
            x = F.leaky_relu(conv(x), 0.2)
        return self.last(x)


class FeatureDiscriminator(nn.Module):
    """Says whether images are real by the features that a trained network has of them.

    One small network for each layer, on features of unit length. Since the features tell much already, it
    learns within some hundred steps; where a perceptual loss computes the same features, it costs little.

    Args:
        channels: Of each layer, by name.
        width: Channels of its own.

    Example:
        >>> features = {"conv1_2": torch.rand(2, 8, 32, 48), "conv2_2": torch.rand(2, 16, 16, 24)}
        >>> [logits.shape for logits in FeatureDiscriminator({"conv1_2": 8, "conv2_2": 16})(features)]
        [torch.Size([2, 1, 8, 12]), torch.Size([2, 1, 4, 6])]
    """

    def __init__(self, channels: Mapping[str, int], width: int = 64) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: _Head(count, width) for name, count in channels.items()})

    def forward(self, features: Mapping[str, Tensor]) -> list[Tensor]:
        """(B, C, h, w) by layer, sides at least 4 → logits (B, 1, h/4, w/4) of each, positive for real."""
        return [head(features[name]) for name, head in self.heads.items()]


class _Head(nn.Module):
    """Judges one layer: two convolutions of stride 2 on features of unit length, and logits in float32."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = SpectralConv2d(channels, width, 4, 2)
        self.second = SpectralConv2d(width, width, 4, 2)
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) → (B, 1, h/4, w/4)."""
        x = F.normalize(features, dim=1) * features.shape[1] ** 0.5  # mean square 1 over channels
        x = F.leaky_relu(self.first(x), 0.2)
        x = F.leaky_relu(self.second(x), 0.2)
        with torch.autocast(x.device.type, enabled=False):  # small differences of large logits count
            return self.last(x.float())
