"""Where training on a CPU leaves PyTorch's operators for native kernels that have gradients.

Each function gives what the operators in its docstring give, in float32, or None where those have to be
taken: where no gradient is wanted, on other devices, in other types, for shapes that no kernel takes, or
without a native library.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

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
        kernel: (C_a, C_a, k, k), made by `average_symmetries`.
        small: (B, C_a, 3, 3), or None for nothing to add.

    Returns:
        (B, C, H, W).
    """
    library = _library_for(x, kernel, small)
    if library is None:
        return None
    from escsr.kernels.cpu import training

    return training.convolve(x, kernel, small, library)


def conv_ffn(x: Tensor, *convolutions: nn.Conv2d) -> Tensor | None:
    """reduce(GELU(depthwise(h)) + h), h = GELU(expand(x)).

    Args:
        x: (B, C, H, W).
        convolutions: expand, depthwise and reduce of a `ConvFFN`.

    Returns:
        (B, C, H, W).
    """
    parameters = [each for conv in convolutions for each in (conv.weight, conv.bias) if each is not None]
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


def _library_for(*operands: Tensor | None) -> NativeLibrary | None:
    if torch.compiler.is_compiling() or not (torch.is_grad_enabled() and _may_be_native.get()):
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
