"""Upscalers of one name at the scales that pictures need."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from escsr.files import sha256_of
from escsr.models.selection import choose_model
from escsr.runtime.devices import choose_device
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.target_size import TargetSize
from escsr.upscaling.upscaler import Upscaler

__all__ = ["Models"]


class Models:
    """Finds the model for each scale, and loads it once.

    Args:
        options: Which model, and how it computes.

    Raises:
        EscError: There is no such model or device.
    """

    def __init__(self, options: UpscaleOptions) -> None:
        self.options = options
        self.device = choose_device(options.device)
        self._loaded: dict[Path, Upscaler] = {}
        self._sha256_of = cache(sha256_of)
        self.path(options.scale)

    def path(self, scale: float | None) -> Path:
        """The file of weights that reaches a scale; None for the default one."""
        return choose_model(self.options.model, scale)

    def digest(self, scale: float | None) -> str:
        """SHA-256 of that file, read once."""
        return self._sha256_of(self.path(scale))

    def reaching(self, scale: float | None) -> Upscaler:
        """The upscaler for a scale; None for the default one.

        Raises:
            EscError: There is no such model, or the file is damaged.
        """
        path = self.path(scale)
        if path not in self._loaded:
            self._loaded[path] = Upscaler(path, options=self.options)
        return self._loaded[path]

    def target_size(self) -> TargetSize:
        """What was asked for, or else the scale of the default model.

        Where all pictures have one scale its model is loaded, so that a damaged one ends the run before it
        begins; sizes may need several, each loaded by its first picture.

        Raises:
            ConfigError: The model takes any scale and none was given.
            EscError: As `reaching`.
        """
        wanted = self.options.target
        if wanted is not None and wanted.scale is None:
            return wanted
        return self.reaching(self.options.scale).target_size()
