"""Damaged images for training: a pure function of (image, settings, seed, iteration, index)."""

from escsr.data.degradations.degrade import degrade
from escsr.data.degradations.presets import PRESETS

__all__ = ["PRESETS", "degrade"]
