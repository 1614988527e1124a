"""BSRGAN's chain: two blurs, two resizes, noise and JPEG in any order, and a JPEG at the end.

Source: BSRGAN (ICCV 2021), sections 3.2 to 3.4; widths of blurs are those of its code. Differs from it: no
model of a camera's processing, and at every scale the blurs of ×4.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from escsr.data.degradations.config import Shuffled
from escsr.data.degradations.filters import ResizeMode
from escsr.data.degradations.steps import (
    Blur,
    Compress,
    CorrelatedNoise,
    GaussianNoise,
    Sampled,
    Shrink,
    Step,
    Zoom,
)

__all__ = ["shuffled_steps"]

_MODES: tuple[ResizeMode, ...] = ("area", "bilinear", "bicubic")
_NOISE = (2.0, 25.0)
_SCALE = 4.0
"""Whose widths of blurs are drawn. Those of its ×2 are up to a seventh narrower."""

_LEAST_WIDTH = 1e-3
_SAMPLED = (0.025, 0.6)


def shuffled_steps(settings: Shuffled, generator: np.random.Generator) -> list[Step]:
    """Draws what happens to one sample.

    Args:
        settings: Range of the JPEG's quality.
        generator: Where the numbers come from.

    Returns:
        The steps in order; the last two leave an image of the LR size, compressed.
    """
    halved: list[Step] = [Zoom(0.5, _mode(generator))] if generator.random() < 0.25 else []
    if generator.random() < 0.75:
        shrinks: list[Step] = [Shrink(generator.uniform(0, 1), _mode(generator))]
    else:
        shrinks = [Sampled(generator.uniform(*_SAMPLED))]
    shrinks.append(Zoom(1.0, _mode(generator), of_lr=True))
    blurs = [_blur(_SCALE / 2 if halved else _SCALE, generator) for _ in range(2)]
    others = [*blurs, _noise(generator), *_jpeg(settings, 0.9, generator)]
    places = [True] * len(shrinks) + [False] * len(others)
    shuffled = [others[index] for index in generator.permutation(len(others))]
    # The two resizes keep their order among the others.
    taken = [bool(places[index]) for index in generator.permutation(len(places))]
    steps = [(shrinks if is_shrink else shuffled).pop(0) for is_shrink in taken]
    last: Step = Zoom(1.0, _mode(generator), of_lr=True)
    return [*halved, *steps, last, *_jpeg(settings, 1.0, generator)]


def _blur(scale: float, generator: np.random.Generator) -> Step:
    """An isotropic Gaussian by its deviation, or an anisotropic one by its two variances."""
    size = 7 + 2 * int(generator.integers(8))
    if generator.random() < 0.5:
        width = max(_LEAST_WIDTH, generator.uniform(0, 2 + 0.2 * scale))
        return Blur(size, (width, width), 0.0, "gaussian", 1.0)
    along, across = (max(_LEAST_WIDTH, math.sqrt(generator.uniform(0, 4 + scale))) for _ in range(2))
    return Blur(size, (along, across), generator.uniform(0, math.pi), "gaussian", 1.0)


def _noise(generator: np.random.Generator) -> Step:
    kind, sigma = generator.random(), generator.uniform(*_NOISE)
    if kind < 0.8:
        return GaussianNoise(sigma, grey=bool(kind < 0.4))
    widths = (generator.random(), generator.random(), generator.random())
    turn, _ = np.linalg.qr(generator.standard_normal((3, 3)))
    return CorrelatedNoise(sigma, widths, tuple(float(value) for value in turn.flat))


def _jpeg(settings: Shuffled, probability: float, generator: np.random.Generator) -> Iterator[Step]:
    if generator.random() < probability:
        yield Compress(generator.uniform(*settings.quality), "libjpeg")


def _mode(generator: np.random.Generator) -> ResizeMode:
    return _MODES[int(generator.integers(len(_MODES)))]
