"""Bicubic interpolation as a super-resolver: what every model is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from escsr.data.resize import imresize
from escsr.errors import ConfigError

__all__ = ["Bicubic", "Interpolation"]

Interpolation = Literal["matlab-uint8", "matlab-double", "pillow"]
"""MATLAB's `imresize`, rounded to 8 bits after each of its two passes or never; Pillow's, never rounded."""


@dataclass(frozen=True)
class Bicubic:
    """Bicubic interpolation with a = −0.5, at any scale; a `SuperResolver`.

    The LR image is taken as one of 8 bits, as those of test sets are. `evaluate` chooses the interpolation
    that belongs to its protocol.

    Attributes:
        interpolation: See `Interpolation`. MATLAB's takes one scale for both sides.

    Example:
        >>> Bicubic()(torch.full((1, 3, 4, 5), 0.2), size=(8, 10)).shape
        torch.Size([1, 3, 8, 10])
    """

    interpolation: Interpolation = "matlab-double"
    name = "bicubic"
    scale = None
    pad_multiple = 1

    def __call__(self, lr: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
        """(B, 3, H, W) in [0, 1] → (B, 3, *size), float64, about [0, 1].

        Raises:
            ConfigError: There is no size.
        """
        if size is None:
            raise ConfigError("Bicubic interpolation has no scale of its own; give size=(rows, columns).")
        levels, scale = (lr.double() * 255).round(), size[0] / lr.shape[-2]
        if self.interpolation == "pillow":
            # With antialias PyTorch's kernel is Pillow's, a = −0.5; without, a = −0.75.
            sr = F.interpolate(levels, size=size, mode="bicubic", antialias=True)
        elif self.interpolation == "matlab-double":
            sr = imresize(levels, scale, size=size)
        else:
            pixels = levels.byte().permute(0, 2, 3, 1).numpy()
            sr = torch.stack([torch.from_numpy(imresize(each, scale, size=size)) for each in pixels])
            sr = sr.permute(0, 3, 1, 2).double()
        return sr / 255
