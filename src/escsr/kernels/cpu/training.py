"""Operators with gradients by the native kernels, for training on a CPU.

Each is that of the plain network up to rounding, in float32 with products of bfloat16 where autocast asks
for them and the CPU has them. Work is cut by shapes alone and sums have a fixed order: results and
gradients are the same to the bit from call to call, for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import Structure, c_int, c_void_p
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from escsr.kernels.cpu.kernel import new_map, pixels_together, prepared_for, wants_bfloat16
from escsr.kernels.cpu.library import NativeLibrary, map_of, pointer_to
from escsr.kernels.cpu.packing import spectrum_gradient, spectrum_of
from escsr.kernels.cpu.stages import flipped_table
from escsr.networks.layers import NO_MARGIN

__all__ = ["attend", "conv_ffn", "convolve", "project"]

_MAX_HEAD_DIM = 128
_MIN_KERNEL, _MAX_KERNEL, _MAX_ATTENDED = 5, 17, 64
_GROUPS = 16
"""Of windows or images, at most, whose gradients of a weight are summed for themselves."""


def _applied(function: Any, *arguments: object) -> Tensor:
    result: Tensor = function.apply(*arguments)
    return result


class _Last(torch.autograd.Function):
    """A gradient as it is; who differentiates it again learns what to do."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ARG004
        return grad.view_as(grad)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> None:  # noqa: ARG004
        raise RuntimeError(
            "The native kernels have first derivatives only: compute what is differentiated twice inside "
            "escsr.networks.training_kernels.only_plain_operators()."
        )


_Backward = Callable[[Any, Tensor], tuple[Tensor | None, ...]]


