"""The selective scan of state space models (Gu & Dao, "Mamba", 2023), by PyTorch or by mamba_ssm.

`h_t = exp(Δ_t·A)·h_{t−1} + Δ_t·B_t·x_t; y_t = C_t·h_t + D·x_t`, each channel with a state of N values.
It is an operator of its own, so that counters of work see it as one and a compiler does not unroll it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

__all__ = ["scan_implementation", "selective_scan"]


def selective_scan(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Scans G groups of sequences, each with B and C of its own; differentiable, nothing overflows.

    Args:
        x: (batch, G, D, L).
        delta: Step sizes Δ > 0, (batch, G, D, L).
        a: Decay A < 0, (G, D, N).
        b: (batch, G, N, L).
        c: (batch, G, N, L).
        d: Weight of the shortcut, (G, D).

    Returns:
        y, (batch, G, D, L).
    """
    return _scan(x, delta, a, b, c, d)


def scan_implementation(device: str | torch.device) -> str:
    """Which code scans on a device: "mamba_ssm" on CUDA where it is installed, else "pytorch"."""
    return "mamba_ssm" if torch.device(device).type == "cuda" and _mamba() else "pytorch"


@cache
def _mamba() -> Callable[..., Tensor] | None:
    try:
        return import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn
    except Exception:  # not installed, or built for another PyTorch, which raises anything
        return None


@torch.library.custom_op("escsr::selective_scan", mutates_args=())
def _scan(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    return _computed(x, delta, a, b, c, d)


def _computed(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    mamba = _mamba() if x.is_cuda else None
    if mamba is None:
        return _by_pytorch(x, delta, a, b, c) + d[..., None] * x
    flat = [maps.flatten(1, 2).contiguous() for maps in (x, delta)]  # (batch, G·D, L)
    y = mamba(*flat, a.flatten(0, 1), b.contiguous(), c.contiguous(), d.flatten())
    return y.view_as(x)


def _by_pytorch(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The scan in about √L chunks side by side, of about √L steps; one group at a time, to save memory."""
    length = x.shape[-1]
    steps = max(1, math.isqrt(length))
    more = -length % steps  # steps of size 0 behind the end, which nothing reads
    drive, sizes, written, read = (
        torch.nn.functional.pad(each, (0, more)).unflatten(-1, (-1, steps)).movedim(-1, 0).contiguous()
        for each in (delta * x, delta, b, c)
    )  # (T, batch, G, D or N, K)
    groups = [
        _chunks(drive[:, :, g], sizes[:, :, g], written[:, :, g], read[:, :, g], a[g])
        for g in range(a.shape[0])
    ]
    y = torch.stack(groups, 2).movedim(0, -1).flatten(-2)  # (batch, G, D, K·T)
    return y[..., :length]


def _chunks(drive: Tensor, delta: Tensor, b: Tensor, c: Tensor, a: Tensor) -> Tensor:
    """K chunks of T steps: (T, batch, D, K) and (T, batch, N, K) → (T, batch, D, K)."""
    decay = a[..., None]  # (D, N, 1)

    def step(state: Tensor, t: int) -> Tensor:
        driven = drive[t][:, :, None] * b[t][:, None]
        return torch.addcmul(driven, (delta[t][:, :, None] * decay).exp(), state)

    state = torch.zeros_like(drive[0])[:, :, None] * b[0][:, None]  # (batch, D, N, K)
    for t in range(len(drive)):
        state = step(state, t)
    # What each chunk leaves decays through the following ones.
    through = (delta.sum(0)[:, :, None] * decay).exp()
    carried = [torch.zeros_like(state[..., 0])]
    for chunk in range(state.shape[-1] - 1):
        carried.append(through[..., chunk] * carried[-1] + state[..., chunk])
    state, outputs = torch.stack(carried, -1), []
    for t in range(len(drive)):
        state = step(state, t)
        outputs.append((state * c[t][:, None]).sum(2))
    return torch.stack(outputs)


@_scan.register_fake
def _shape(x: Tensor, delta: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:  # noqa: ARG001
    return torch.empty_like(x)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG001
    ctx.save_for_backward(*inputs)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
    """Computes the scan again, so that no step of the forward pass is kept."""
    with torch.enable_grad():
        inputs = [each.detach().requires_grad_() for each in ctx.saved_tensors]
        return torch.autograd.grad(_computed(*inputs), inputs, grad)


_scan.register_autograd(_gradients, setup_context=_keep)


@register_flop_formula(torch.ops.escsr.selective_scan)
def _operations(x_shape: list[int], delta_shape: list[int], a_shape: list[int], *_: Any, **__: Any) -> int:  # noqa: ARG001
    """MambaIR's convention, which the paper follows: 9 MACs per state and step, 1 for the shortcut."""
    return 2 * math.prod(x_shape) * (9 * a_shape[-1] + 1)
