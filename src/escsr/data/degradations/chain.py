"""A damaged image: which steps are drawn for a sample, and doing them in turn.

Drawing and doing are apart: `draw_steps` gives a list of steps with all their numbers, which can be read,
counted and printed; `apply_steps` does them. Both are pure functions of their random generator.

Source: Real-ESRGAN (ICCVW 2021), whose chain ESC-Real is trained with. What the reference draws once for a
batch is drawn for each sample, so that no pool of pairs is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from escsr.data.degradations.config import (
    Bicubic,
    Jpeg,
    Kernels,
    Noise,
    Resizing,
    SecondOrder,
    Shuffled,
)
from escsr.data.degradations.filters import ResizeMode
from escsr.data.degradations.kernels import KernelShape
from escsr.data.degradations.shuffled import shuffled_steps
from escsr.data.degradations.steps import (
    Blur,
    Compress,
    GaussianNoise,
    Place,
    PoissonNoise,
    Sinc,
    Step,
    ToLr,
    Zoom,
)

__all__ = ["apply_steps", "draw_steps"]

_MODES: tuple[ResizeMode, ...] = ("area", "bilinear", "bicubic")
_SHAPES: tuple[KernelShape, ...] = ("gaussian", "generalised", "plateau")


def draw_steps(settings: SecondOrder | Shuffled | Bicubic, generator: np.random.Generator) -> list[Step]:
    """Draws what happens to one sample.

    Args:
        settings: Shares and ranges.
        generator: Where the numbers come from.

    Returns:
        The steps in order; the last of them leave an image of the LR size.
    """
    if isinstance(settings, Bicubic):
        return [ToLr(), *_jpeg(settings.jpeg, generator)]
    if isinstance(settings, Shuffled):
        return shuffled_steps(settings, generator)
    return _second_order(settings, generator)


def apply_steps(
    image: Tensor, steps: Sequence[Step], lr_size: tuple[int, int], generator: np.random.Generator
) -> Tensor:
    """Does the steps.

    Args:
        image: (3, H, W), float32 in [0, 1]; left as it is.
        steps: From `draw_steps`.
        lr_size: Rows and columns of the result.
        generator: Where noise comes from.

    Returns:
        (3, *lr_size), multiples of 1/255.
    """
    for step in steps:
        image = step(image, Place(lr_size, generator))
    return (image * 255).round().clamp(0, 255) / 255


def _second_order(settings: SecondOrder, generator: np.random.Generator) -> list[Step]:
    first, second = settings.first, settings.second
    steps = [
        *_blur(first.blur, generator),
        *_zoom(first.resize, generator),
        *_noise(first.noise, generator),
        *_jpeg(first.jpeg, generator),
    ]
    if generator.random() < settings.second_probability:
        steps += [
            *_blur(second.blur, generator),
            *_zoom(second.resize, generator, of_lr=True),
            *_noise(second.noise, generator),
        ]
    end: list[Step] = [Zoom(1.0, _one_of(_MODES, generator), of_lr=True)]
    if generator.random() < settings.final_sinc:
        end.append(Sinc(_odd(settings.first.blur.size, generator), generator.uniform(math.pi / 3, math.pi)))
    jpeg = list(_jpeg(second.jpeg, generator))
    return [*steps, *end, *jpeg] if generator.random() < 0.5 else [*steps, *jpeg, *end]


def _blur(settings: Kernels, generator: np.random.Generator) -> Iterator[Step]:
    if generator.random() >= settings.probability:
        return
    size = _odd(settings.size, generator)
    if generator.random() < settings.sinc:
        yield Sinc(size, generator.uniform(math.pi / 3 if size < 13 else math.pi / 5, math.pi))
        return
    kind = int(generator.choice(len(settings.shapes), p=np.array(settings.shapes) / sum(settings.shapes)))
    shape = _SHAPES[kind // 2]
    width, theta = generator.uniform(*settings.sigma), 0.0
    height = width
    if kind % 2:  # anisotropic
        height, theta = generator.uniform(*settings.sigma), generator.uniform(-math.pi, math.pi)
    low, high = settings.beta_plateau if shape == "plateau" else settings.beta
    beta = generator.uniform(min(low, 1), 1) if generator.random() < 0.5 else generator.uniform(1, high)
    yield Blur(size, (width, height), theta, shape, 1.0 if shape == "gaussian" else beta)


def _zoom(settings: Resizing, generator: np.random.Generator, *, of_lr: bool = False) -> Iterator[Step]:
    draw, (low, high) = generator.random(), settings.factor
    factor = 1.0
    if draw < settings.up:
        factor = generator.uniform(1, high)
    elif draw < settings.up + settings.down:
        factor = generator.uniform(low, 1)
    mode = _one_of(_MODES, generator)
    if factor != 1 or of_lr:
        yield Zoom(factor, mode, of_lr)


def _noise(settings: Noise, generator: np.random.Generator) -> Iterator[Step]:
    if generator.random() >= settings.probability:
        return
    is_gaussian, grey = generator.random() < settings.gaussian, bool(generator.random() < settings.grey)
    if is_gaussian:
        yield GaussianNoise(generator.uniform(*settings.sigma), grey)
    else:
        yield PoissonNoise(generator.uniform(*settings.scale), grey)


def _jpeg(settings: Jpeg, generator: np.random.Generator) -> Iterator[Step]:
    if generator.random() < settings.probability:
        yield Compress(generator.uniform(*settings.quality), settings.codec)


def _odd(sizes: tuple[int, int], generator: np.random.Generator) -> int:
    low, high = sizes
    return low + 2 * int(generator.integers((high - low) // 2 + 1))


def _one_of(modes: Sequence[ResizeMode], generator: np.random.Generator) -> ResizeMode:
    return modes[int(generator.integers(len(modes)))]
