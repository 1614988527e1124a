"""Upscalers of one name at the scales that pictures need."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from escsr.checkpoints import find_model
from escsr.errors import ConfigError
from escsr.sizes import TargetSize
from escsr.upscaler import DEFAULT_MODEL, DEFAULT_REASON, Upscaler

__all__ = ["Models"]


class Models:
    """Finds the model for each enlargement, and loads it once; threads may share it.

    Args:
        name: Bundled name, with or without its scale, or a file of weights.
        options: Further arguments of `Upscaler`.
    """

    def __init__(self, name: str | os.PathLike[str], **options: Any) -> None:
        self.name, self.options = name, options
        self._loaded: dict[Path, Upscaler] = {}
        self._lock = threading.Lock()

    def path(self, enlargement: float | None) -> Path:
        """The file of weights that reaches an enlargement; None for the default one."""
        return find_model(self.name, scale=enlargement)

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

    def why(self, enlargement: float | None) -> str:
        """Why the model for an enlargement is the one it is, in a line for people.

        Args:
            enlargement: As for `path`; None where each picture has its own.

        Returns:
            Which family, because it is the default or was named; which scale of it, where it has several.
        """
        name, chosen = os.fspath(self.name), self.path(enlargement).stem
        family = f"{name}: the default, {DEFAULT_REASON}" if name == DEFAULT_MODEL else f"{name}: as named"
        if chosen == Path(name).stem:
            return family
        if enlargement is None:
            return f"{family}; of its scales each picture takes the smallest that reaches its size"
        scale = int(chosen.removeprefix(f"{name}-x"))
        if scale < enlargement:
            return f"{family}; {chosen}: its largest scale, ×{enlargement:g} is reached by resizing"
        return f"{family}; {chosen}: its smallest scale that reaches ×{enlargement:g}"

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
