"""The training loop: one step is a pure function of the state and the iteration's number."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from escsr.data.storage import fingerprint
from escsr.errors import EscError
from escsr.files import atomic_path
from escsr.models.checkpoints import Checkpoint
from escsr.networks import ESC
from escsr.training.batches import Speed, batches_in_order
from escsr.training.config import TrainingConfig
from escsr.training.distributed import Distributed
from escsr.training.limits import check_batch
from escsr.training.objective_table import Sampler, objective_for
from escsr.training.objectives import Batch, Objective
from escsr.training.records import RunFolder, latest_checkpoint
from escsr.training.schedule import learning_rate_at
from escsr.training.starting import NetworkFactory
from escsr.training.state import TrainingState
from escsr.training.validation import Validation

__all__ = ["Progress", "Trainer"]

_LOG = logging.getLogger(__name__)

_LOG_EVERY = 20


@dataclass(frozen=True)
class Progress:
    """What the trainer reports after a step.

    Attributes:
        iteration: Steps done.
        iterations: Steps in all.
        figures: Of the step, by name.
        learning_rate: Rate of the step.
        iterations_per_second: Averaged over the last steps.
        data_share: Share of the time spent waiting for patches.
        skipped: Whether the step was left out, since its numbers were not finite.
        checkpoint: Whether a checkpoint was written after this step.
        validation: Set name to Y-PSNR in dB, on these steps.
    """

    iteration: int
    iterations: int
    figures: Mapping[str, float]
    learning_rate: float
    iterations_per_second: float
    data_share: float
    skipped: bool = False
    checkpoint: bool = False
    validation: Mapping[str, float] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """The figure that is watched."""
        return self.figures["loss"]


class Trainer:
    """Trains a network: an objective, AdamW or Muon, averaged weights.

    A run lives in a folder, see `RunFolder`. A checkpoint holds the averaged weights as an ordinary
    model, which `upscale` loads, and beside them all that resuming needs; a resumed run continues bit
    for bit on a CPU. `best.safetensors` is the best by the mean over the validation sets; the newest as
    long as nothing was measured, or where features or a discriminator judge.

    Several processes give the result of one: each batch is the same, whoever computes which shard of it.
    Only the order of sums differs, by about 1e-7 of a gradient.

    Args:
        config: The recipe.
        sampler: Where patches come from.
        output: Folder of the run, or the run's records.
        device: Where to train.
        validation: Names and folders of HR images to measure on, see `Validation`; or one that was checked.
        start: Weights to start from, made to fit (`starting_weights`); None for random ones.
        objective: What a step makes better; None for the recipe's.
        distributed: Who trains together.
        network: Makes the network, see `NetworkFactory`; None for that of the recipe.

    Raises:
        ConfigError: The sampler's scale or the starting weights do not fit the recipe, or the batch cannot
            be shared out or does not fit the memory, or a network of the caller's own cannot be measured.
        DataError: An image to validate on is too small, or has other than 8 bits.
    """

    def __init__(
        self,
        config: TrainingConfig,
        sampler: Sampler,
        output: str | os.PathLike[str] | RunFolder,
        *,
        device: str = "cpu",
        validation: Mapping[str, str | os.PathLike[str]] | Validation | None = None,
        start: Checkpoint | None = None,
        objective: Objective | None = None,
        distributed: Distributed | None = None,
        network: NetworkFactory | None = None,
    ) -> None:
        self.config = config
        self.sampler, self.objective = sampler, objective or objective_for(config, sampler)
        self.folder = output if isinstance(output, RunFolder) else RunFolder(output)
        self.device = torch.device(device)
        self.distributed = distributed or Distributed()
        check_batch(config, self.device, self.distributed.world_size, own_network=network is not None)
        self.validation = (
            validation
            if isinstance(validation, Validation)
            else Validation.checked(config, validation or {})
        )
        self.state = TrainingState(
            config, self.device, start=start, distributed=self.distributed, network=network
        )
        if self.validation.folders:
            self.validation.opened(self.state.ema)
        self.objective.prepare(self.state)
        self._speed = Speed()

    def train(
        self,
        on_progress: Callable[[Progress], None] | None = None,
        *,
        stop: threading.Event | None = None,
    ) -> bool:
        """Runs to the recipe's last step, from wherever the state stands.

        Args:
            on_progress: Called after every step.
            stop: Once set, the step at hand is finished and a checkpoint written.

        Returns:
            Whether the last step was reached.

        Raises:
            EscError: `patience` steps in a row were not finite; the state is again that of the last
                checkpoint before them, and the last batch is saved in the folder.
            ConfigError: The folder holds a run of another recipe, or on other images, or another
                training writes to it.
            OutputError: The folder cannot be written.
        """
        state = self.state
        try:
            with self.distributed.patiently():
                if self.distributed.is_first:
                    # The line of a step that is still to be measured is written again.
                    done = state.iteration - (state.pending is not None)
                    self.folder.begin(self.config, done, data=fingerprint(self.sampler.images))
            if state.pending is not None:
                self._measure()
            ahead = self.device.type != "cpu"
            with closing(batches_in_order(self._draw, state.iteration, ahead=ahead)) as batches:
                while state.iteration < self.config.iterations:
                    begun = time.perf_counter()
                    micro_batches = next(batches)
                    ready = time.perf_counter()
                    stopped = self.distributed.any(stop is not None and stop.is_set(), self.device)
                    progress = self._advance(micro_batches, begun, ready, stopped)
                    if on_progress is not None:
                        on_progress(progress)
                    if stopped:
                        break
        finally:
            self.folder.close()
        return state.iteration == self.config.iterations

    def _advance(
        self, micro_batches: Sequence[Batch], begun: float, ready: float, stopped: bool
    ) -> Progress:
        """One step and all that follows from it; it began, and had its data, at these times."""
        config, state = self.config, self.state
        last_good = state.iteration - state.bad_steps
        figures = state.step(self.objective, micro_batches)
        self._speed.add(time.perf_counter() - begun, ready - begun)
        if state.bad_steps >= config.patience:
            self._give_up(micro_batches)
        due = self._is_due(last_good)
        progress = Progress(
            iteration=state.iteration,
            iterations=config.iterations,
            figures=figures,
            learning_rate=learning_rate_at(state.iteration, config),
            iterations_per_second=1 / self._speed.step_s,
            data_share=self._speed.data_s / self._speed.step_s,
            skipped=state.skipped,
            checkpoint=due or stopped,
        )
        if due and self.validation.folders:
            # Saved first: whatever befalls the measuring, it is made up for when the run goes on.
            state.pending = _line(progress)
            self._save(is_best=False)
            return replace(progress, validation=self._measure())
        if self.distributed.is_first and (
            progress.checkpoint or progress.skipped or progress.iteration % _LOG_EVERY == 0
        ):
            # Killed between the two, the run begins before this line, and forgets it.
            self.folder.log(_line(progress))
        if progress.checkpoint:
            # Without validation nobody knows whether it is better than what was measured before.
            unrivalled = state.best_of is None or config.newest_is_best
            is_best = unrivalled and not self.validation.folders and not state.bad_steps
            self._save(is_best=is_best)
        return progress

    def _is_due(self, last_good: int) -> bool:
        """Whether to measure and to save behind this step; last_good is the last one before it.

        Behind steps without finite numbers the next good one makes up for it, and the last one of the run
        is saved all the same.
        """
        state, every = self.state, self.config.validate_every
        is_over = state.iteration == self.config.iterations
        return is_over or (not state.bad_steps and state.iteration // every > last_good // every)

    def _measure(self) -> Mapping[str, float]:
        """Measures the state that was saved last; log, best model and checkpoint take note."""
        state = self.state
        results = self.validation.measure(state.ema, self.distributed)
        if results and state.best_of not in (None, sorted(results)):
            _LOG.warning("Other validation sets than before: the best model is now the best by these.")
            state.best = -math.inf
        state.best_of = sorted(results) or state.best_of
        mean = sum(results.values()) / len(results) if results else state.best
        line, state.pending = {**(state.pending or {}), "validation": results}, None
        is_best = (mean > state.best or self.config.newest_is_best) and not state.bad_steps
        state.best = max(mean, state.best) if is_best else state.best
        if self.distributed.is_first:
            self.folder.log(line)
            self._save(is_best=is_best)
            self.folder.show(self.validation.samples(state.ema), state.iteration)
        return results

    def _draw(self, iteration: int) -> list[Batch]:
        count, place = self.config.accumulation, self.distributed
        shards = range(place.rank * count, (place.rank + 1) * count)
        drawn = [self.objective.draw(iteration, shard, place.world_size * count) for shard in shards]
        return [{name: self._to_device(tensor) for name, tensor in batch.items()} for batch in drawn]

    def _to_device(self, tensor: Tensor) -> Tensor:
        layout = torch.channels_last if tensor.dim() == 4 else torch.preserve_format
        return tensor.to(self.device, memory_format=layout, non_blocking=True)

    def _save(self, *, is_best: bool) -> None:
        if not self.distributed.is_first:
            return
        if is_best:
            self.state.save(self.folder.best, resumable=False)
        self.state.save(self.folder.checkpoint(self.state.iteration))
        self.folder.remove_old(self.config.keep_checkpoints, until=self.state.iteration)

    def _give_up(self, micro_batches: Sequence[Batch]) -> None:
        """Keeps the batch, goes back to the last good state, and says so."""
        failed, good = self.state.iteration, self.state.iteration - self.state.bad_steps
        path = self.folder.path / f"bad-batch-{failed:07d}-{self.distributed.rank}.safetensors"
        tensors = {
            f"{k}.{name}": tensor.contiguous()
            for k, batch in enumerate(micro_batches)
            for name, tensor in batch.items()
        }
        with atomic_path(path) as temporary:
            save_file(tensors, temporary)
        last = latest_checkpoint(self.folder.path, until=good)
        if last is not None:
            self.state.load(last)
        advice = "" if last is None else self._advice(last.path)
        raise EscError(
            f"{self.config.patience} steps in a row, to step {failed}, came out without finite numbers. "
            f"Train into another folder{advice}, with a lower learning_rate or with "
            f"precision=float32. The last batch is in {path}."
        )

    def _advice(self, last: Path) -> str:
        """How another run goes on from a checkpoint; one in the same folder may have no other recipe."""
        if isinstance(self.state.ema, ESC):
            return f" from the model before them (start={last})"
        return f" from the weights before them, which your network has to load itself ({last})"


def _line(progress: Progress) -> dict[str, Any]:
    """A step's line of the log."""
    return {
        "iteration": progress.iteration,
        **progress.figures,
        "learning_rate": progress.learning_rate,
        "iterations_per_second": round(progress.iterations_per_second, 3),
        "data_share": round(progress.data_share, 4),
        **({"skipped": True} if progress.skipped else {}),
    }