def _differentiable_once(backward: _Backward) -> _Backward:
    """As `torch.autograd.function.once_differentiable`, but never silent, and with an error that helps."""

    @wraps(backward)
    def once(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        with torch.no_grad():
            grads = backward(ctx, grad)
        if not torch.is_grad_enabled():
            return grads
        return tuple(None if g is None else _applied(_Last, g.detach().requires_grad_()) for g in grads)

    return once


class _Attention(Structure):
    _fields_ = (
        ("table", c_void_p),
        ("table_stride", c_int),
        ("window", c_int),
        ("heads", c_int),
        ("head_dim", c_int),
    )


class _Attend(torch.autograd.Function):
    """softmax(q·kᵀ/√d + bias)·v; keeps the log-sum-exp of each query, no scores."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, table: Tensor, window: int, heads: int, library: NativeLibrary
    ) -> Tensor:
        qkv = pixels_together(qkv.float())
        batch, channels, height, width = qkv.shape
        ctx.library, ctx.bfloat16 = library, wants_bfloat16(library)
        flipped, stride = flipped_table(table, window, library.lanes)
        ctx.shape = stride, window, heads, channels // 3 // heads
        out = new_map(qkv, NO_MARGIN, channels // 3)
        queries = window * (window + -window % library.lanes)
        log_sums = qkv.new_empty(batch * (height // window) * (width // window), heads, queries)
        attention = _Attention(pointer_to(flipped), *ctx.shape)
        library.call("attend", map_of(qkv), attention, map_of(out), log_sums, ctx.bfloat16)
        ctx.save_for_backward(qkv, flipped, out, log_sums)
        return out

    @staticmethod
    @_differentiable_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        qkv, flipped, out, log_sums = ctx.saved_tensors
        grad = pixels_together(grad.float())
        _, window, heads, _ = ctx.shape
        grad_qkv = new_map(qkv, NO_MARGIN, qkv.shape[1])
        groups = min(len(log_sums), _GROUPS)
        grad_tables = qkv.new_empty(groups, heads, (2 * window - 1) ** 2)
        attention = _Attention(pointer_to(flipped), *ctx.shape)
        results = map_of(grad_qkv), grad_tables, groups
        inputs = map_of(qkv), attention, map_of(out), log_sums, map_of(grad)
        ctx.library.call("attend_backward", *inputs, *results, ctx.bfloat16)
        return grad_qkv, grad_tables[0].clone(), None, None, None  # a view would keep all groups


def attend(qkv: Tensor, table: Tensor, window: int, library: NativeLibrary) -> Tensor | None:
    """Attention inside windows, without projections.

    Args:
        qkv: (B, 3·C, H, W), H and W multiples of the window; channels ordered (part, head, d).
        table: (heads, (2w − 1)²), biases.
        window: Side w of a window.
        library: Whose kernels.

    Returns:
        (B, C, H, W), float32; None for a shape that no kernel takes.
    """
    heads = len(table)
    head_dim = qkv.shape[1] // 3 // heads
    if window % 8 or head_dim % library.lanes or head_dim > _MAX_HEAD_DIM:
        return None
    return _applied(_Attend, qkv, table, window, heads, library)


class _LargeKernel(Structure):
    _fields_ = (
        ("spectrum", c_void_p),
        ("transposed", c_void_p),
        ("small", c_void_p),
        ("attended", c_int),
        ("size", c_int),
    )


class _Spectrum(torch.autograd.Function):
    """`spectrum_of`; takes the same time however many modules share the kernel."""

    @staticmethod
    def forward(ctx: Any, kernel: Tensor) -> Tensor:
        ctx.size = kernel.shape[-1]
        return spectrum_of(kernel)

    @staticmethod
    @_differentiable_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return (spectrum_gradient(grad, ctx.size),)


class _Convolve(torch.autograd.Function):
    """[attended ⊗ LK + attended ⊗ DK, identity]."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, spectrum: Tensor, small: Tensor | None, size: int, library: NativeLibrary
    ) -> Tensor:
        x = pixels_together(x.float())
        taps = None if small is None else small.float().flatten(2).mT.contiguous()  # (B, 9, C)
        ctx.size, ctx.library = size, library
        ctx.save_for_backward(x, spectrum, taps)
        out = new_map(x, NO_MARGIN, x.shape[1])
        kernel = _LargeKernel(pointer_to(spectrum), None, pointer_to(taps), spectrum.shape[1], size)
        library.call("large_kernel", map_of(x), kernel, map_of(out))
        return out

    @staticmethod
    @_differentiable_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, spectrum, taps = ctx.saved_tensors
        grad, transposed = pixels_together(grad.float()), spectrum.mT.contiguous()
        groups, attended = min(len(x), _GROUPS), spectrum.shape[1]
        grad_x = new_map(x, NO_MARGIN, x.shape[1])
        grad_spectra, grad_taps = x.new_empty(groups, *spectrum.shape), x.new_empty(len(x), 9, attended)
        kernel = _LargeKernel(None, pointer_to(transposed), pointer_to(taps), attended, ctx.size)
        results = map_of(grad_x), grad_spectra, grad_taps, groups
        ctx.library.call("large_kernel_backward", map_of(x), kernel, map_of(grad), *results)
        grad_small = None if taps is None else grad_taps.mT.unflatten(-1, (3, 3))  # (B, C, 3, 3)
        return grad_x, grad_spectra[0], grad_small, None, None


def convolve(x: Tensor, kernel: Tensor, small: Tensor | None, library: NativeLibrary) -> Tensor | None:
    """Convolves the first channels with a symmetric kernel and, added, depthwise with one of each picture.

    Args:
        x: (B, C, H, W).
        kernel: (C_a, C_a, k, k), made by `average_symmetries`; its gradient is right behind that only.
        small: (B, C_a, 3, 3), or None.
        library: Whose kernels.

    Returns:
        (B, C, H, W), float32; None for a shape that no kernel takes.
    """
    attended, size = kernel.shape[1], kernel.shape[-1]
    if attended % library.lanes or attended > min(_MAX_ATTENDED, x.shape[1]):
        return None
    if not _MIN_KERNEL <= size <= _MAX_KERNEL:
        return None
    made, state = prepared_for(kernel), (kernel._version, kernel.requires_grad)
    if made.get("state") != state:
        made.update(state=state, differentiable=_applied(_Spectrum, kernel))
    return _applied(_Convolve, x, made["differentiable"], small, size, library)


class _Matrices(Structure):
    _fields_ = (
        ("expand", c_void_p),
        ("expand_bias", c_void_p),
        ("taps", c_void_p),
        ("taps_bias", c_void_p),
        ("reduce", c_void_p),
        ("reduce_bias", c_void_p),
        ("hidden", c_int),
    )


