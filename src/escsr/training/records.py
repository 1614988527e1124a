"""The folder of a run: recipe, checkpoints, figures and sample pictures."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from escsr import images
from escsr.errors import CheckpointError, ConfigError, OutputError
from escsr.files import atomic_path
from escsr.images import Picture
from escsr.models.checkpoints import read_checkpoint
from escsr.training.config import TrainingConfig

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["RunFolder", "latest_checkpoint"]

_MAY_CHANGE = (
    "keep_checkpoints",
    "validate_every",
    "validation_scales",
    "accumulation",
    "compile",
    "patience",
)
"""What a run may be continued with another value of: it changes the weights not at all, or by rounding."""


class RunFolder:
    """Where a run writes: every file appears whole or not at all, lines of the log excepted.

    * `recipe.json`: the recipe with which it began, and a fingerprint of its pictures.
    * `iter_N.safetensors`: the last checkpoints; `best.safetensors`.
    * `log.jsonl`: loss, learning rate, speed and figures; one JSON object a line.
    * `samples/`: what the network makes of the first picture of each validation set.
    * `events.*`: the same for TensorBoard, where asked for.

    Args:
        path: The folder.
        tensorboard: Also write TensorBoard's files.

    Raises:
        ConfigError: TensorBoard is asked for but not installed.
    """

    def __init__(self, path: str | os.PathLike[str], *, tensorboard: bool = False) -> None:
        self.path = Path(path)
        if tensorboard and importlib.util.find_spec("tensorboard") is None:
            raise ConfigError('TensorBoard is not installed: pip install "escsr[tensorboard]".')
        self._wants_events = tensorboard
        self._events: SummaryWriter | None = None

    @property
    def best(self) -> Path:
        """The best model so far."""
        return self.path / "best.safetensors"

    def checkpoint(self, iteration: int) -> Path:
        """The file of the checkpoint behind a step."""
        return self.path / f"iter_{iteration:07d}.safetensors"

    def begin(self, config: TrainingConfig, iteration: int, *, data: str) -> None:
        """Makes the folder ready to go on behind a step; what was logged beyond it is forgotten.

        Args:
            config: The recipe.
            iteration: Steps done; 0 for a new run.
            data: Fingerprint of the training pictures.

        Raises:
            ConfigError: The folder holds a run of another recipe, or on other pictures.
            OutputError: It cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"Cannot make {self.path}: {error.strerror}.") from error
        told = self.path / "recipe.json"
        if told.exists():
            begun = json.loads(told.read_text())
            self._check({"data": data} | begun, {**config.to_dict(), "data": data})
        with atomic_path(told) as temporary:
            temporary.write_text(json.dumps({**config.to_dict(), "data": data}, indent=1) + "\n")
        log = self.path / "log.jsonl"
        if log.exists():
            lines = [line for line in log.read_text().splitlines() if _iteration(line) <= iteration]
            with atomic_path(log) as temporary:
                temporary.write_text("".join(f"{line}\n" for line in lines))
        if self._wants_events:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(self.path), purge_step=iteration + 1)

    def _check(self, begun: dict[str, Any], now: dict[str, Any]) -> None:
        settings = {key: value for key, value in begun.items() if key != "data"}
        old = _flat({**TrainingConfig.from_dict(settings).to_dict(), "data": begun["data"]})
        new = _flat(now)
        changed = [
            f"{key} was {old.get(key)!r}, now {new[key]!r}"
            for key in new
            if key not in _MAY_CHANGE and old.get(key) != new[key]
        ]
        if changed:
            what = "on other pictures" if old["data"] != new["data"] else "of another recipe"
            raise ConfigError(
                f"{self.path} holds a run {what} ({'; '.join(changed)}). Choose another folder, or remove "
                f"its recipe.json to go on with the new values."
            )

    def log(self, line: Mapping[str, Any]) -> None:
        """Appends a line to the log; numbers also go to TensorBoard, by their "iteration"."""
        with open(self.path / "log.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")
        if self._events is not None:
            for name, value in _flat(line).items():
                if isinstance(value, int | float) and name != "iteration":
                    self._events.add_scalar(name.replace(".", "/"), value, line["iteration"])

    def show(self, samples: Mapping[str, NDArray[np.uint8]], iteration: int) -> None:
        """Writes sample pictures, `samples/NAME-ITERATION.png`."""
        for name, pixels in samples.items():
            file = f"{name.replace(' ×', '-x')}-{iteration:07d}.png"
            images.write(Picture(pixels), self.path / "samples" / file)
            if self._events is not None:
                self._events.add_image(name, pixels, iteration, dataformats="HWC")

    def remove_old(self, keep: int) -> None:
        """Removes all checkpoints but the last few."""
        for old in sorted(self.path.glob("iter_*.safetensors"))[:-keep]:
            old.unlink()

    def close(self) -> None:
        """Writes what is still in memory."""
        if self._events is not None:
            self._events.close()


def latest_checkpoint(output: str | os.PathLike[str]) -> Path | None:
    """The newest checkpoint of a run that can be read, or None."""
    for path in sorted(Path(output).glob("iter_*.safetensors"), reverse=True):
        with suppress(CheckpointError):
            read_checkpoint(path)
            return path
    return None


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested keys joined by dots, and lists as tuples."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": v for inner, v in _flat(value).items()}
        else:
            flat[key] = tuple(value) if isinstance(value, list) else value
    return flat


def _iteration(line: str) -> float:
    """Of a line of the log; infinite for one that was cut off while it was written."""
    try:
        return float(json.loads(line)["iteration"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
