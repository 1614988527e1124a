"""Upsamplers U with their shortcuts S (ESC, ICCV 2025, Eq. 3 and supplementary section 6)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from escsr.errors import ConfigError
from escsr.networks.config import NetworkConfig
from escsr.networks.layers import reflect_pad

__all__ = [
    "ConvShortcut",
    "NearestConvUpsampler",
    "OutputRegion",
    "OutputSpan",
    "PixelShuffleUpsampler",
    "Upsampler",
    "convert_scale",
    "part_of_result",
    "whole_output",
]


@dataclass(frozen=True)
class OutputSpan:
    """Which pixels of one side of a result are wanted, from maps that may be a part of the picture.

    Attributes:
        size: LR pixels of the picture's side.
        out_size: Pixels of the result's side.
        start: First wanted pixel of the result.
        stop: The one behind the last.
        origin: LR pixel of the picture that the maps begin with.
    """

    size: int
    out_size: int
    start: int
    stop: int
    origin: int = 0

    def within(self, scale: int) -> slice:
        """Where the wanted pixels lie in the maps upscaled by a whole factor."""
        return slice(self.start - scale * self.origin, self.stop - scale * self.origin)


OutputRegion = tuple[OutputSpan, OutputSpan]
"""Rows and columns."""


def whole_output(lr: Tensor, out_size: tuple[int, int]) -> OutputRegion:
    """All of the result of a picture (B, 3, H, W), which has the given rows and columns."""
    (rows, columns), (height, width) = out_size, lr.shape[-2:]
    return OutputSpan(height, rows, 0, rows), OutputSpan(width, columns, 0, columns)


class Upsampler(nn.Module):
    """What every upsampler is: features and the picture (or parts of both) → any part of the result.

    Attributes:
        halo: LR pixels around a region that its result depends on.
        input_range: Values of the picture as the whole network sees it, (lowest, highest).
    """

    halo: int
    input_range: tuple[float, float] = (0.0, 1.0)

    def forward(self, features: Tensor, lr: Tensor, region: OutputRegion) -> Tensor:
        """Upscales.

        Args:
            features: (B, C, H, W).
            lr: (B, 3, H, W), in `input_range`.
            region: The wanted rows and columns, R and K of them.

        Returns:
            (B, 3, R, K), about [0, 1].
        """
        raise NotImplementedError

    def sample(self, features: Tensor, lr: Tensor, sizes: Tensor, rows: Tensor, columns: Tensor) -> Tensor:  # noqa: ARG002
        """Single pixels of results of any size; see `ESC.sample`."""
        raise ConfigError("Only a network of any scale (LTE) takes single pixels.")

    @staticmethod
    def workspace(config: NetworkConfig, pixels: int, out_pixels: float) -> float:
        """Bytes that upscaling a tile takes, in float32, as measured (`benchmarks/streaming_memory.py`).

        Args:
            config: The network's shape.
            pixels: LR pixels of the tile.
            out_pixels: Pixels of its result.
        """
        raise NotImplementedError


class PixelShuffleUpsampler(Upsampler):
    """3×3 convolution to 3r² channels and pixel shuffle, plus the picture upscaled as it is.

    The shortcut is nearest-neighbour (each channel repeated r² times before the shuffle is the same)
    or, in ESC-FP, bicubic with a = −0.75 and no antialiasing, which reaches one LR pixel further.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        assert config.scale is not None
        self.scale = config.scale
        self.shortcut = config.shortcut
        self.halo = 2 if config.shortcut == "bicubic" else 1
        self.conv = nn.Conv2d(config.dim, 3 * config.scale**2, 3, padding=1)

    def forward(self, features: Tensor, lr: Tensor, region: OutputRegion) -> Tensor:
        detail = F.pixel_shuffle(self.conv(features), self.scale)  # (B, 3, rH, rW)
        sr = detail + F.interpolate(lr, scale_factor=self.scale, mode=self.shortcut)
        return part_of_result(sr, region, self.scale)

    @staticmethod
    def workspace(config: NetworkConfig, pixels: int, out_pixels: float) -> float:
        return 4 * (3 * config.dim * pixels + 9 * out_pixels)


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
        h = reflect_pad(self.expand(lr), left=3, right=3, top=3, bottom=3)  # (B, 2C, H + 6, W + 6)
        return self.reduce(F.leaky_relu(self.depthwise(h), 0.2))


class NearestConvUpsampler(Upsampler):
    """ESC-Real's ×4: twice nearest ×2 and a convolution, then two more; no shortcut of its own."""

    halo = 2
    scale = 4

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        dim = config.dim
        self.convs = nn.ModuleList(nn.Conv2d(dim, out, 3, padding=1) for out in (dim, dim, dim, 3))

    def forward(self, features: Tensor, lr: Tensor, region: OutputRegion) -> Tensor:  # noqa: ARG002
        first, second, third, last = self.convs
        x = F.leaky_relu(first(F.interpolate(features, scale_factor=2, mode="nearest")), 0.2)
        x = F.leaky_relu(second(F.interpolate(x, scale_factor=2, mode="nearest")), 0.2)  # (B, C, 4H, 4W)
        return part_of_result(last(F.leaky_relu(third(x), 0.2)), region, self.scale)

    @staticmethod
    def workspace(config: NetworkConfig, pixels: int, out_pixels: float) -> float:  # noqa: ARG004
        return 4 * 5 * config.dim * out_pixels


def part_of_result(sr: Tensor, region: OutputRegion, scale: int) -> Tensor:
    """The wanted pixels of a result made from the given maps: (B, 3, rH, rW) → (B, 3, R, K)."""
    rows, columns = region
    return sr[..., rows.within(scale), columns.within(scale)]


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
        grid = values.reshape(1, -1, old, old)  # (1, channels, r, r)
        return F.interpolate(grid, size=(scale, scale), mode="bilinear", align_corners=False)

    old = round((weight.shape[0] / 3) ** 0.5)
    dim = weight.shape[1]
    grids = weight.reshape(3, old, old, dim, 3, 3).permute(0, 3, 4, 5, 1, 2)  # (3, C, 3, 3, r, r)
    resized = resize(grids).reshape(3, dim, 3, 3, scale, scale)  # (3, C, 3, 3, s, s)
    resized = resized.permute(0, 4, 5, 1, 2, 3)  # (3, s, s, C, 3, 3)
    new_weight = resized.reshape(3 * scale**2, dim, 3, 3).contiguous()  # (3s², C, 3, 3)
    return new_weight, torch.flatten(resize(bias.reshape(3, old, old)))
