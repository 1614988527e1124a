"""Weights & Biases: figures and sample pictures of a run, sent to its servers where asked for."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from escsr.errors import ConfigError
from escsr.files import atomic_path
from escsr.runtime.extras import install_line

__all__ = ["WandbLog", "check_login", "check_wandb"]

_PROJECT = "escsr"
_ID_FILE = "wandb-id.txt"


def check_wandb() -> None:
    """Refuses to begin without the package.

    Raises:
        ConfigError: It is not installed.
    """
    if importlib.util.find_spec("wandb") is None:
        raise ConfigError(f"Weights & Biases is not installed: {install_line('wandb')}")


def check_login() -> None:
    """Logs in, or asks at a terminal how, unless WANDB_MODE says that nothing is sent.

    Raises:
        ConfigError: The user is not logged in.
    """
    import wandb

    if os.environ.get("WANDB_MODE", "online") == "online":
        try:
            wandb.login()
        except wandb.errors.Error as error:
            raise _cannot_start(error) from error


class WandbLog:
    """A run at Weights & Biases, in the project "escsr" unless WANDB_PROJECT names another.

    Args:
        folder: The run's folder, whose name it gets; its number is kept there, so that a run that
            continues stays one run.
        settings: The recipe.

    Raises:
        ConfigError: The user is not logged in.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        import wandb

        self._wandb: ModuleType = wandb
        path = folder / _ID_FILE
        number = path.read_text().strip() if path.exists() else uuid4().hex[:8]
        try:
            self._run = wandb.init(
                project=None if _names_project() else _PROJECT,
                name=folder.resolve().name,
                id=number,
                resume="allow",
                dir=str(folder),
                config=dict(settings),
                settings=wandb.Settings(silent=True, console="off", save_code=False, disable_git=True),
            )
        except wandb.errors.Error as error:
            raise _cannot_start(error) from error
        with atomic_path(path) as temporary:
            temporary.write_text(f"{number}\n")

    def log(self, figures: Mapping[str, float], iteration: int) -> None:
        """Adds figures of a step, by name."""
        self._run.log(dict(figures), step=iteration)

    def show(self, name: str, pixels: NDArray[np.uint8], iteration: int) -> None:
        """Adds a sample picture."""
        self._run.log({f"samples/{name}": self._wandb.Image(pixels)}, step=iteration)

    def close(self) -> None:
        """Sends, or writes, what is still in memory."""
        self._run.finish()


def _cannot_start(error: Exception) -> ConfigError:
    return ConfigError(
        f"Weights & Biases cannot start ({error}). Run `wandb login`, or set WANDB_MODE=offline."
    )


def _names_project() -> bool:
    return "WANDB_PROJECT" in os.environ
