"""Weights and optimiser state as named tensors, so that a checkpoint is one safetensors file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from escsr.checkpoints import TRAINING_PREFIX
from escsr.errors import CheckpointError
from escsr.networks import ESC

__all__ = ["pack_state", "restore_state"]


def pack_state(network: ESC, optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """All that the next step depends on, apart from the averaged weights and the iteration.

    Args:
        network: The network in training.
        optimizers: Its optimisers.

    Returns:
        Tensors in host memory, `training.weights.NAME` and `training.optimizer.NAME.KEY`.
    """
    names: dict[Tensor, str] = {weight: name for name, weight in network.named_parameters()}
    packed = {f"{TRAINING_PREFIX}weights.{name}": weight.detach().cpu() for weight, name in names.items()}
    for optimizer in optimizers:
        for weight, state in optimizer.state.items():
            for key, value in state.items():
                packed[f"{TRAINING_PREFIX}optimizer.{names[weight]}.{key}"] = value.detach().cpu()
    return packed


@torch.no_grad()
def restore_state(
    packed: Mapping[str, Tensor], network: ESC, optimizers: Sequence[torch.optim.Optimizer]
) -> None:
    """The inverse of `pack_state`, into a network and optimisers built by the same recipe.

    Args:
        packed: Tensors by name.
        network: Gets the weights.
        optimizers: Get the state; a step counter stays in host memory, the rest goes to its weight.

    Raises:
        CheckpointError: Weights are missing.
    """
    for name, weight in network.named_parameters():
        stored = packed.get(f"{TRAINING_PREFIX}weights.{name}")
        if stored is None or stored.shape != weight.shape:
            raise CheckpointError(f"The training state has no fitting weight {name}.")
        weight.copy_(stored)
    names: dict[Tensor, str] = {weight: name for name, weight in network.named_parameters()}
    for optimizer in optimizers:
        for weight in (weight for group in optimizer.param_groups for weight in group["params"]):
            prefix = f"{TRAINING_PREFIX}optimizer.{names[weight]}."
            optimizer.state[weight] = {
                key.removeprefix(prefix): value if value.dim() == 0 else value.to(weight.device)
                for key, value in packed.items()
                if key.startswith(prefix)
            }