class _ConvFfn(torch.autograd.Function):
    """reduce(GELU(depthwise(h)) + h), h = GELU(expand(x)); keeps x alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, library: NativeLibrary, *parameters: Tensor) -> Tensor:
        x = pixels_together(x.float())
        weights = [each.detach().float().contiguous() for each in parameters]
        ctx.library, ctx.bfloat16 = library, wants_bfloat16(library)
        ctx.save_for_backward(x, *weights)
        out = new_map(x, NO_MARGIN, x.shape[1])
        matrices = _Matrices(*map(pointer_to, weights), len(weights[0]))
        library.call("conv_ffn_forward", map_of(x), matrices, map_of(out), ctx.bfloat16)
        return out

    @staticmethod
    @_differentiable_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, *weights = ctx.saved_tensors
        grad, grad_x = pixels_together(grad.float()), new_map(x, NO_MARGIN, x.shape[1])
        channels, hidden = x.shape[1], len(weights[0])
        wide, groups = hidden + -hidden % ctx.library.lanes, min(len(x), _GROUPS)
        rows = (channels, channels, 9, 1, 1)  # of the gradients of expand, reduceᵀ, taps and two biases
        sums = x.new_empty(groups, wide * sum(rows) + channels)
        matrices = _Matrices(*map(pointer_to, weights), hidden)
        results = map_of(grad_x), sums, groups
        ctx.library.call("conv_ffn_backward", map_of(x), matrices, map_of(grad), *results, ctx.bfloat16)
        parts = sums[0].clone().split([wide * count for count in rows] + [channels])
        expand, reduce = (part.reshape(wide, channels)[:hidden, :, None, None] for part in parts[:2])
        taps = parts[2].reshape(9, wide)[:, :hidden].T.reshape(hidden, 1, 3, 3)
        taps_bias, expand_bias = (part[:hidden] for part in parts[3:5])
        return grad_x, None, expand, expand_bias, taps, taps_bias, reduce.transpose(0, 1), parts[5]


def conv_ffn(x: Tensor, parameters: list[Tensor], library: NativeLibrary) -> Tensor | None:
    """ConvFFN.

    Args:
        x: (B, C, H, W).
        parameters: Weight and bias of its three convolutions.
        library: Whose kernels.

    Returns:
        (B, C, H, W), float32; None for a shape that no kernel takes.
    """
    if x.shape[1] % library.lanes or len(parameters) != 6:
        return None
    return _applied(_ConvFfn, x, library, *parameters)


class _Matrix(Structure):
    _fields_ = (("weight", c_void_p), ("bias", c_void_p))


class _Project(torch.autograd.Function):
    """A 1×1 convolution."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, library: NativeLibrary) -> Tensor:
        x = pixels_together(x.float())
        matrix, shift = (each.detach().float().contiguous() for each in (weight, bias))
        ctx.library, ctx.bfloat16 = library, wants_bfloat16(library)
        ctx.save_for_backward(x, matrix)
        out = new_map(x, NO_MARGIN, len(weight))
        passed = _Matrix(pointer_to(matrix), pointer_to(shift))
        library.call("project", map_of(x), passed, map_of(out), ctx.bfloat16)
        return out

    @staticmethod
    @_differentiable_once
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, matrix = ctx.saved_tensors
        grad, grad_x = pixels_together(grad.float()), new_map(x, NO_MARGIN, x.shape[1])
        groups = min(len(x), _GROUPS)
        sums = x.new_empty(groups, matrix.numel() + len(matrix))
        passed, results = _Matrix(pointer_to(matrix), None), (map_of(grad_x), sums, groups)
        ctx.library.call("project_backward", map_of(x), passed, map_of(grad), *results, ctx.bfloat16)
        grad_weight, grad_bias = sums[0].clone().split((matrix.numel(), len(matrix)))
        return grad_x, grad_weight.reshape(matrix.shape), grad_bias, None


def project(x: Tensor, weight: Tensor, bias: Tensor, library: NativeLibrary) -> Tensor | None:
    """A 1×1 convolution.

    Args:
        x: (B, C, H, W).
        weight: (C', C, 1, 1).
        bias: (C',).
        library: Whose kernels.

    Returns:
        (B, C', H, W), float32; None for a shape that no kernel takes.
    """
    if x.shape[1] % library.lanes or len(weight) % library.lanes:
        return None
    return _applied(_Project, x, weight, bias, library)
