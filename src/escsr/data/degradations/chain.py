"""A damaged image, step by step: which steps are drawn for a sample, and what each of them does.

Drawing and doing are apart: `draw_steps` gives a list of steps with all their numbers, which can be read,
counted and printed; `apply_steps` does them. Both are pure functions of their random generator.

Source: Real-ESRGAN (ICCVW 2021), whose chain ESC-Real is trained with; BSRGAN (ICCV 2021). What the
reference draws once for a batch is drawn for each sample, so that no pool of pairs is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
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
from escsr.data.degradations.filters import ResizeMode, blur, resize
from escsr.data.degradations.jpeg import differentiable_jpeg, libjpeg
from escsr.data.degradations.kernels import KernelShape, gaussian_kernel, sinc_kernel
from escsr.data.resize import imresize

__all__ = [
    "Blur",
    "Compress",
    "GaussianNoise",
    "Place",
    "PoissonNoise",
    "Sinc",
    "Step",
    "ToLr",
    "Zoom",
    "apply_steps",
    "draw_steps",
]

_MODES: tuple[ResizeMode, ...] = ("area", "bilinear", "bicubic")
_SHAPES: tuple[KernelShape, ...] = ("gaussian", "generalised", "plateau")
_LUMA = torch.tensor([0.2989, 0.587, 0.114])


class Place(NamedTuple):
    """What a step has to know of its sample.

    Attributes:
        lr_size: Rows and columns of the final LR image.
        generator: Where noise comes from.
    """

    lr_size: tuple[int, int]
    generator: np.random.Generator


class Step(Protocol):
    """One thing done to an image."""

    def __call__(self, image: Tensor, place: Place, /) -> Tensor:
        """(3, H, W), about [0, 1] → (3, R, S)."""


@dataclass(frozen=True)
class Blur:
    """A Gaussian of some shape; see `gaussian_kernel`."""

    size: int
    sigma: tuple[float, float]
    theta: float
    shape: KernelShape
    beta: float

    def __call__(self, image: Tensor, _: Place) -> Tensor:
        kernel = gaussian_kernel(self.size, self.sigma, self.theta, shape=self.shape, beta=self.beta)
        return blur(image, kernel)


@dataclass(frozen=True)
class Sinc:
    """A low-pass that rings; see `sinc_kernel`."""

    size: int
    cutoff: float

    def __call__(self, image: Tensor, _: Place) -> Tensor:
        return blur(image, sinc_kernel(self.size, self.cutoff))


@dataclass(frozen=True)
class Zoom:
    """A resize by a factor, of the image itself or of the LR size."""

    factor: float
    mode: ResizeMode
    of_lr: bool = False

    def __call__(self, image: Tensor, place: Place) -> Tensor:
        if not self.of_lr:
            return resize(image, mode=self.mode, factor=self.factor)
        rows, columns = (max(1, int(side * self.factor)) for side in place.lr_size)
        return resize(image, mode=self.mode, size=(rows, columns))


@dataclass(frozen=True)
class ToLr:
    """To the LR size by MATLAB's bicubic, with antialiasing."""

    def __call__(self, image: Tensor, place: Place) -> Tensor:
        return imresize(image, place.lr_size[0] / image.shape[-2], size=place.lr_size).clamp(0, 1)


@dataclass(frozen=True)
class GaussianNoise:
    """Noise of one width, levels of 255; grey noise is equal in all channels."""

    sigma: float
    grey: bool

    def __call__(self, image: Tensor, place: Place) -> Tensor:
        shape = (1 if self.grey else image.shape[0], *image.shape[1:])
        noise = place.generator.standard_normal(shape, np.float32)
        return (image + torch.from_numpy(noise) * (self.sigma / 255)).clamp_(0, 1)


@dataclass(frozen=True)
class PoissonNoise:
    """Noise of counted photons, stronger where there is light; grey noise follows luma."""

    scale: float
    grey: bool

    def __call__(self, image: Tensor, place: Place) -> Tensor:
        levels = (image.clamp(0, 1) * 255).round().byte()
        source = levels.float() / 255
        if self.grey:
            source = ((source * _LUMA[:, None, None]).sum(0, keepdim=True) * 255).round() / 255
            levels = (source * 255).byte()
        light = 2 ** math.ceil(math.log2(max(1, len(torch.unique(levels)))))
        photons = place.generator.poisson((source * light).numpy()).astype(np.float32)
        counted = torch.from_numpy(photons) / light
        return (image + (counted - source) * self.scale).clamp_(0, 1)


@dataclass(frozen=True)
class Compress:
    """JPEG of a quality; a codec of `Jpeg`."""

    quality: float
    codec: str

    def __call__(self, image: Tensor, _: Place) -> Tensor:
        image = image.clamp(0, 1)
        if self.codec == "differentiable":
            return differentiable_jpeg(image, self.quality)
        return libjpeg(image, round(self.quality))


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
        return _shuffled(settings, generator)
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


def _shuffled(settings: Shuffled, generator: np.random.Generator) -> list[Step]:
    """BSRGAN: two blurs, two resizes, Gaussian noise and JPEG in any order, and a JPEG at the end."""
    steps: list[Step] = []
    for _ in range(2):
        if generator.random() < 0.5:
            width = generator.uniform(0.1, 2.8)
            steps.append(Blur(_odd((7, 21), generator), (width, width), 0.0, "gaussian", 1.0))
        else:
            sigma = (generator.uniform(0.5, 6.0), generator.uniform(0.5, 6.0))
            steps.append(
                Blur(_odd((7, 21), generator), sigma, generator.uniform(0, math.pi), "gaussian", 1.0)
            )
    steps.append(Zoom(generator.uniform(0.5, 1), _one_of(_MODES, generator)))
    steps.append(Zoom(1.0, _one_of(_MODES, generator), of_lr=True))
    steps.append(GaussianNoise(generator.uniform(2, 25), bool(generator.random() < 0.4)))
    if generator.random() < 0.9:
        steps.append(Compress(generator.uniform(*settings.quality), "libjpeg"))
    order = generator.permutation(len(steps))
    shuffled = [steps[index] for index in order]
    last: list[Step] = [Zoom(1.0, _one_of(_MODES, generator), of_lr=True)]
    return [*shuffled, *last, Compress(generator.uniform(*settings.quality), "libjpeg")]
