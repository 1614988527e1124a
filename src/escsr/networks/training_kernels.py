"""Where training on a CPU leaves PyTorch's operators for native kernels that have gradients.

Each function gives what the operators in its docstring give, in float32, or None where those have to be
taken: where no gradient is wanted, on other devices, in other types, for shapes that no kernel takes,
where something has to see them (see `needs_operators`), or without a native library. Derivatives are the
first ones only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from escsr.networks.replaceable import has_all_symmetries, is_replaceable_conv, needs_operators

if TYPE_CHECKING:
    from escsr.kernels.cpu import NativeLibrary

__all__ = ["attend", "conv_ffn", "convolve_first", "only_plain_operators", "project"]

_may_be_native = ContextVar("_may_be_native", default=True)


@contextmanager
def only_plain_operators() -> Iterator[None]:
    """PyTorch's operators alone compute what is differentiated inside."""
    before = _may_be_native.set(False)
    try:
        yield
    finally:
        _may_be_native.reset(before)


def attend(qkv: Tensor, table: Tensor | None, window: int) -> Tensor | None:
    """softmax(q·kᵀ/√d + bias)·v inside windows.

    Args:
        qkv: (B, 3·C, H, W), H and W multiples of the window; channels ordered (part, head, d).
        table: (heads, (2w − 1)²), see `relative_position_bias`; None for a bias of another kind.
        window: Side w of a window.

    Returns:
        (B, C, H, W).
    """
    library = _library_for(qkv, table)
    if library is None or table is None:
        return None
    from escsr.kernels.cpu import training

    return training.attend(qkv, table, window, library)


def convolve_first(x: Tensor, kernel: Tensor, small: Tensor | None) -> Tensor | None:
    """convolve(·, kernel) + dynamic_depthwise(·, small) of the first channels; the others pass.

    Args:
        x: (B, C, H, W).
        kernel: (C_a, C_a, k, k), with all symmetries (see `note_symmetries`).
        small: (B, C_a, 3, 3), or None for nothing to add.

    Returns:
        (B, C, H, W).
    """
    library = _library_for(x, kernel, small)
    if library is None or not has_all_symmetries(kernel):
        return None
    from escsr.kernels.cpu import training

    return training.convolve(x, kernel, small, library)


def conv_ffn(x: Tensor, expand: nn.Module, depthwise: nn.Module, reduce: nn.Module) -> Tensor | None:
    """reduce(GELU(depthwise(h)) + h), h = GELU(expand(x)).

    Args:
        x: (B, C, H, W).
        expand: 1×1 convolution; this one and the others are not called, so they must be replaceable.
        depthwise: 3×3.
        reduce: 1×1.

    Returns:
        (B, C, H, W).
    """
    if not _are_wanted() or not (
        is_replaceable_conv(expand, 1)
        and is_replaceable_conv(depthwise, 3, depthwise=True)
        and is_replaceable_conv(reduce, 1)
    ):
        return None
    convolutions: tuple[Any, ...] = expand, depthwise, reduce
    parameters = [each for conv in convolutions for each in (conv.weight, conv.bias)]
    library = _library_for(x, *parameters)
    if library is None:
        return None
    from escsr.kernels.cpu import training

    return training.conv_ffn(x, parameters, library)


def project(x: Tensor, conv: nn.Conv2d) -> Tensor | None:
    """conv(x), a 1×1 convolution: (B, C, H, W) → (B, C', H, W)."""
    library = _library_for(x, conv.weight, conv.bias)
    if library is None or conv.bias is None:
        return None
    from escsr.kernels.cpu import training

    return training.project(x, conv.weight, conv.bias, library)


def _are_wanted() -> bool:
    return not needs_operators() and torch.is_grad_enabled() and _may_be_native.get()


def _library_for(*operands: Tensor | None) -> NativeLibrary | None:
    if not _are_wanted():
        return None
    tensors = [each for each in operands if each is not None]
    if not any(each.requires_grad for each in tensors) or any(
        each.device.type != "cpu" for each in tensors
    ):
        return None
    types = {torch.float32}
    if torch.is_autocast_enabled("cpu"):
        types.add(torch.get_autocast_dtype("cpu"))
    if not {each.dtype for each in tensors} <= types <= {torch.float32, torch.bfloat16}:
        return None
    from escsr.kernels.cpu import native_library

    return native_library()
