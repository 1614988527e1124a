"""The network as a list of stages over parts of the picture, each with a name and typed inputs.

Streaming executes them, tile by tile, stage after stage. A faster kernel takes over the stages of one
operation: `choose` is the only place that decides what computes a stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from escsr.networks.layers import NO_MARGIN, Margin, crop
from escsr.networks.upsamplers import OutputRegion

__all__ = ["Operation", "Stage", "StageFunction", "attention_arguments", "choose", "has_kernels"]

Operation = Literal[
    "shallow", "conv_ffn", "window_attention", "conv_attn", "block_last", "deep", "upsample"
]
"""What a stage computes, from its inputs in their order; LN is its `norm`:

* "shallow": F_0 = module(lr)
* "conv_ffn": module(LN(y))
* "window_attention": y + module(LN(z)), where the only input is both y and z; with a margin of z where
  there is a gate
* "conv_attn": y + module(z), with the large kernel and the pooled mean
* "block_last": x + module(LN(y))
* "deep": conv3×3(x) + F_0 (+ shortcut); its module is the network, its inputs x and lr
* "upsample": U(F) + S(lr) at an `OutputRegion`, which stands in the margin's place
"""

StageFunction = Callable[..., Tensor]
"""(*haloed inputs, *local inputs, margin where there is a halo, pooled mean where it is taken) → output."""


@dataclass(frozen=True)
class Stage:
    """A step of the network that works on any part of the picture.

    Attributes:
        operation: What it computes.
        module: What computes it.
        haloed_inputs: Maps it takes with a margin around the part: "lr" (B, 3, H, W), "features", "x", "y",
            "z" (B, C, H, W).
        local_inputs: Maps it takes at the part alone; it may write one of these.
        output: The map it writes: "x", "y", "z", "features" or "sr".
        halo: LR pixels of margin that its result depends on.
        norm: What its input passes through first.
        large_kernel: The shared kernel, where it takes one.
        takes_pooled: Whether it takes the mean over the whole picture that the stage before pools.
        name: Of its module inside the network, as in `get_submodule`: "blocks.2.conv_attns.0".
        pool: Mean over a part of its output, (B, C, h, w) → (B, C_a, 1, 1), where the next stage takes it.
    """

    operation: Operation
    module: nn.Module
    haloed_inputs: tuple[str, ...]
    local_inputs: tuple[str, ...]
    output: str
    halo: int
    norm: nn.Module = field(default_factory=nn.Identity)
    large_kernel: tuple[Tensor, ...] = ()
    takes_pooled: bool = False
    pool: Callable[[Tensor], Tensor] | None = None
    name: str = ""

    @property
    def inputs(self) -> tuple[str, ...]:
        """All maps it takes, in the order of its function's arguments."""
        return self.haloed_inputs + self.local_inputs


def choose(stage: Stage, device: torch.device) -> StageFunction:
    """What computes a stage on a device: a native kernel where there is one, else PyTorch's operators."""
    if device.type == "cpu":
        from escsr.kernels.cpu import native_stage

        native = native_stage(stage)
        if native is not None:
            return native
    return partial(_PLAIN[stage.operation], stage)


def has_kernels(device: torch.device) -> bool:
    """Whether `choose` knows more for a device than PyTorch's operators, so that stages are worth it."""
    if device.type != "cpu":
        return False
    from escsr.kernels.cpu import native_library

    return native_library() is not None


def _shallow(stage: Stage, lr: Tensor, margin: Margin) -> Tensor:
    return crop(stage.module(lr), margin)


def _conv_ffn(stage: Stage, y: Tensor, margin: Margin) -> Tensor:
    return stage.module(stage.norm(y), margin)


def _window_attention(stage: Stage, *arguments: Any) -> Tensor:
    z, y, margin = attention_arguments(stage, arguments)
    return y + stage.module(stage.norm(z), margin)


def attention_arguments(stage: Stage, arguments: tuple[Any, ...]) -> tuple[Tensor, Tensor, Margin]:
    """What a "window_attention" takes: z with its margin, y, which may be z, and the margin."""
    z, *others = arguments
    margin: Margin = others.pop() if stage.halo else NO_MARGIN
    return z, others[0] if others else crop(z, margin), margin


def _conv_attn(
    stage: Stage, z: Tensor, y: Tensor, margin: Margin = NO_MARGIN, pooled: Tensor | None = None
) -> Tensor:
    return y + stage.module(z, stage.large_kernel, pooled, margin)


def _block_last(stage: Stage, y: Tensor, x: Tensor, margin: Margin) -> Tensor:
    return x + crop(stage.module(stage.norm(y)), margin)


def _deep(stage: Stage, x: Tensor, lr: Tensor, margin: Margin) -> Tensor:
    network: Any = stage.module
    return crop(network.deep(x, network.shallow(lr), lr), margin)


def _upsample(stage: Stage, features: Tensor, lr: Tensor, region: OutputRegion) -> Tensor:
    return stage.module(features, lr, region)


_PLAIN: dict[Operation, StageFunction] = {
    "shallow": _shallow,
    "conv_ffn": _conv_ffn,
    "window_attention": _window_attention,
    "conv_attn": _conv_attn,
    "block_last": _block_last,
    "deep": _deep,
    "upsample": _upsample,
}
