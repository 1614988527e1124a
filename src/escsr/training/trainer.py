"""The training loop: one step is a pure function of the state and the iteration's number."""

from __future__ import annotations

import copy
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from escsr.checkpoints import Checkpoint, read_checkpoint, save_network
from escsr.data.datasets import PatchPool
from escsr.errors import CheckpointError, ConfigError, EscError
from escsr.evaluation.protocols import evaluate
from escsr.networks import ESC
from escsr.training.config import TrainingConfig
from escsr.training.optimizers import build_optimizers
from escsr.training.schedule import learning_rate_at
from escsr.training.starting import starting_weights
from escsr.training.state import pack_state, restore_state

__all__ = ["Progress", "Trainer", "latest_checkpoint"]

_BEST = "best.safetensors"


@dataclass(frozen=True)
class Progress:
    """What the trainer reports after a step.

    Attributes:
        iteration: Steps done.
        iterations: Steps in all.
        loss: L1 of the step.
        learning_rate: Rate of the step.
        iterations_per_second: Averaged over the last steps.
        data_share: Share of the time spent waiting for patches.
        checkpoint: Whether a checkpoint was written after this step.
        validation: Set name to Y-PSNR in dB, on these steps.
    """

    iteration: int
    iterations: int
    loss: float
    learning_rate: float
    iterations_per_second: float
    data_share: float
    checkpoint: bool = False
    validation: Mapping[str, float] = field(default_factory=dict)


