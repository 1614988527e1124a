"""The state of a training by names, updates of it, and its checkpoint as one safetensors file."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from escsr.data.degradations.presets import preset_name
from escsr.errors import CheckpointError, ConfigError
from escsr.models.checkpoints import DEGRADATION, Checkpoint
from escsr.models.own_modules import save_module
from escsr.models.saving import save_network
from escsr.networks import ESC
from escsr.runtime.devices import multiplies_bfloat16
from escsr.runtime.precision import HALF_PRECISIONS, compute_in
from escsr.training.config import OptimizerSettings, RealSettings, TrainingConfig
from escsr.training.distributed import Distributed
from escsr.training.objectives import Batch, Objective
from escsr.training.optimizers import build_optimizers
from escsr.training.packing import packed, unpack
from escsr.training.resumable import (
    SavedTraining,
    counters_of,
    network_difference,
    read_training_checkpoint,
    sealed,
)
from escsr.training.schedule import learning_rate_at
from escsr.training.starting import NetworkFactory, make_network

__all__ = ["TrainingState"]

_Part = TypeVar("_Part")
"""A batch, or what was made of one."""


class _Counters(BaseModel):
    """What a checkpoint holds beside tensors."""

    iteration: int
    bad_steps: int
    best: float | None
    best_of: list[str] | None = None
    pending: dict[str, Any] | None
    optimizers: dict[str, list[str]]
    scalers: dict[str, dict[str, Any]]


class TrainingState:
    """Modules, optimisers, scalers and averages by name: all that the next step depends on.

    "network" is there from the start, with its optimisers and averaged weights (EMA); an objective adds
    what else it trains (`add`). Everything is saved and resumed by its name.

    Args:
        config: The recipe.
        device: Where to train.
        start: Weights to start from, made to fit (`starting_weights`); None for random ones.
        distributed: Who trains together.
        network: Makes the network; None for that of the recipe. Called after `torch.manual_seed`.

    Attributes:
        precision: Of the forward passes, never "auto".
        modules: In training.
        optimizers: Of each module.
        settings: Of the optimisers of each module.
        scalers: Of each module's loss; at work in float16 only.
        emas: Averaged weights of a module, in eval mode; that of "network" is validated and kept.
        iteration: Steps done.
        bad_steps: Steps in a row without finite numbers.
        best: Highest mean of the validation sets so far, dB.
        best_of: Names of these sets; None where nothing was measured yet.
        skipped: Whether the last step left a module as it was, since numbers were not finite.
        pending: The log's line of the step behind which is still to be measured, or None.

    Raises:
        ConfigError: The starting weights do not fit the recipe, or `network` makes no module to train.
    """

    def __init__(
        self,
        config: TrainingConfig,
        device: torch.device,
        *,
        start: Checkpoint | None = None,
        distributed: Distributed | None = None,
        network: NetworkFactory | None = None,
    ) -> None:
        self.config, self.device = config, device
        self.precision = config.precision
        if config.precision == "auto":
            self.precision = "bfloat16" if multiplies_bfloat16(device) else "float32"
        self.distributed = distributed or Distributed()
        self.modules: dict[str, nn.Module] = {}
        self.optimizers: dict[str, list[torch.optim.Optimizer]] = {}
        self.settings: dict[str, OptimizerSettings] = {}
        self.scalers: dict[str, torch.amp.GradScaler] = {}
        self.emas: dict[str, nn.Module] = {}
        self.iteration = self.bad_steps = 0
        self.best = -math.inf
        self.best_of: list[str] | None = None
        self.pending: dict[str, Any] | None = None
        self.skipped, self._excused = False, True
        torch.manual_seed(config.seed)
        made = make_network(config, network, start)
        self.add("network", made, config.optimizer, ema=True)
        if config.compile:
            for block in made.blocks if isinstance(made, ESC) else (made,):
                block.compile(dynamic=False)

    @property
    def network(self) -> ESC:
        """The network in training; any module, where the caller made it."""
        return cast(ESC, self.modules["network"])

    @property
    def ema(self) -> ESC:
        """The same with its averaged weights."""
        return cast(ESC, self.emas["network"])

    def add(self, name: str, module: nn.Module, settings: OptimizerSettings, *, ema: bool = False) -> None:
        """Adds a module to what is trained, saved and resumed.

        Args:
            name: Its name, without dots.
            module: The module, its random weights drawn after `torch.manual_seed(config.seed)`.
            settings: Of its optimisers.
            ema: Whether its weights are averaged too.
        """
        module = module.to(self.device)
        # Convolutions with few channels are faster with the channels last, on CPUs and GPUs alike.
        for tensor in chain(module.parameters(), module.buffers()):
            if tensor.dim() == 4:
                tensor.data = tensor.data.to(memory_format=torch.channels_last)
        self.modules[name], self.settings[name] = module, settings
        self.optimizers[name] = build_optimizers(module, settings)
        self.scalers[name] = torch.amp.GradScaler(self.device.type, enabled=self.precision == "float16")
        if ema:
            self.emas[name] = copy.deepcopy(module).eval().requires_grad_(False)

    def step(self, objective: Objective, micro_batches: Sequence[Batch]) -> Mapping[str, float]:
        """One step of an objective; where numbers are not finite, nothing but counters change.

        Args:
            objective: What to make better.
            micro_batches: This process's share of the batch, to be computed one after the other.

        Returns:
            Figures of the whole batch, by name; "loss" is among them.
        """
        self.iteration += 1
        torch.manual_seed(_seed_of(self.config.seed, self.iteration, self.distributed.rank))
        self.skipped, self._excused = False, True
        figures = objective.step(self, micro_batches)
        self.bad_steps = 0 if self._excused else self.bad_steps + 1
        return figures

    def update(
        self, name: str, loss: Callable[[_Part], Mapping[str, Tensor]], micro_batches: Sequence[_Part]
    ) -> dict[str, float]:
        """Updates a module by the gradients of a loss, and its averaged weights.

        Gradients are summed over micro-batches and processes. Where the loss or one of them is not finite
        the module stays as it is, and the step counts as skipped.

        Args:
            name: Of the module.
            loss: From a batch to means over it, scalars, float32: "loss" is differentiated, and others are
                figures beside it.
            micro_batches: This process's share of the batch.

        Returns:
            The loss and the figures of the whole batch.

        Raises:
            ConfigError: One of them is not a number.
        """
        module, scaler, settings = self.modules[name], self.scalers[name], self.settings[name]
        for optimizer in self.optimizers[name]:
            optimizer.zero_grad()
        share = 1 / (len(micro_batches) * self.distributed.world_size)
        totals: dict[str, Tensor] = {}
        for batch in micro_batches:
            with ExitStack() as products:
                products.enter_context(compute_in(self.precision, self.device))
                values = {figure: _single(figure, value) * share for figure, value in loss(batch).items()}
                if self.precision in HALF_PRECISIONS:
                    products.close()  # autocast is for forward passes
                for figure, value in values.items():
                    totals[figure] = totals.get(figure, 0) + value.detach().reshape(1)
                torch.autograd.backward([scaler.scale(values["loss"])])
        gradients = [weight.grad for weight in module.parameters() if weight.grad is not None]
        self.distributed.all_reduce([*gradients, *totals.values()])
        result = {figure: total.item() for figure, total in totals.items()}
        rate = learning_rate_at(self.iteration, self.config, settings.learning_rate)
        for optimizer in self.optimizers[name]:
            for group in optimizer.param_groups:
                group["lr"] = rate
            scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(module.parameters(), settings.clip_norm or math.inf)
        updated = math.isfinite(result["loss"]) and bool(norm.isfinite())
        if updated:
            for optimizer in self.optimizers[name]:
                scaler.step(optimizer)
            self._update_ema(name)
        scaler.update()
        # In float16 a scaled gradient may overflow, until the scaler has lowered its factor to 1.
        may_overflow = scaler.is_enabled() and math.isfinite(result["loss"]) and scaler.get_scale() >= 1
        self.skipped |= not updated
        self._excused &= updated or may_overflow
        return result

    @torch.no_grad()
    def _update_ema(self, name: str) -> None:
        decay = self.config.ema.decay
        if self.config.ema.ramp:
            decay = min(decay, self.iteration / (self.iteration + 9))
        if name in self.emas:
            pairs = zip(self.emas[name].parameters(), self.modules[name].parameters(), strict=True)
            for average, current in pairs:
                average.lerp_(current, 1 - decay)
            buffers = zip(self.emas[name].buffers(), self.modules[name].buffers(), strict=True)
            for kept, buffer in buffers:  # running means of a network of the caller's
                kept.copy_(buffer)

    def save(self, path: Path, *, resumable: bool = True) -> None:
        """Writes the averaged weights as a model, and with them all that resuming needs.

        Args:
            path: Target.
            resumable: Else the model alone.

        Raises:
            OutputError: The file cannot be written.
        """
        extra: dict[str, Tensor] = {}
        metadata: dict[str, str] = {}
        if isinstance(objective := self.config.objective, RealSettings):
            metadata[DEGRADATION] = preset_name(objective.degradation) or "own"
        if resumable:
            extra = packed(self.modules, self.emas, self.optimizers)
            metadata |= sealed({**self.ema.state_dict(), **extra}, self._counters().model_dump_json())
        training = f"recipe {self.config.name}, {self.iteration} of {self.config.iterations} iterations"
        if isinstance(self.ema, ESC):
            save_network(self.ema, path, training=training, extra=extra, metadata=metadata)
        else:
            save_module(self.ema, path, extra=extra, metadata=metadata | {"training": training})

    def load(self, saved: str | os.PathLike[str] | SavedTraining) -> None:
        """Restores what `save` wrote, in training by the same recipe.

        Args:
            saved: The file, or what was read of it.

        Raises:
            CheckpointError: The file is damaged, of another network or optimiser, or no training state.
        """
        checkpoint = self.load_network(saved)
        path = checkpoint.path
        try:
            counters = _Counters.model_validate_json(counters_of(checkpoint))
            there, here = counters.optimizers, self._counters().optimizers
            if there != here:
                raise CheckpointError(
                    f"{path}: its optimisers are not the recipe's ({there} there, {here} here)."
                )
            unpack(checkpoint.extra, self.modules, self.emas, self.optimizers)
            for name, scaler in self.scalers.items():
                if scaler.is_enabled() and counters.scalers[name]:
                    scaler.load_state_dict(counters.scalers[name])
        except (RuntimeError, ValueError, KeyError) as error:
            problem = " ".join(str(error).split())[:300]
            raise CheckpointError(
                f"{path}: its training state does not fit the recipe: {problem}"
            ) from error
        self.iteration, self.bad_steps = counters.iteration, counters.bad_steps
        self.best = -math.inf if counters.best is None else counters.best
        self.best_of = counters.best_of
        self.pending = counters.pending

    def load_network(self, saved: str | os.PathLike[str] | SavedTraining) -> SavedTraining:
        """Restores the averaged weights of the network alone, and returns all that `save` wrote.

        Args:
            saved: As of `load`.

        Raises:
            CheckpointError: The file is damaged, of another network, or no training state.
        """
        checkpoint = saved if isinstance(saved, SavedTraining) else read_training_checkpoint(saved)
        path = checkpoint.path
        config = self.ema.config if isinstance(self.ema, ESC) else None
        if checkpoint.config != config:
            difference = network_difference(checkpoint.config, config)
            raise CheckpointError(f"{path}: its network is not this training's ({difference}).")
        try:
            self.ema.load_state_dict(checkpoint.weights)
        except RuntimeError as error:
            problem = " ".join(str(error).split())[:300]
            raise CheckpointError(f"{path}: its weights do not fit the network: {problem}") from error
        return checkpoint

    def _counters(self) -> _Counters:
        return _Counters(
            iteration=self.iteration,
            bad_steps=self.bad_steps,
            best=self.best if math.isfinite(self.best) else None,
            best_of=self.best_of,
            pending=self.pending,
            optimizers={name: [type(o).__name__ for o in each] for name, each in self.optimizers.items()},
            scalers={name: scaler.state_dict() for name, scaler in self.scalers.items()},
        )


def _single(figure: str, value: Tensor) -> Tensor:
    """A loss or figure, refused where it is one for each sample or pixel, which would have to be summed."""
    if not isinstance(value, Tensor) or value.numel() != 1:
        found = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ConfigError(f"The {figure!r} of a step must be a tensor of one number, not {found}.")
    return value


def _seed_of(seed: int, iteration: int, rank: int) -> int:
    """Seed of PyTorch's generators in a step, so that a network with dropout resumes bit for bit too."""
    return int(np.random.SeedSequence((seed, iteration, rank)).generate_state(1, np.uint64)[0])
