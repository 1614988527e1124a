"""Feature maps of ConvAttn: what the large kernel gives, alone and with the dynamic one (ESC, Fig. 6)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from escsr.analysis.differentiable import DifferentiableModel
from escsr.errors import ConfigError
from escsr.networks.conv_attn import ConvAttn, dynamic_depthwise

__all__ = ["KINDS", "FeatureMaps", "feature_maps"]

KINDS = ("LK + DK", "LK", "identity", "output")
"""Attended channels after both kernels, after the large one alone, the other channels, and all after the
fusing convolution."""


@dataclass(frozen=True)
class FeatureMaps:
    """Feature maps of every ConvAttn of a network, each a mean over its channels.

    Attributes:
        model: What figures call it.
        layers: Names of the modules, in order.
        maps: By each of `KINDS`, (layers, H, W).
    """

    model: str
    layers: tuple[str, ...]
    maps: dict[str, Tensor]

    def mean(self, kind: str) -> Tensor:
        """Mean over all modules, (H, W), as the paper shows it."""
        return self.maps[kind].mean(0)


@torch.no_grad()
def feature_maps(model: DifferentiableModel, lr: Tensor) -> FeatureMaps:
    """Runs a model once and takes the feature maps of its ConvAttns.

    Args:
        model: A model of this family, or a module that holds `ConvAttn2d`.
        lr: (1, 3, H, W) in [0, 1].

    Returns:
        The maps.

    Raises:
        ConfigError: It has no ConvAttn.
    """
    found: dict[str, dict[str, Tensor]] = {}
    with model.evaluating(), ExitStack() as stack:
        for name, module in model.module.named_modules():
            if isinstance(module, ConvAttn):
                stack.enter_context(_observing(module, found.setdefault(name, {})))
        if not found:
            raise ConfigError(f"{model.name} has no ConvAttn; feature maps are shown of those only.")
        model(lr)
    names = tuple(name for name, maps in found.items() if maps)
    maps = {kind: torch.stack([found[name][kind] for name in names]) for kind in KINDS}
    return FeatureMaps(model.name, names, maps)


@contextmanager
def _observing(module: ConvAttn, maps: dict[str, Tensor]) -> Iterator[None]:
    """Takes what goes into the fusing convolution apart; the dynamic part is computed again."""
    seen: dict[str, Any] = {}

    def enter(_: nn.Module, inputs: Any) -> None:
        seen["z"], seen["kernel"] = inputs[:2]
        seen["dynamic"] = None

    def estimated(_: nn.Module, __: Any, kernels: Tensor) -> None:
        seen["dynamic"] = kernels.reshape(len(kernels), -1, 3, 3)

    def fused(_: nn.Module, inputs: Any, output: Tensor) -> None:
        attended, identity = inputs[0].tensor_split((module.attended_dim,), dim=1)
        base = seen["z"][:, : module.attended_dim]
        if module.decomposed:
            base = F.conv2d(base, seen["kernel"][0])
        small = seen["dynamic"]
        large = attended if small is None else attended - dynamic_depthwise(base, small)
        for kind, value in zip(KINDS, (attended, large, identity, output), strict=True):
            maps[kind] = value[0].mean(0).float().cpu()

    hooks = [module.register_forward_pre_hook(enter), module.fuse.register_forward_hook(fused)]
    if module.estimator is not None:
        hooks.append(module.estimator.register_forward_hook(estimated))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
