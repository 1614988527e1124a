"""The training loop: one step is a pure function of the state and the iteration's number."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from escsr.data.storage import fingerprint
from escsr.errors import EscError
from escsr.files import atomic_path
from escsr.models.checkpoints import Checkpoint
from escsr.training.batches import Batches, Clock
from escsr.training.config import TrainingConfig
from escsr.training.distributed import Distributed
from escsr.training.objectives import Batch, Sampler, objective_for
from escsr.training.records import RunFolder, latest_checkpoint
from escsr.training.schedule import learning_rate_at
from escsr.training.state import TrainingState
from escsr.training.validation import Validation

__all__ = ["Progress", "Trainer"]

_LOG_EVERY = 20


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
        skipped: Whether the step was left out, since its numbers were not finite.
        checkpoint: Whether a checkpoint was written after this step.
        validation: Set name to Y-PSNR in dB, on these steps.
    """

    iteration: int
    iterations: int
    loss: float
    learning_rate: float
    iterations_per_second: float
    data_share: float
    skipped: bool = False
    checkpoint: bool = False
    validation: Mapping[str, float] = field(default_factory=dict)


class Trainer:
    """Trains a network: L1, AdamW or Muon, averaged weights.

    A run lives in a folder, see `RunFolder`. A checkpoint holds the averaged weights as an ordinary
    model, which `upscale` loads, and beside them all that resuming needs; a resumed run continues bit
    for bit on a CPU. `best.safetensors` is the best by the mean over the validation sets; the newest
    where there are none.

    Several processes give the result of one: each batch is the same, whoever computes which part of it.
    Only the order of sums differs, by about 1e-7 of a gradient.

    Args:
        config: The recipe.
        sampler: Where patches come from.
        output: Folder of the run, or the run's records.
        device: Where to train.
        validation: Names and folders of HR pictures to measure on, see `Validation`.
        start: Weights to start from, made to fit (`starting_weights`); None for random ones.
        processes: Who trains together.

    Raises:
        ConfigError: The sampler's scale or the starting weights do not fit the recipe.
    """

    def __init__(
        self,
        config: TrainingConfig,
        sampler: Sampler,
        output: str | os.PathLike[str] | RunFolder,
        *,
        device: str = "cpu",
        validation: Mapping[str, str | os.PathLike[str]] | None = None,
        start: Checkpoint | None = None,
        processes: Distributed | None = None,
    ) -> None:
        self.config = config
        self.sampler, self.objective = sampler, objective_for(config, sampler)
        self.folder = output if isinstance(output, RunFolder) else RunFolder(output)
        self.device = torch.device(device)
        self.validation = Validation(config, {k: Path(v) for k, v in (validation or {}).items()})
        self.processes = processes or Distributed()
        self.state = TrainingState(config, self.device, start=start, processes=self.processes)

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
                checkpoint, and the last batch is saved in the folder.
            ConfigError: The folder holds a run of another recipe, or on other pictures.
            OutputError: The folder cannot be written.
        """
        if self.processes.is_first:
            self.folder.begin(self.config, self.state.iteration, data=fingerprint(self.sampler.images))
        clock, ahead = Clock(), self.device.type != "cpu"
        try:
            with self._products(), Batches(self._draw, self.state.iteration, ahead=ahead) as batches:
                while self.state.iteration < self.config.iterations:
                    clock.start()
                    parts = batches.take()
                    clock.ready()
                    stopped, progress = self._advance(parts, clock, stop)
                    if on_progress is not None:
                        on_progress(progress)
                    if stopped:
                        break
        finally:
            self.folder.close()
        return self.state.iteration == self.config.iterations

    def _advance(
        self, parts: Sequence[Batch], clock: Clock, stop: threading.Event | None
    ) -> tuple[bool, Progress]:
        """One step and all that follows from it; whether to stop, and what to report."""
        config, state = self.config, self.state
        step = state.step(self.objective, parts, stop=stop is not None and stop.is_set())
        clock.stop()
        if state.bad_steps >= config.patience:
            self._give_up(parts)
        due = state.iteration % config.validate_every == 0 or state.iteration == config.iterations
        results = self.validation.measure(state.ema, self.processes) if due else {}
        progress = Progress(
            iteration=state.iteration,
            iterations=config.iterations,
            loss=step.loss,
            learning_rate=learning_rate_at(state.iteration, config),
            iterations_per_second=clock.rate,
            data_share=clock.data_share,
            skipped=step.skipped,
            checkpoint=due or step.stop,
            validation=results,
        )
        # Killed between the two, the run begins before this line, and forgets it.
        self._log(progress)
        if progress.checkpoint:
            self._save(results)
        return step.stop, progress

    def _draw(self, iteration: int) -> list[Batch]:
        count, place = self.config.accumulation, self.processes
        parts = range(place.rank * count, (place.rank + 1) * count)
        drawn = [self.objective.draw(iteration, part, place.world_size * count) for part in parts]
        return [{name: self._to_device(tensor) for name, tensor in part.items()} for part in drawn]

    def _to_device(self, tensor: Tensor) -> Tensor:
        layout = torch.channels_last if tensor.dim() == 4 else torch.preserve_format
        return tensor.to(self.device, memory_format=layout, non_blocking=True)

    def _products(self) -> AbstractContextManager[Any]:
        """Of GPUs, rounded to TF32 only where the recipe says so, in backward passes too."""
        if self.device.type != "cuda":
            return nullcontext()
        return torch.backends.cudnn.flags(enabled=True, allow_tf32=self.config.precision == "tf32")

    def _save(self, results: Mapping[str, float]) -> None:
        state = self.state
        mean = sum(results.values()) / len(results) if results else state.best
        improved = mean > state.best or not self.validation.folders
        state.best = max(state.best, mean)
        if not self.processes.is_first:
            return
        state.save(self.folder.checkpoint(state.iteration))
        if improved:
            state.save(self.folder.best, resumable=False)
        self.folder.remove_old(self.config.keep_checkpoints)
        if results:
            self.folder.show(self.validation.samples(state.ema), state.iteration)

    def _give_up(self, parts: Sequence[Batch]) -> None:
        """Keeps the batch, goes back to the last good state, and says so."""
        failed = self.state.iteration
        batch = self.folder.path / f"bad-batch-{failed:07d}-{self.processes.rank}.safetensors"
        tensors = {
            f"{k}.{name}": t.contiguous() for k, part in enumerate(parts) for name, t in part.items()
        }
        with atomic_path(batch) as temporary:
            save_file(tensors, temporary)
        last = latest_checkpoint(self.folder.path)
        if last is not None:
            self.state.load(last)
        raise EscError(
            f"{self.config.patience} steps in a row, to step {failed}, came out without finite numbers. Go "
            f"on from {last or 'the start'} with a lower learning_rate, or with precision=float32. The "
            f"last batch is in {batch}."
        )

    def _log(self, progress: Progress) -> None:
        told = progress.checkpoint or progress.skipped or progress.iteration % _LOG_EVERY == 0
        if not (told and self.processes.is_first):
            return
        line = {
            "iteration": progress.iteration,
            "loss": progress.loss,
            "learning_rate": progress.learning_rate,
            "iterations_per_second": round(progress.iterations_per_second, 3),
            "data_share": round(progress.data_share, 4),
            **({"skipped": True} if progress.skipped else {}),
            **({"validation": dict(progress.validation)} if progress.validation else {}),
        }
        self.folder.log(line)
