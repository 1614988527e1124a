"""Features and attention maps of a network while it runs, seen by hooks."""

from __future__ import annotations

import fnmatch
import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from escsr.errors import ConfigError
from escsr.networks.attention import WindowAttention
from escsr.networks.conv_attn import ConvAttn

__all__ = ["ATTENTION_MAPS", "FEATURES", "Observe", "attention_maps", "matching", "observing"]

ATTENTION_MAPS = "attention-maps"
FEATURES: dict[str, type[nn.Module]] = {"attention": WindowAttention, "conv-attn": ConvAttn}
"""Names for the outputs of the paper's modules, before what is added to them."""

Observe = Callable[[str, Tensor], None]
"""Receives the name of a module and its features, (B, ...); those of attention maps are (B, N, N)."""

_MAP_VALUES = 1 << 24
"""Attention weights computed at a time."""


@contextmanager
def observing(network: nn.Module, layers: str, observe: Observe) -> Iterator[None]:
    """Shows features of a network's calls inside, in the order in which they are computed.

    Args:
        network: The network; it computes the same as without.
        layers: "attention" or "conv-attn" for outputs of those modules of ours; "attention-maps" for the
            weights of all attention, ours or another's, a mean over windows and heads; or a pattern of
            module names as in `named_modules`, like "layers.*.mlp", for the outputs of those: the ones that
            have the pictures as their first dimension, as have their inputs, others are skipped.
        observe: Called with each.

    Raises:
        ConfigError: The network has no such module, or nothing was observed.
    """
    if layers == ATTENTION_MAPS:
        with _observing_maps(network, observe):
            yield
        return
    names = matching(network, layers)
    modules = dict(network.named_modules())
    batch: list[int] = []
    seen: list[str] = []

    def enter(_module: nn.Module, inputs: Any) -> None:
        batch[:] = [len(each) for each in inputs[:1]]

    def found(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: Any, named: dict[str, Any], output: Any) -> None:
            first = output if isinstance(output, Tensor) else next(iter(output or ()), None)
            if (
                isinstance(first, Tensor)
                and _has_first(first, batch)
                and _has_first((*inputs, *named.values()), batch)
            ):
                seen.append(name)
                observe(name, first)

        return hook

    with ExitStack() as stack:
        stack.callback(network.register_forward_pre_hook(enter).remove)
        for name in names:
            stack.callback(modules[name].register_forward_hook(found(name), with_kwargs=True).remove)
        yield
    if not seen:
        raise ConfigError(
            f"No layer {layers!r} gives features whose first dimension is the pictures: lists of layers "
            "compute nothing by themselves, and windows and weights have other dimensions."
        )


def matching(network: nn.Module, layers: str) -> list[str]:
    """Names of the modules that `observing` looks at.

    Raises:
        ConfigError: There are none.
    """
    kind = FEATURES.get(layers)
    names = [
        name
        for name, module in network.named_modules()
        if (isinstance(module, kind) if kind else name and fnmatch.fnmatchcase(name, layers))
    ]
    if not names:
        known = ", ".join((ATTENTION_MAPS, *FEATURES))
        some = ", ".join([name for name, _ in network.named_modules() if name][:5])
        raise ConfigError(
            f"No layer {layers!r} in this network; give one of {known}, or a pattern of its module names "
            f"({some}, ...)."
        )
    return names


def _has_first(value: Any, batch: list[int]) -> bool:
    """Whether a tensor, or one in a list, has the pictures as its first dimension."""
    if isinstance(value, (list, tuple)):
        return any(_has_first(each, batch) for each in value)
    return isinstance(value, Tensor) and [*value.shape[:1]] == batch


@contextmanager
def _observing_maps(network: nn.Module, observe: Observe) -> Iterator[None]:
    """Attention is found by what it calls; the names are of the modules that are running then."""
    running: list[str] = []
    batch: list[int] = []
    seen = [0]

    def enter(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: Any) -> None:
            if not running and inputs:
                batch[:] = [len(inputs[0])]
            running.append(name)

        return hook

    def leave(*_: Any) -> None:
        running.pop()

    def found(maps: Callable[[], Tensor]) -> None:
        if running:
            seen[0] += 1
            observe(running[-1].removesuffix(".softmax"), maps())

    with ExitStack() as stack:
        for name, module in network.named_modules():
            stack.callback(module.register_forward_pre_hook(enter(name)).remove)
            stack.callback(module.register_forward_hook(leave, always_call=True).remove)
        stack.enter_context(_AttentionCalls(found, lambda: batch[0]))
        yield
    if not seen[0]:
        raise ConfigError("This network has no attention that can be seen: it calls no softmax.")


