"""The folder of a run: recipe, checkpoints, figures and sample pictures."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from escsr import images
from escsr.errors import CheckpointError, ConfigError, OutputError
from escsr.files import atomic_path, check_folder, only_finite
from escsr.images import Picture
from escsr.models.bundled import run_checkpoints
from escsr.runtime.extras import install_line
from escsr.training.config import TrainingConfig, flat
from escsr.training.resumable import SavedTraining, read_training_checkpoint
from escsr.training.wandb_log import WandbLog, check_login, check_wandb

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["RunFolder", "latest_checkpoint"]

_LOG = logging.getLogger(__name__)

_WATCHING = ("keep_checkpoints", "validate_every", "validation_scales", "patience")
_MAY_CHANGE = (*_WATCHING, "accumulation", "compile")
"""What a run may be continued with another value of: it changes the weights not at all, or by rounding."""


class RunFolder:
    """Where a run writes: every file appears whole or not at all, lines of the log excepted.

    * `recipe.json`: the recipe with which it began, and a fingerprint of its pictures.
    * `iter_N.safetensors`: the last checkpoints; `best.safetensors`.
    * `log.jsonl`: loss, learning rate, speed and figures; one JSON object a line.
    * `samples/`: what the network makes of the first picture of each validation set.
    * `events.*`: the same for TensorBoard, where asked for; `wandb/`: for Weights & Biases.

    Args:
        path: The folder.
        tensorboard: Also write TensorBoard's files.
        wandb: Also log to Weights & Biases.

    Raises:
        ConfigError: TensorBoard or Weights & Biases is asked for but not installed.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, tensorboard: bool = False, wandb: bool = False
    ) -> None:
        self.path = Path(path)
        if tensorboard and importlib.util.find_spec("tensorboard") is None:
            raise ConfigError(f"TensorBoard is not installed: {install_line('tensorboard')}")
        if wandb:
            check_wandb()
        self._wants_wandb = wandb
        self._wandb: WandbLog | None = None
        self._wants_events = tensorboard
        self._events: SummaryWriter | None = None
        self._lock = FileLock(self.path / ".lock")

    @property
    def best(self) -> Path:
        """The best model so far."""
        return self.path / "best.safetensors"

    def checkpoint(self, iteration: int) -> Path:
        """The file of the checkpoint behind a step."""
        return _checkpoint(self.path, iteration)

    def check(self, config: TrainingConfig) -> None:
        """Tells what `begin` would, as far as it shows before the pictures are read; writes nothing.

        Args:
            config: The recipe.

        Raises:
            ConfigError: As of `begin`, other pictures apart; or nobody is logged in at Weights & Biases.
            OutputError: The folder cannot be written.
        """
        check_folder(self.path)
        if (self.path / ".lock").exists():
            self._claim()
            self._lock.release()
        if self._is_bound():
            begun = _read_recipe(self.path / "recipe.json", "")
            self._check(begun, {**config.to_dict(), "data": begun["data"]})
        if self._wants_wandb:
            check_login()

    def begin(self, config: TrainingConfig, iteration: int, *, data: str) -> None:
        """Makes the folder ready to go on behind a step; what was logged beyond it is forgotten.

        Args:
            config: The recipe.
            iteration: Steps done; 0 for a new run.
            data: Fingerprint of the training pictures.

        Raises:
            ConfigError: The folder holds checkpoints of another recipe, or of one on other images, its
                recipe is unreadable, or another training writes to it.
            OutputError: It cannot be written.
        """
        self._claim()
        now = {**config.to_dict(), "data": data}
        path = self.path / "recipe.json"
        if self._is_bound():
            self._check(_read_recipe(path, data), now)
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(now, indent=1) + "\n")
        log = self.path / "log.jsonl"
        if log.exists():
            lines = [line for line in log.read_bytes().splitlines() if _iteration(line) <= iteration]
            with atomic_path(log) as temporary:
                temporary.write_bytes(b"".join(line + b"\n" for line in lines))
        if self._wants_events:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(self.path), purge_step=iteration + 1)
        if self._wants_wandb:
            self._wandb = WandbLog(self.path, now)

    def _claim(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise ConfigError(f"{self.path}: another training writes to this folder.") from error
        except OSError as error:
            raise OutputError(f"Cannot write to {self.path}: {error.strerror}.") from error

    def _is_bound(self) -> bool:
        """Whether there are checkpoints, and the recipe that they belong to."""
        return (self.path / "recipe.json").exists() and any(self.path.glob("iter_*.safetensors"))

    def _check(self, begun: dict[str, Any], now: dict[str, Any]) -> None:
        old, new = flat(begun), flat(now)
        keys = [key for key in old | new if key not in _MAY_CHANGE and old.get(key) != new.get(key)]
        changed = [f"{key} was {old.get(key)!r}, now {new.get(key)!r}" for key in keys]
        if changed:
            what = "on other images" if old["data"] != new["data"] else "of another recipe"
            raise ConfigError(
                f"{self.path} holds a run {what} ({'; '.join(changed)}). Choose another folder, or remove "
                f"its recipe.json to continue with the new values."
            )

    def log(self, line: Mapping[str, Any]) -> None:
        """Appends a line to the log; numbers also go to other logs, by their "iteration"."""
        try:
            with open(self.path / "log.jsonl", "a") as file:
                file.write(json.dumps(only_finite(line)) + "\n")
        except OSError as error:
            raise OutputError(f"Cannot write {self.path / 'log.jsonl'}: {error.strerror}.") from error
        figures = {
            name.replace(".", "/"): value
            for name, value in flat(line).items()
            if isinstance(value, int | float) and name != "iteration"
        }
        if self._events is not None:
            for name, value in figures.items():
                self._events.add_scalar(name, value, line["iteration"])
        if self._wandb is not None:
            self._wandb.log(figures, line["iteration"])

    def show(self, samples: Mapping[str, NDArray[np.uint8]], iteration: int) -> None:
        """Writes sample pictures, `samples/NAME-ITERATION.png`."""
        for name, pixels in samples.items():
            file = f"{name.replace(' ×', '-x')}-{iteration:07d}.png"
            images.write(Picture(pixels), self.path / "samples" / file)
            if self._events is not None:
                self._events.add_image(name, pixels, iteration, dataformats="HWC")
            if self._wandb is not None:
                self._wandb.show(name, pixels, iteration)

    def remove_old(self, keep: int, *, until: int) -> None:
        """Removes all checkpoints but the last few up to a step; later ones, which may be damaged, stay.

        One that somebody has open, which Windows keeps, is removed behind a later checkpoint.
        """
        for old in run_checkpoints(self.path, until=until)[:-keep]:
            with suppress(OSError):
                old.unlink()

    def close(self) -> None:
        """Writes what is still in memory, and lets others write to the folder."""
        if self._events is not None:
            self._events.close()
        if self._wandb is not None:
            self._wandb.close()
        self._lock.release()


def latest_checkpoint(output: str | os.PathLike[str], *, until: int | None = None) -> SavedTraining | None:
    """The newest checkpoint of a run that can be resumed; damaged ones are skipped with a warning.

    Args:
        output: Folder of the run.
        until: The last step that counts; None for all.

    Returns:
        What it holds, or None where there are no checkpoints.

    Raises:
        CheckpointError: There are checkpoints, but all are damaged.
    """
    paths = run_checkpoints(Path(output), until=until)
    newest = next(filter(None, map(_read_or_warn, reversed(paths))), None)
    if paths and newest is None:
        raise CheckpointError(
            f"{output}: none of its {len(paths)} checkpoints can be resumed (see the warnings). Choose "
            f"another folder, or move them away to begin again."
        )
    return newest


def _checkpoint(folder: Path, iteration: int) -> Path:
    return folder / f"iter_{iteration:07d}.safetensors"


def _read_or_warn(path: Path) -> SavedTraining | None:
    try:
        return read_training_checkpoint(path)
    except CheckpointError as error:
        _LOG.warning("Skipped: %s", error)
        return None


def _read_recipe(path: Path, data: str) -> dict[str, Any]:
    """The recipe a run began with and the fingerprint of its images (else `data`), in today's shape."""
    try:
        begun = json.loads(path.read_bytes())
        data = begun.pop("data", data)
        return {**TrainingConfig.from_dict(begun).to_dict(), "data": data}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"{path}: unreadable ({str(error)[:200]}). Restore it, or remove it to continue with the "
            f"recipe given."
        ) from error


def _iteration(line: bytes) -> float:
    """Of a line of the log; infinite for one that was cut off while it was written."""
    try:
        return float(json.loads(line)["iteration"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
