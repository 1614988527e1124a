"""The state of a training and one step of it; as named tensors a checkpoint is one safetensors file."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from escsr.errors import CheckpointError
from escsr.models.bundled import TRAINING_PREFIX
from escsr.models.checkpoints import Checkpoint, read_checkpoint, save_network
from escsr.networks import ESC
from escsr.training.config import TrainingConfig
from escsr.training.distributed import Distributed
from escsr.training.objectives import Batch, Objective
from escsr.training.optimizers import build_optimizers
from escsr.training.schedule import learning_rate_at
from escsr.training.starting import starting_weights

__all__ = ["Step", "TrainingState", "pack_state", "restore_state"]

_HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Step:
    """What came of a step.

    Attributes:
        loss: Of the whole batch.
        skipped: Whether nothing was changed, since its numbers were not finite.
        stop: Whether any process wants to stop.
    """

    loss: float
    skipped: bool
    stop: bool


class TrainingState:
    """Network, averaged weights, optimisers and counters: all that the next step depends on.

    Args:
        config: The recipe.
        device: Where to train.
        start: Weights to start from, made to fit (`starting_weights`); None for random ones.
        processes: Who trains together.

    Attributes:
        network: In training.
        average: Its averaged weights, in eval mode; what is validated and kept.
        iteration: Steps done.
        bad_steps: Steps in a row without finite numbers.
        best: Highest mean of the validation sets so far, dB.

    Raises:
        ConfigError: The starting weights do not fit the recipe.
    """

    def __init__(
        self,
        config: TrainingConfig,
        device: torch.device,
        *,
        start: Checkpoint | None = None,
        processes: Distributed | None = None,
    ) -> None:
        self.config, self.device = config, device
        self.processes = processes or Distributed()
        torch.manual_seed(config.seed)
        network = ESC(config.network)
        if start is not None:
            network.load_state_dict(starting_weights(start, network))
        # Convolutions with few channels are faster with the channels last, on CPUs and GPUs alike.
        self.network: ESC = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.optimizers = build_optimizers(self.network, config)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
        self.iteration = 0
        self.bad_steps = 0
        self.best = -math.inf
        if config.compile:
            for block in self.network.blocks:
                block.compile(dynamic=False)

    def step(self, objective: Objective, parts: Sequence[Batch], *, stop: bool = False) -> Step:
        """One optimisation step; where loss or gradients are not finite, nothing but counters change.

        Args:
            objective: What to make smaller.
            parts: This process's share of the batch, in parts that are computed one after the other.
            stop: Whether this process wants to stop.

        Returns:
            What came of it.
        """
        self.iteration += 1
        told = torch.tensor([0.0, float(stop)], device=self.device)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        share = 1 / (len(parts) * self.processes.world_size)
        for part in parts:
            with self._autocast():
                loss = objective.loss(self.network, part) * share
            told[0] += loss.detach()
            torch.autograd.backward([self.scaler.scale(loss)])
        gradients = [weight.grad for weight in self.network.parameters() if weight.grad is not None]
        self.processes.sum([*gradients, told])
        loss_value, stops = told.tolist()
        updated = self._update(math.isfinite(loss_value))
        self.bad_steps = 0 if updated or self._may_overflow(loss_value) else self.bad_steps + 1
        return Step(loss_value, skipped=not updated, stop=stops > 0)

    def _may_overflow(self, loss: float) -> bool:
        """In float16 the gradients of a scaled loss may, until the scaler has lowered its factor to 1."""
        return self.scaler.is_enabled() and math.isfinite(loss) and self.scaler.get_scale() >= 1

    def _update(self, is_finite: bool) -> bool:
        """Applies the gradients if they and the loss are finite; says whether they were."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate_at(self.iteration, self.config)
            self.scaler.unscale_(optimizer)
        limit = math.inf if self.config.clip_norm is None else self.config.clip_norm
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), limit)
        is_finite = is_finite and bool(norm.isfinite())
        if is_finite:
            for optimizer in self.optimizers:
                self.scaler.step(optimizer)
            self._update_ema()
        self.scaler.update()
        return is_finite

    def save(self, path: Path, *, resumable: bool = True) -> None:
        """Writes the averaged weights as a model, and with them all that resuming needs.

        Args:
            path: Target.
            resumable: Else the model alone.

        Raises:
            OutputError: The file cannot be written.
        """
        config = self.config
        save_network(
            self.ema,
            path,
            training=f"recipe {config.name}, {self.iteration} of {config.iterations} iterations",
            extra=pack_state(self.network, self.optimizers) if resumable else None,
            metadata={
                "training.iteration": str(self.iteration),
                "training.best": repr(self.best),
                "training.bad_steps": str(self.bad_steps),
                "training.scaler": json.dumps(self.scaler.state_dict()),
            },
        )

    def load(self, path: str | os.PathLike[str]) -> None:
        """Restores what `save` wrote, in training by the same recipe.

        Raises:
            CheckpointError: The file is damaged, of another network, or holds no training state.
        """
        checkpoint = read_checkpoint(path)
        if checkpoint.config != self.config.network:
            raise CheckpointError(f"{path}: the checkpoint's network is not the recipe's.")
        told = checkpoint.metadata
        if "training.iteration" not in told or not checkpoint.extra:
            raise CheckpointError(f"{path}: a model without training state; start from it instead.")
        self.ema.load_state_dict(checkpoint.weights)
        restore_state(checkpoint.extra, self.network, self.optimizers)
        self.iteration = int(told["training.iteration"])
        self.best = float(told["training.best"])
        self.bad_steps = int(told.get("training.bad_steps", 0))
        if self.scaler.is_enabled() and "training.scaler" in told:
            self.scaler.load_state_dict(json.loads(told["training.scaler"]))

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = _HALF.get(self.config.precision)
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)

    @torch.no_grad()
    def _update_ema(self) -> None:
        decay = self.config.ema_decay
        if self.config.ema_ramp:
            decay = min(decay, self.iteration / (self.iteration + 9))
        for average, current in zip(self.ema.parameters(), self.network.parameters(), strict=True):
            average.lerp_(current, 1 - decay)


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
