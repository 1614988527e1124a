"""Dense 3×3 convolutions by the native kernel."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import Structure, c_float

from torch import Tensor, nn

from escsr.kernels.cpu.kernel import Kernel, new_map, pixels_together
from escsr.kernels.cpu.library import Map, Margins, NativeLibrary, Norm, Packed, map_of
from escsr.kernels.cpu.packing import Weights
from escsr.networks.layers import Margin
from escsr.networks.replaceable import is_replaceable_conv

__all__ = ["convolution"]


class _Conv3x3(Structure):
    _fields_ = (("norm", Norm), ("weights", Packed), ("slope", c_float))


def convolution(
    conv: nn.Conv2d, library: NativeLibrary, norm: nn.Module | None = None, slope: float = 1.0
) -> Callable[..., Tensor] | None:
    """leaky(conv(LN(x))) + added of a region less its margin; None where no kernel takes it."""
    if not is_replaceable_conv(conv, 3) or conv.in_channels % library.lanes:
        return None

    def prepare(weights: Weights) -> Structure:
        return _Conv3x3(weights.norm(norm or nn.Identity()), weights.conv3x3(conv), slope)

    kernel = Kernel(library, conv, prepare, norm, slope)

    def run(x: Tensor, margin: Margin, added: Tensor | None = None) -> Tensor:
        x = pixels_together(x)
        out = new_map(x, margin, conv.out_channels)
        weights, bfloat16 = kernel.weights()
        plus: Map | None = None
        if added is not None:
            added = pixels_together(added)
            plus = map_of(added)
        library.call("conv3x3", map_of(x), Margins(*margin), weights, plus, map_of(out), bfloat16)
        return out

    return run
