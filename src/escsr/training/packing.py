"""All tensors of a training but the network's averaged weights, by name, as checkpoints hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from escsr.models.bundled import TRAINING_PREFIX

__all__ = ["packed", "unpack"]

_STEP = "step"
"""AdamW's counter, which PyTorch expects in host memory."""

_Modules = Mapping[str, nn.Module]
_Optimizers = Mapping[str, Sequence[torch.optim.Optimizer]]


def packed(modules: _Modules, emas: _Modules, optimizers: _Optimizers) -> dict[str, Tensor]:
    """Weights, further averaged weights and the optimisers' running means.

    Args:
        modules: In training, by name.
        emas: Averaged weights of modules; that of "network" is a checkpoint's model, and left out here.
        optimizers: Of each module.

    Returns:
        Tensors in host memory by `training.KIND.NAME.KEY`.
    """
    tensors = {
        f"{name}.{key}": value
        for name, module in _named_modules(modules, emas)
        for key, value in module.state_dict().items()
    }
    for name, optimizer, weight in _weights(modules, optimizers):
        for part, value in optimizer.state.get(weight, {}).items():
            tensors[f"{name}.{part}"] = value
    return {f"{TRAINING_PREFIX}{key}": value.detach().cpu() for key, value in tensors.items()}


def unpack(
    tensors: Mapping[str, Tensor], modules: _Modules, emas: _Modules, optimizers: _Optimizers
) -> None:
    """The inverse of `packed`; a step counter stays in host memory, the rest goes to its weight.

    Raises:
        KeyError: An optimiser's tensor has another shape than its weight.
        RuntimeError: Weights do not fit a module.
    """
    for name, module in _named_modules(modules, emas):
        module.load_state_dict(_below(tensors, f"{TRAINING_PREFIX}{name}."))
    for name, optimizer, weight in _weights(modules, optimizers):
        state = _below(tensors, f"{TRAINING_PREFIX}{name}.")
        if any(part != _STEP and value.shape != weight.shape for part, value in state.items()):
            raise KeyError(name)
        optimizer.state[weight] = {
            part: value.to("cpu" if part == _STEP else weight.device, copy=True)
            for part, value in state.items()
        }


def _named_modules(modules: _Modules, emas: _Modules) -> list[tuple[str, nn.Module]]:
    others = [(f"ema.{name}", ema) for name, ema in emas.items() if name != "network"]
    return [*((f"module.{name}", module) for name, module in modules.items()), *others]


def _weights(
    modules: _Modules, optimizers: _Optimizers
) -> Iterator[tuple[str, torch.optim.Optimizer, Tensor]]:
    """Name, optimiser and weight, of every weight that an optimiser holds."""
    for name, module in modules.items():
        keys = {weight: key for key, weight in module.named_parameters()}
        for optimizer in optimizers[name]:
            for weight in chain(*(group["params"] for group in optimizer.param_groups)):
                yield f"optimizer.{name}.{keys[weight]}", optimizer, weight


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
