"""When something else may compute what a network's modules and PyTorch's operators compute."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.modules.module import _has_any_global_hook
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext

__all__ = [
    "has_all_symmetries",
    "is_replaceable",
    "is_replaceable_conv",
    "keeps_forward",
    "needs_operators",
    "note_symmetries",
]

_CHANGES = (
    "forward",
    "_conv_forward",
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)
"""Attributes of a module of its own, not of its class, by which a call may do more than the class says."""


def is_replaceable(module: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Whether a call of a module does what its class says and nothing else, so that a kernel may do it.

    Not so for adapters and parametrized modules, which are of classes of their own, nor where there is a
    hook: pruning works by one, and what looks into a network too.

    Args:
        module: The module that would not be called.
        kinds: The classes that a kernel knows; others that are derived from them do not count.
    """
    if type(module) not in kinds or any(map(vars(module).get, _CHANGES)):
        return False
    return not _has_any_global_hook()  # type: ignore[no-untyped-call]


def keeps_forward(module: nn.Module, *kinds: type[nn.Module]) -> bool:
    """Whether a module is of a class, or of one derived from it, and computes by that class's `forward`.

    Hooks are not asked for: they see each call of the module, with whatever arguments.
    """
    kind = next((each for each in kinds if isinstance(module, each)), None)
    return kind is not None and type(module).forward is kind.forward and "forward" not in vars(module)


def is_replaceable_conv(
    conv: Any, size: int, kind: type[nn.Conv2d] = nn.Conv2d, *, depthwise: bool = False
) -> bool:
    """The same for a convolution that has a bias and keeps rows and columns, with zeros around them."""
    if not is_replaceable(conv, kind) or conv.bias is None:
        return False
    geometry = conv.kernel_size, conv.padding, conv.stride, conv.dilation, conv.groups, conv.padding_mode
    groups = conv.in_channels if depthwise else 1
    return geometry == ((size, size), (size // 2, size // 2), (1, 1), (1, 1), groups, "zeros")


def needs_operators() -> bool:
    """Whether what surrounds a call has to see PyTorch's operators.

    So do compilers and tracers, the transforms of `torch.func`, forward derivatives, and modes that look
    at every operator, as `FlopCounterMode` does.
    """
    if (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch._C._len_torch_dispatch_stack()
    ):
        return True
    modes = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
    return any(type(mode) is not DeviceContext for mode in modes)  # a default device looks at nothing


def note_symmetries(kernel: Tensor) -> Tensor:
    """Writes on a kernel that it is the mean of its flips and quarter turns, as native kernels need it.

    What a hook or an adapter makes of it is another tensor, which has no such note.
    """
    if not torch.compiler.is_compiling():
        kernel.has_all_symmetries = True  # type: ignore[attr-defined]
    return kernel


def has_all_symmetries(kernel: Tensor) -> bool:
    """Whether a kernel has the note of `note_symmetries`."""
    return getattr(kernel, "has_all_symmetries", False)
