"""Which stages the native kernels compute, and how they are called."""

from __future__ import annotations

import math
from collections.abc import Callable
from ctypes import POINTER, Structure, c_int, c_void_p
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from escsr.kernels.cpu.convolution import convolution
from escsr.kernels.cpu.kernel import Kernel, new_map, pixels_together, prepared_once
from escsr.kernels.cpu.library import (
    Margins,
    NativeLibrary,
    Norm,
    Packed,
    map_of,
    native_library,
    pointer_to,
)
from escsr.kernels.cpu.packing import Weights, spectrum_of
from escsr.kernels.cpu.upsamplers import upsample
from escsr.networks.attention import WindowAttention
from escsr.networks.conv_attn import ConvAttn
from escsr.networks.implicit_bias import ImplicitBias
from escsr.networks.layers import NO_MARGIN, ConvFFN, LayerNorm, Margin, Projection, crop
from escsr.networks.replaceable import (
    has_all_symmetries,
    is_replaceable,
    is_replaceable_conv,
    needs_operators,
)
from escsr.networks.stages import attention_arguments

if TYPE_CHECKING:
    from escsr.networks.stages import Stage, StageFunction

__all__ = ["flipped_table", "native_stage"]

_LOG2E = math.log2(math.e)
_MAX_ATTENDED, _MAX_HEADS, _MAX_KERNEL = 64, 64, 17


class _ConvFfn(Structure):
    _fields_ = (
        ("norm", Norm),
        ("expand", Packed),
        ("taps", c_void_p),
        ("bias", c_void_p),
        ("reduce", Packed),
        ("hidden", c_int),
    )


class _WindowAttention(Structure):
    _fields_ = (
        ("norm", Norm),
        ("qkv", POINTER(Packed)),
        ("out", Packed),
        ("table", c_void_p),
        ("bias_query", c_void_p),
        ("bias_key", c_void_p),
        ("table_stride", c_int),
        ("rank", c_int),
        ("window", c_int),
        ("heads", c_int),
        ("head_dim", c_int),
    )


class _ConvAttn(Structure):
    _fields_ = (
        ("spectrum", c_void_p),
        ("channel", c_void_p),
        ("spatial", c_void_p),
        ("fuse", Packed),
        ("attended", c_int),
        ("size", c_int),
    )


def native_stage(stage: Stage, library: NativeLibrary | None = None) -> StageFunction | None:
    """A stage by the native kernels, for frozen weights (`inference_form`) in float32 on the CPU.

    Args:
        stage: What to compute.
        library: Whose kernels; None for `native_library`.

    Returns:
        The function, equal to the plain one up to rounding, with products of bfloat16 where autocast asks
        for it and the CPU has them; None where there is no kernel for it, where modules that it would
        not call are other than the network's own (see `is_replaceable`), or have to be called.
    """
    library, make = library or native_library(), _MAKERS.get(stage.operation)
    if library is None or make is None or needs_operators():
        return None
    if not is_replaceable(stage.norm, LayerNorm, nn.Identity):
        return None
    parameters = list(stage.module.parameters())
    if any(p.requires_grad or p.dtype != torch.float32 for p in parameters):
        return None
    return make(stage, library)