class _AttentionCalls(TorchFunctionMode):
    """Sees calls of softmax over square matrices and of PyTorch's own attention."""

    def __init__(self, found: Callable[[Callable[[], Tensor]], None], batch: Callable[[], int]) -> None:
        super().__init__()
        self.found, self.batch = found, batch

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if function is F.scaled_dot_product_attention:
            self.found(lambda: attention_maps(*args, **(kwargs or {}), batch=self.batch()))
        elif function is F.multi_head_attention_forward:  # what it calls is not seen
            self.found(lambda: _mean_map(_multi_head_weights(*args, **(kwargs or {})), self.batch()))
        elif function in (torch.softmax, F.softmax, Tensor.softmax) and _is_square(result):
            self.found(lambda: _mean_map(result, self.batch()))
        return result


def _is_square(weights: Tensor) -> bool:
    return weights.ndim >= 3 and weights.shape[-1] == weights.shape[-2] > 1


def _mean_map(weights: Tensor, batch: int) -> Tensor:
    """(…, N, N) with the batch first → (B, N, N)."""
    return weights.detach().reshape(batch, -1, *weights.shape[-2:]).mean(1)


def _multi_head_weights(*args: Any, **kwargs: Any) -> Tensor:
    """Computes a call of `multi_head_attention_forward` once more, for its weights: (B·windows, N, N)."""
    call = inspect.signature(F.multi_head_attention_forward).bind(*args, **kwargs)
    call.arguments |= {"training": False, "need_weights": True, "average_attn_weights": True}
    _, weights = F.multi_head_attention_forward(*call.args, **call.kwargs)
    assert weights is not None
    return weights


def attention_maps(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,  # noqa: ARG001
    is_causal: bool = False,  # noqa: ARG001
    scale: float | None = None,
    enable_gqa: bool = False,  # noqa: ARG001
    *,
    batch: int,
) -> Tensor:
    """The weights of a call of `scaled_dot_product_attention`, averaged over windows and heads.

    Args:
        query: (B·windows, heads, N, d), images in order; or (B·windows, N, d).
        key: The same shape.
        value: Takes no part.
        attn_mask: Added to the scores, or boolean: True where attention is paid; (…, N, N), of a shape that
            broadcasts to that of the scores.
        dropout_p: Takes no part.
        is_causal: Takes no part; networks for pictures have none.
        scale: Of the scores; None for 1/√d.
        enable_gqa: Takes no part.
        batch: Images B.

    Returns:
        (B, N, N), each row with sum 1.
    """
    del value
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    mask = None if attn_mask is None else _in_four(attn_mask.expand(*query.shape[:-1], key.shape[-2]))
    query, key = _in_four(query), _in_four(key)
    count, heads, tokens = len(query), query.shape[1], query.shape[2]
    per_image = count // batch
    total = query.new_zeros(batch, tokens, key.shape[2])
    step = max(1, _MAP_VALUES // (heads * tokens**2))
    for image in range(batch):
        for first in range(image * per_image, (image + 1) * per_image, step):
            part = slice(first, min(first + step, (image + 1) * per_image))
            scores = query[part] * scale @ key[part].transpose(-2, -1)
            if mask is not None and mask.dtype == torch.bool:
                scores = scores.masked_fill(~mask[part], torch.finfo(scores.dtype).min)
            elif mask is not None:
                scores = scores + mask[part]
            total[image] += scores.softmax(-1).sum((0, 1))
    return total / (per_image * heads)


def _in_four(x: Tensor) -> Tensor:
    """(…, heads, N, d) → (windows, heads, N, d); without heads they are one."""
    return x.reshape(-1, *x.shape[-3:]) if x.ndim > 3 else x.reshape(-1, 1, *x.shape[-2:])
