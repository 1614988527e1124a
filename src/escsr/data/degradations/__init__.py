"""Damaged images for training: a pure function of (image, settings, seed, iteration, index).

Settings need no torch, so that commands which only print them answer at once: `degrade` is imported when
first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from escsr.data.degradations.presets import PRESETS

if TYPE_CHECKING:
    from escsr.data.degradations.sample import degrade

__all__ = ["PRESETS", "degrade"]


def __getattr__(name: str) -> object:
    if name != "degrade":
        raise AttributeError(f"module 'escsr.data.degradations' has no attribute {name!r}")
    return import_module("escsr.data.degradations.sample").degrade