def _conv_ffn(stage: Stage, library: NativeLibrary) -> StageFunction | None:
    ffn: Any = stage.module
    if not (
        is_replaceable(ffn, ConvFFN)
        and is_replaceable_conv(ffn.expand, 1)
        and is_replaceable_conv(ffn.depthwise, 3, depthwise=True)
        and is_replaceable_conv(ffn.reduce, 1)
    ):
        return None
    channels, hidden = ffn.expand.in_channels, ffn.expand.out_channels
    if channels % library.lanes:
        return None
    wide = -(-hidden // library.lanes) * library.lanes

    def prepare(weights: Weights) -> Structure:
        taps = F.pad(ffn.depthwise.weight.flatten(1).T, (0, wide - hidden))  # (9, wide)
        return _ConvFfn(
            weights.norm(stage.norm),
            weights.conv1x1(ffn.expand),
            pointer_to(weights.keep(taps)),
            pointer_to(weights.keep(F.pad(ffn.depthwise.bias, (0, wide - hidden)))),
            weights.conv1x1(ffn.reduce, depth=wide),
            wide,
        )

    kernel = Kernel(library, ffn, prepare, stage.norm)

    def run(y: Tensor, margin: Margin) -> Tensor:
        y = pixels_together(y)
        out = new_map(y, margin, channels)
        weights, bfloat16 = kernel.weights()
        library.call("conv_ffn", map_of(y), Margins(*margin), weights, map_of(out), bfloat16)
        return out

    return run


def _block_last(stage: Stage, library: NativeLibrary) -> StageFunction | None:
    conv: Any = stage.module
    convolve = convolution(conv, library, stage.norm)
    if convolve is None:
        return None
    return lambda y, x, margin: convolve(y, margin, x)


def _deep(stage: Stage, library: NativeLibrary) -> StageFunction | None:
    network: Any = stage.module
    if not is_replaceable(network.norm_last, LayerNorm, nn.Identity):
        return None
    convolve = convolution(network.last, library, network.norm_last)
    if convolve is None:
        return None

    def run(x: Tensor, lr: Tensor, margin: Margin) -> Tensor:
        added = network.shallow(lr)
        if network.shortcut is not None:
            added = added + network.shortcut(lr)
        return convolve(x, margin, crop(added.float(), margin))

    return run


def _window_attention(stage: Stage, library: NativeLibrary) -> StageFunction | None:
    attention: Any = stage.module
    if not (
        is_replaceable(attention, WindowAttention)
        and is_replaceable_conv(attention.qkv, 1, Projection)
        and is_replaceable_conv(attention.out, 1, Projection)
        and is_replaceable(attention.implicit_bias or nn.Identity(), ImplicitBias, nn.Identity)
    ):
        return None
    channels, heads, window = attention.out.in_channels, attention.heads, attention.window
    head_dim = channels // heads
    if channels % library.lanes or head_dim % 8 or window % 8 or heads > _MAX_HEADS:
        return None

    def prepare(weights: Weights) -> Structure:
        weight = attention.qkv.weight.detach().flatten(1).reshape(3, heads, head_dim, channels).clone()
        bias = attention.qkv.bias.detach().reshape(3, heads, head_dim).clone()
        for part in (weight, bias):
            part[0] *= head_dim**-0.5 * _LOG2E
        packed = [weights.pack(weight[:, h].flatten(0, 1), bias[:, h].flatten()) for h in range(heads)]
        array = (Packed * heads)(*packed)
        weights.kept.append(array)
        table, stride = None, 0
        if attention.bias_table is not None:
            table, stride = flipped_table(attention.bias_table, window, library.lanes)
        queries, keys, rank = _low_rank_bias(attention.bias_factors(), window, library.lanes)
        pointers = [pointer_to(None if t is None else weights.keep(t)) for t in (table, queries, keys)]
        shape = (stride, rank, window, heads, head_dim)
        return _WindowAttention(
            weights.norm(stage.norm), array, weights.conv1x1(attention.out), *pointers, *shape
        )

    kernel = Kernel(library, attention, prepare, stage.norm)

    def run(*arguments: Any) -> Tensor:
        region, y, margin = attention_arguments(stage, arguments)
        z, y, gate = pixels_together(crop(region, margin)), pixels_together(y), None
        if attention.gate is not None:
            gate = pixels_together(attention.gate(stage.norm(region), margin).float())
        out = new_map(z, NO_MARGIN, channels)
        weights, bfloat16 = kernel.weights()
        maps = map_of(z), map_of(y), weights, None if gate is None else map_of(gate), map_of(out)
        library.call("window_attention", *maps, bfloat16)
        return out

    return run


def flipped_table(table: Tensor, window: int, lanes: int) -> tuple[Tensor, int]:
    """A table of biases turned by 180°, in units of log2, (heads, 2w − 1, stride), and its stride."""
    side = 2 * window - 1
    stride = side + -window % lanes + lanes
    grid = table.detach().reshape(-1, side, side).flip(1, 2) * _LOG2E
    return F.pad(grid, (0, stride - side)), stride


def _low_rank_bias(
    factors: tuple[Tensor, Tensor] | None, window: int, lanes: int
) -> tuple[Tensor | None, Tensor | None, int]:
    """φ_q (heads, w, R, ⌈w⌉), in units of log2 and its rows padded, φ_k (heads, w², R), and R."""
    if factors is None:
        return None, None, 0
    queries = factors[0].detach() * _LOG2E  # (heads, w², R)
    rank = queries.shape[-1]
    rows = queries.reshape(-1, window, window, rank).mT  # (heads, w, R, w)
    padded = F.pad(rows, (0, -window % lanes))  # (heads, w, R, ⌈w⌉)
    return padded, factors[1].detach(), rank


def _conv_attn(stage: Stage, library: NativeLibrary) -> StageFunction | None:
    attn: Any = stage.module
    if not (is_replaceable(attn, ConvAttn) and is_replaceable_conv(attn.fuse, 1, Projection)):
        return None
    channels, attended, kernels = attn.fuse.in_channels, attn.attended_dim, stage.large_kernel
    if channels % library.lanes or attended % library.lanes or attended > _MAX_ATTENDED or not kernels:
        return None
    if not (_are_parameters(kernels) if attn.decomposed else has_all_symmetries(kernels[0])):
        return None
    size = kernels[-1].shape[-1]
    if size > _MAX_KERNEL or (attn.decomposed and attn.estimator is None):
        return None

    def prepare(weights: Weights) -> Structure:
        fuse = weights.conv1x1(attn.fuse)
        if attn.decomposed:
            channel = weights.keep(kernels[0].flatten(1).T)  # (C_a, C_a), inputs first
            return _ConvAttn(None, pointer_to(channel), None, fuse, attended, size)
        spectrum = prepared_once(kernels[0], "spectrum", lambda: spectrum_of(kernels[0]))
        weights.kept.append(spectrum)
        return _ConvAttn(pointer_to(spectrum), None, None, fuse, attended, size)

    kernel = Kernel(library, attn, prepare)
    made: tuple[Tensor | None, Tensor | None] = None, None  # pooled means, and the kernels of them

    def run(z: Tensor, y: Tensor, margin: Margin = NO_MARGIN, pooled: Tensor | None = None) -> Tensor:
        nonlocal made
        z, y = pixels_together(z), pixels_together(y)
        out = new_map(z, margin, channels)
        weights, bfloat16 = kernel.weights()
        if pooled is None or pooled is not made[0]:  # all tiles of a picture have the same
            made = pooled, _spatial_kernels(attn, kernels, z, pooled)
        spatial = made[1]
        call: Any = type(weights).from_buffer_copy(weights)
        call.spatial = pointer_to(spatial)
        maps = map_of(z), Margins(*margin), call, map_of(y), map_of(out)
        library.call("conv_attn", *maps, bfloat16)
        return out

    return run


def _are_parameters(kernels: tuple[Tensor, ...]) -> bool:
    """Whether a decomposed kernel is that of its module, not what a hook or an adapter made of it."""
    return all(isinstance(each, nn.Parameter) for each in kernels)


def _spatial_kernels(
    attn: Any, kernels: tuple[Tensor, ...], z: Tensor, pooled: Tensor | None
) -> Tensor | None:
    """DK, or LK^s + DK where the large kernel is decomposed: (B, k², C_a)."""
    if attn.estimator is None:
        return None
    with torch.autocast("cpu", enabled=False):
        made = attn.estimator(attn.pool(z) if pooled is None else pooled.float())  # (B, 9·C_a, 1, 1)
    small = made.reshape(-1, attn.attended_dim, 3, 3)
    if attn.decomposed:
        ring = kernels[1].shape[-1] // 2 - 1
        small = kernels[1][:, 0] + F.pad(small, (ring,) * 4)  # (B, C_a, k, k)
    return small.flatten(2).mT.contiguous()  # (B, k², C_a)


_MAKERS: dict[str, Callable[[Stage, NativeLibrary], StageFunction | None]] = {
    "conv_ffn": _conv_ffn,
    "window_attention": _window_attention,
    "conv_attn": _conv_attn,
    "block_last": _block_last,
    "deep": _deep,
    "upsample": upsample,
}
