"""Weights in the order in which the native kernels read them."""

from __future__ import annotations

import math
from ctypes import Array, Structure
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from escsr.kernels.cpu.library import NativeLibrary, Norm, Packed, pointer_to

__all__ = ["Prepared", "Weights", "spectrum_gradient", "spectrum_of"]


@dataclass(frozen=True)
class Prepared:
    """A structure of pointers and the tensors that they point into.

    Attributes:
        structure: For the kernel; or an array of them.
        kept: What has to live as long.
    """

    structure: Structure | Array[Packed]
    kept: list[object] = field(default_factory=list)


class Weights:
    """Packs the weights of one stage for a library; the tensors it makes are kept in `kept`.

    Args:
        library: Whose vectors they are packed for.
        bfloat16: Whether products are of bfloat16.
    """

    def __init__(self, library: NativeLibrary, *, bfloat16: bool) -> None:
        self.library, self.bfloat16 = library, bfloat16
        self.kept: list[object] = []

    def keep(self, tensor: Tensor) -> Tensor:
        """A float32 tensor with its numbers side by side, that stays."""
        tensor = tensor.detach().float().contiguous()
        self.kept.append(tensor)
        return tensor

    def norm(self, norm: nn.Module) -> Norm:
        """Of a LayerNorm, or of nothing."""
        if not isinstance(norm, nn.LayerNorm):
            return Norm(None, None)
        return Norm(pointer_to(self.keep(norm.weight)), pointer_to(self.keep(norm.bias)))

    def pack(self, weight: Tensor, bias: Tensor | None, *, depth: int | None = None) -> Packed:
        """A matrix in panels.

        Args:
            weight: (N, taps·K), taps in front of channels.
            bias: (N,), or None for zeros.
            depth: Channels K of a tap as the kernel sees them, at least those of the matrix; None for
                these. More are zeros.

        Returns:
            [panels][taps·K][width·lanes], or in bfloat16 [panels][taps·K / 2][width·lanes][2].
        """
        taps = 1 if depth is None or depth >= weight.shape[1] else weight.shape[1] // depth
        depth = depth or weight.shape[1]
        lanes, vectors = self.library.lanes, -(-weight.shape[0] // self.library.lanes)
        panels = -(-vectors // self.library.max_width)
        width = -(-vectors // panels)
        outputs, wide = panels * width * lanes, width * lanes
        matrix = weight.new_zeros(outputs, taps * depth)
        matrix[: weight.shape[0], : weight.shape[1]] = weight.detach()
        filled = weight.new_zeros(outputs)
        if bias is not None:
            filled[: len(bias)] = bias.detach()
        if self.bfloat16:
            packed = matrix.reshape(panels, wide, -1, 2).transpose(1, 2)  # (panels, K / 2, wide, 2)
            values = packed.to(torch.bfloat16).contiguous()
            self.kept.append(values)
        else:
            values = self.keep(matrix.reshape(panels, wide, -1).transpose(1, 2))  # (panels, K, wide)
        return Packed(pointer_to(values), pointer_to(self.keep(filled)), depth, panels, width)

    def conv1x1(self, conv: nn.Conv2d, *, depth: int | None = None) -> Packed:
        """A 1×1 convolution; `depth` as in `pack`."""
        return self.pack(conv.weight.flatten(1), conv.bias, depth=depth)

    def conv3x3(self, conv: nn.Conv2d) -> Packed:
        """A dense 3×3 convolution, row by row of taps."""
        taps = conv.weight.permute(0, 2, 3, 1)  # (C', 3, 3, C)
        return self.pack(taps.flatten(1), conv.bias, depth=conv.in_channels)


_SIDE = 32
"""Of the tiles that are transformed; see source/conv_attn.h."""


def spectrum_of(kernel: Tensor) -> Tensor:
    """Real spectrum of a kernel that `average_symmetries` made, for tiles of 32×32.

    Args:
        kernel: (C', C, k, k), k odd and below 32.

    Returns:
        (153, C, C'): the matrices of all (u, v) with u ≥ v, in rows; the factors of the inverse transform
        are in them.
    """
    waves = _waves(kernel.shape[-1])
    full = torch.einsum("oist,us,vt->uvio", kernel.detach().double(), waves, waves)  # (17, 17, C, C')
    u, v = torch.tril_indices(len(waves), len(waves), device="cpu")
    return full[u, v].float().contiguous()


def spectrum_gradient(grad: Tensor, size: int) -> Tensor:
    """Gradient of the kernel of `spectrum_of`, to be averaged over flips and quarter turns as it was.

    Args:
        grad: (153, C, C'), of the spectrum.
        size: Side k of the kernel.

    Returns:
        (C', C, k, k).
    """
    waves = _waves(size)
    full = waves.new_zeros(len(waves), len(waves), *grad.shape[1:])  # (17, 17, C, C')
    u, v = torch.tril_indices(len(waves), len(waves), device="cpu")
    full[u, v] = grad.double()
    return torch.einsum("uvio,us,vt->oist", full, waves, waves).float()


def _waves(size: int) -> Tensor:
    """Cosines that turn a row of an even kernel into its spectrum, (17, k), float64."""
    radius = size // 2
    shift = torch.arange(-radius, radius + 1, dtype=torch.float64, device="cpu")
    frequency = torch.arange(_SIDE // 2 + 1, dtype=torch.float64, device="cpu")
    waves = torch.cos(2 * math.pi / _SIDE * frequency[:, None] * shift)  # (17, k)
    is_end = (frequency == 0) | (frequency == _SIDE // 2)
    return waves * torch.where(is_end, 1.0, 2.0)[:, None] / _SIDE
