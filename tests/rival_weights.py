"""Weights that are the same in any definition of a network whose names are the same."""

from __future__ import annotations

import math

import torch
from torch import nn


@torch.no_grad()
def set_weights(network: nn.Module) -> None:
    """Sets all weights and running statistics, not frozen ones, by their place among the sorted names."""
    frozen = {name for name, each in network.named_parameters() if not each.requires_grad}
    for index, (name, value) in enumerate(sorted(network.state_dict().items())):
        if name in frozen or not value.is_floating_point():
            continue
        wave = torch.cos(0.7 * torch.arange(value.numel(), dtype=torch.float64) + index).view(value.shape)
        if value.ndim > 1:
            wave = wave / math.sqrt(max(1, value[0].numel()))
        elif name.endswith(
            ("weight", "running_var", "skip_scale", "skip_scale2", "Ds", "scale1", "scale2")
        ):
            wave = 1 + 0.2 * wave
        else:
            wave = 0.1 * wave
        value.copy_(wave)
