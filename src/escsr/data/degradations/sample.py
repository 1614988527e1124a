"""One training pair: an HR crop and what a bad camera, an editor and a web site leave of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from escsr.data.degradations.chain import apply_steps, draw_steps
from escsr.data.degradations.config import Mixture
from escsr.data.degradations.filters import sharpen
from escsr.data.degradations.steps import Step
from escsr.errors import ConfigError

__all__ = ["degrade", "draw_sample"]

_STREAM = 2
"""Third word of the random counter: other numbers than those of samplers and flat patches."""


def degrade(
    hr: Tensor, settings: Mixture, *, scale: int, seed: int, iteration: int = 0, index: int = 0
) -> tuple[Tensor, Tensor]:
    """Damages an image; the same for the same arguments, whoever asks and however often.

    Args:
        hr: (3, H, W), float32 in [0, 1], both sides multiples of `scale`.
        settings: See `PRESETS`.
        scale: HR over LR.
        seed: Of the run.
        iteration: Counter of the step.
        index: Number of the sample in its batch.

    Returns:
        LR (3, H/scale, W/scale), multiples of 1/255, and the target (3, H, W), sharpened where the
        settings say so.

    Raises:
        ConfigError: The image is of another shape or type, or the seed is not one.
    """
    if hr.dtype != torch.float32 or hr.dim() != 3 or hr.shape[0] != 3 or min(hr.shape[1:]) < scale:
        raise ConfigError(
            f"An image to degrade must be (3, H, W), float32, with sides of at least {scale}, not "
            f"{str(hr.dtype).removeprefix('torch.')} {tuple(hr.shape)}."
        )
    steps, generator = draw_sample(settings, seed=seed, iteration=iteration, index=index)
    lr_size = (hr.shape[-2] // scale, hr.shape[-1] // scale)
    target = sharpen(hr) if settings.sharpen_target else hr
    return apply_steps(target, steps, lr_size, generator), target


def draw_sample(
    settings: Mixture, *, seed: int, iteration: int = 0, index: int = 0
) -> tuple[list[Step], np.random.Generator]:
    """The steps of a sample, and the generator that goes on with their noise.

    Raises:
        ConfigError: The seed is not one, from 0 to 2⁶⁴ − 1.
    """
    if not 0 <= seed < 2**64:
        raise ConfigError(f"A seed is a number from 0 to 2^64 - 1, not {seed}.")
    key, counter = np.array([seed, iteration], np.uint64), np.array([0, 0, _STREAM, index], np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key, counter=counter))
    parts = list(settings.parts.values())
    weights = np.array([part.weight for part in parts])
    chosen = int(generator.choice(len(parts), p=weights / weights.sum()))
    return draw_steps(parts[chosen].degradation, generator), generator
