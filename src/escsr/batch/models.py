"""Upscalers of one name at the scales that pictures need."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from escsr.errors import ConfigError
from escsr.models.selection import choose_model, explain
from escsr.upscaling.target_size import TargetSize
from escsr.upscaling.upscaler import Upscaler

__all__ = ["Models"]


class Models:
    """Finds the model for each enlargement, and loads it once; threads may share it.

    Args:
        name: As for `choose_model`.
        options: Further arguments of `Upscaler`.
    """

    def __init__(self, name: str | os.PathLike[str], **options: Any) -> None:
        self.name, self.options = name, options
        self._loaded: dict[Path, Upscaler] = {}
        self._lock = threading.Lock()

    def path(self, enlargement: float | None) -> Path:
        """The file of weights that reaches an enlargement; None for the default one."""
        return choose_model(self.name, enlargement)

    def reaching(self, enlargement: float | None) -> Upscaler:
        """The upscaler for an enlargement; None for the default one.

        Raises:
            EscError: There is no such model or device, or the file is damaged.
        """
        path = self.path(enlargement)
        with self._lock:
            if path not in self._loaded:
                self._loaded[path] = Upscaler(path, **self.options)
            return self._loaded[path]

    def explain(self, enlargement: float | None) -> str:
        """Why it is that one, in a line for people; None where each picture has its own enlargement."""
        return explain(self.name, enlargement)

    def target_size(self, wanted: TargetSize | None) -> TargetSize:
        """What was asked for, or else the scale of the default model.

        Raises:
            ConfigError: The model takes any scale and none was said.
            EscError: As `reaching`.
        """
        scale = self.reaching(None if wanted is None else wanted.scale).scale
        if wanted is not None:
            return wanted
        if scale is None:
            raise ConfigError(f"Model {self.name} takes any scale: say which, or a size.")
        return TargetSize(scale=scale)
