"""Upsamplers by the native kernels; what is cheap in them stays with PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from ctypes import Array, c_int64
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional as F

from escsr.kernels.cpu.convolution import convolution
from escsr.kernels.cpu.kernel import Kernel, pixels_together
from escsr.kernels.cpu.library import NativeLibrary, Packed
from escsr.kernels.cpu.packing import Weights
from escsr.networks.layers import NO_MARGIN
from escsr.networks.lte import LTE
from escsr.networks.replaceable import is_replaceable
from escsr.networks.upsamplers import (
    NearestConvUpsampler,
    OutputRegion,
    PixelShuffleUpsampler,
    part_of_result,
)

if TYPE_CHECKING:
    from escsr.networks.stages import Stage, StageFunction

__all__ = ["upsample"]

_MAX_LAYERS = 8


def upsample(stage: Stage, library: NativeLibrary) -> StageFunction | None:
    """The stage "upsample": U(F) + S(lr) at an `OutputRegion`.

    Args:
        stage: Whose module is one of the upsamplers.
        library: Whose kernels.

    Returns:
        Its function, (features (B, C, H, W), lr (B, 3, H, W), region) → (B, 3, R, K); None for widths and
        modules that no kernel takes.
    """
    kind = type(stage.module)
    if kind not in _UPSAMPLERS or not is_replaceable(stage.module, kind):
        return None
    return _UPSAMPLERS[kind](stage.module, library)


def _pixel_shuffle(upsampler: Any, library: NativeLibrary) -> StageFunction | None:
    convolve = convolution(upsampler.conv, library)
    if convolve is None:
        return None

    def run(features: Tensor, lr: Tensor, region: OutputRegion) -> Tensor:
        detail = F.pixel_shuffle(convolve(features, NO_MARGIN), upsampler.scale)  # (B, 3, rH, rW)
        sr = detail + F.interpolate(lr, scale_factor=upsampler.scale, mode=upsampler.shortcut)
        return part_of_result(sr, region, upsampler.scale)

    return run


def _nearest_conv(upsampler: Any, library: NativeLibrary) -> StageFunction | None:
    convs = [convolution(conv, library, slope=0.2) for conv in upsampler.convs[:-1]]
    first, second, third, last = *convs, convolution(upsampler.convs[-1], library)
    if first is None or second is None or third is None or last is None:
        return None

    def twice(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="nearest")

    def run(features: Tensor, lr: Tensor, region: OutputRegion) -> Tensor:  # noqa: ARG001
        x = first(twice(pixels_together(features)), NO_MARGIN)
        x = second(twice(x), NO_MARGIN)  # (B, C, 4H, 4W)
        return part_of_result(last(third(x, NO_MARGIN), NO_MARGIN), region, upsampler.scale)

    return run


class _Native(nn.Module):
    """A function in the place of a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.forward = function


def _lte(upsampler: Any, library: NativeLibrary) -> StageFunction | None:
    """The same module with its convolutions and its perceptron by the kernels."""
    convs = {name: convolution(getattr(upsampler, name), library) for name in ("coef", "freq")}
    perceptron = _perceptron(upsampler.imnet, library)
    if perceptron is None or None in convs.values():
        return None
    modules: dict[str, nn.Module] = {"imnet": _Native(perceptron)}
    modules |= {name: _Native(partial(conv, margin=NO_MARGIN)) for name, conv in convs.items() if conv}
    twin = copy.copy(upsampler)
    twin._modules = {**upsampler._modules, **modules}
    return twin


def _perceptron(layers: nn.Sequential, library: NativeLibrary) -> Callable[[Tensor], Tensor] | None:
    """Linear layers with ReLU between them: (..., K) → (..., N)."""
    if not is_replaceable(layers, nn.Sequential) or not all(
        is_replaceable(layer, nn.ReLU if index % 2 else nn.Linear) for index, layer in enumerate(layers)
    ):
        return None
    linear: list[Any] = list(layers)[::2]
    width, outputs = linear[0].in_features, linear[-1].out_features
    if width % library.lanes or len(linear) > _MAX_LAYERS or outputs > width:
        return None

    def prepare(weights: Weights) -> Array[Packed]:
        return (Packed * len(linear))(*(weights.pack(layer.weight, layer.bias) for layer in linear))

    kernel = Kernel(library, layers, prepare)

    def run(x: Tensor) -> Tensor:
        rows = x.float().reshape(-1, width).contiguous()
        out = rows.new_empty(len(rows), outputs)
        packed, bfloat16 = kernel.weights()
        sizes = c_int64(len(rows)), width, packed, len(linear)
        library.call("perceptron", rows, *sizes, out, outputs, bfloat16)
        return out.reshape(*x.shape[:-1], outputs)

    return run


_UPSAMPLERS: dict[type[nn.Module], Callable[[Any, NativeLibrary], StageFunction | None]] = {
    PixelShuffleUpsampler: _pixel_shuffle,
    NearestConvUpsampler: _nearest_conv,
    LTE: _lte,
}