class Trainer:
    """Trains a network for fidelity: L1 between result and HR, AdamW or Muon, averaged weights.

    A run lives in a folder: `iter_N.safetensors` checkpoints, `best.safetensors` (by the mean over the
    validation sets; the newest where there are none), `log.jsonl` and `recipe.json`. A checkpoint holds
    the averaged weights as an ordinary model, which `upscale` loads, and beside them all that resuming
    needs; a resumed run continues bit for bit on a CPU.

    Args:
        config: The recipe.
        pool: Where patches come from.
        output: Folder of the run.
        device: Where to train.
        validation: Names and folders of HR pictures for protocol `classic`.
        start: Weights to start from, converted to the recipe's scale; None for random ones.

    Raises:
        ConfigError: The pool's scale or the starting weights do not fit the recipe.
    """

    def __init__(
        self,
        config: TrainingConfig,
        pool: PatchPool,
        output: str | os.PathLike[str],
        *,
        device: str = "cpu",
        validation: Mapping[str, str | os.PathLike[str]] | None = None,
        start: Checkpoint | None = None,
    ) -> None:
        if pool.scale != config.network.scale:
            raise ConfigError(f"The recipe is for ×{config.network.scale}, the pictures are ×{pool.scale}.")
        self.config, self.pool, self.output = config, pool, Path(output)
        self.device = torch.device(device)
        self.validation = dict(validation or {})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = ESC(config.network)
        if start is not None:
            self.network.load_state_dict(starting_weights(start, self.network))
        self.network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.optimizers = build_optimizers(self.network, config)
        self.iteration = 0
        self.best = -math.inf

    def train(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        """Runs to the recipe's last step, from wherever the state stands.

        Args:
            on_progress: Called after every step.

        Raises:
            EscError: The loss is not finite; the last checkpoint is intact.
        """
        self.output.mkdir(parents=True, exist_ok=True)
        (self.output / "recipe.json").write_text(json.dumps(self.config.to_dict(), indent=1) + "\n")
        clock = _Clock()
        while self.iteration < self.config.iterations:
            clock.start()
            lr, hr = self._next_batch()
            clock.ready()
            loss = self.step(lr, hr)
            clock.stop()
            due = self.iteration % self.config.validate_every == 0
            due = due or self.iteration == self.config.iterations
            results = self._validate() if due else {}
            if due:
                self._save(results)
            progress = Progress(
                iteration=self.iteration,
                iterations=self.config.iterations,
                loss=loss,
                learning_rate=learning_rate_at(self.iteration, self.config),
                iterations_per_second=clock.rate,
                data_share=clock.data_share,
                checkpoint=due,
                validation=results,
            )
            self._log(progress)
            if on_progress is not None:
                on_progress(progress)

    def step(self, lr: Tensor, hr: Tensor) -> float:
        """One optimisation step.

        Args:
            lr: (B, 3, p, p) in [0, 1].
            hr: (B, 3, rp, rp) in [0, 1].

        Returns:
            The loss.

        Raises:
            EscError: The loss is not finite; nothing is changed.
        """
        config = self.config
        low = config.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16) if low else nullcontext():
            sr = self.network(lr)
        loss = F.l1_loss(sr.float(), hr)
        value = loss.item()
        if not math.isfinite(value):
            raise EscError(
                f"The loss of step {self.iteration + 1} is {value}; lower the learning rate or use "
                f"precision=float32, and resume from the last checkpoint in {self.output}."
            )
        self.iteration += 1
        for optimizer in self.optimizers:
            optimizer.zero_grad()
            for group in optimizer.param_groups:
                group["lr"] = learning_rate_at(self.iteration, config)
        torch.autograd.backward([loss])
        if config.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        self._update_average()
        return value

    def resume(self, path: str | os.PathLike[str]) -> None:
        """Restores the whole state from a checkpoint of this recipe.

        Raises:
            CheckpointError: The file is damaged, of another network, or holds no training state.
        """
        checkpoint = read_checkpoint(path)
        if checkpoint.config != self.config.network:
            raise CheckpointError(f"{path}: the checkpoint's network is not the recipe's.")
        if "training.iteration" not in checkpoint.metadata or not checkpoint.extra:
            raise CheckpointError(f"{path}: a model without training state; start from it instead.")
        self.average.load_state_dict(checkpoint.weights)
        restore_state(checkpoint.extra, self.network, self.optimizers)
        self.iteration = int(checkpoint.metadata["training.iteration"])
        self.best = float(checkpoint.metadata["training.best"])

    def _next_batch(self) -> tuple[Tensor, Tensor]:
        config = self.config
        lr, hr = self.pool.batch(config.seed, self.iteration, config.batch_size, config.patch_size)
        return (
            lr.to(self.device, memory_format=torch.channels_last, non_blocking=True),
            hr.to(self.device, memory_format=torch.channels_last, non_blocking=True),
        )

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = self.config.ema_decay
        if self.config.ema_ramp:
            decay = min(decay, self.iteration / (self.iteration + 9))
        for average, current in zip(self.average.parameters(), self.network.parameters(), strict=True):
            average.lerp_(current, 1 - decay)

    def _validate(self) -> dict[str, float]:
        return {name: evaluate(self.average, folder).psnr_y for name, folder in self.validation.items()}

    def _save(self, results: Mapping[str, float]) -> None:
        mean = sum(results.values()) / len(results) if results else self.best
        improved = mean > self.best or not results
        self.best = max(self.best, mean)
        path = self.output / f"iter_{self.iteration:07d}.safetensors"
        metadata = {"training.iteration": str(self.iteration), "training.best": repr(self.best)}
        note = f"recipe {self.config.name}, {self.iteration} of {self.config.iterations} iterations"
        save_network(
            self.average,
            path,
            training=note,
            extra=pack_state(self.network, self.optimizers),
            metadata=metadata,
        )
        if improved:
            save_network(self.average, self.output / _BEST, training=note, metadata=metadata)
        for old in sorted(self.output.glob("iter_*.safetensors"))[: -self.config.keep]:
            old.unlink()

    def _log(self, progress: Progress) -> None:
        line = {
            "iteration": progress.iteration,
            "loss": progress.loss,
            "learning_rate": progress.learning_rate,
            "iterations_per_second": round(progress.iterations_per_second, 3),
            **({"validation": dict(progress.validation)} if progress.validation else {}),
        }
        if progress.checkpoint or progress.iteration % 20 == 0:
            with open(self.output / "log.jsonl", "a") as file:
                file.write(json.dumps(line) + "\n")


def latest_checkpoint(output: str | os.PathLike[str]) -> Path | None:
    """The newest checkpoint of a run that can be read, or None."""
    for path in sorted(Path(output).glob("iter_*.safetensors"), reverse=True):
        with suppress(CheckpointError):
            read_checkpoint(path)
            return path
    return None


class _Clock:
    """Speed over the last steps, and the share of it spent on data; validation does not count."""

    def __init__(self, memory: float = 0.95) -> None:
        self.memory = memory
        self.step_s = self.data_s = 0.0
        self._start = self._ready = 0.0

    def start(self) -> None:
        """A step begins, with waiting for its data."""
        self._start = time.perf_counter()

    def ready(self) -> None:
        """Its data are there."""
        self._ready = time.perf_counter()

    def stop(self) -> None:
        """The step is done."""
        keep = self.memory if self.step_s else 0.0
        self.step_s = keep * self.step_s + (1 - keep) * (time.perf_counter() - self._start)
        self.data_s = keep * self.data_s + (1 - keep) * (self._ready - self._start)

    @property
    def rate(self) -> float:
        """Steps a second."""
        return 1 / self.step_s

    @property
    def data_share(self) -> float:
        """Share of a step spent waiting, in [0, 1]."""
        return self.data_s / self.step_s
