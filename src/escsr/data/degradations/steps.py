"""What happens to an image, one step a class: each holds its numbers, and does its thing when called."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from escsr.data.degradations.filters import ResizeMode, blur, resize
from escsr.data.degradations.jpeg import differentiable_jpeg, libjpeg
from escsr.data.degradations.kernels import KernelShape, gaussian_kernel, sinc_kernel
from escsr.data.resize import imresize

__all__ = [
    "Blur",
    "Compress",
    "CorrelatedNoise",
    "GaussianNoise",
    "Place",
    "PoissonNoise",
    "Sampled",
    "Shrink",
    "Sinc",
    "Step",
    "ToLr",
    "Zoom",
]

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
        distinct = int(torch.bincount(levels.flatten(), minlength=256).count_nonzero())
        light = 2 ** math.ceil(math.log2(max(1, distinct)))
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


@dataclass(frozen=True)
class CorrelatedNoise:
    """Gaussian noise whose channels go together, as demosaicing leaves it.

    Attributes:
        sigma: Levels of 255 that the widths of the channels are drawn below.
        widths: Of its three independent sources, in [0, 1].
        turn: Orthogonal (3, 3), row by row: how they mix.
    """

    sigma: float
    widths: tuple[float, float, float]
    turn: tuple[float, ...]

    def __call__(self, image: Tensor, place: Place) -> Tensor:
        sources = torch.from_numpy(place.generator.standard_normal(image.shape, np.float32))
        turn = torch.tensor(self.turn, dtype=torch.float32).reshape(3, 3)
        mix = turn * torch.tensor(self.widths, dtype=torch.float32).sqrt()
        noise = torch.einsum("ij,jhw->ihw", mix, sources)
        return (image + noise * (self.sigma / 255)).clamp_(0, 1)


@dataclass(frozen=True)
class Shrink:
    """A resize by 1/u, u ~ U[1, 2s] where s is from the LR size to the image at hand.

    Attributes:
        share: Where in its range u lies.
        mode: See `ResizeMode`.
    """

    share: float
    mode: ResizeMode

    def __call__(self, image: Tensor, place: Place) -> Tensor:
        scale = image.shape[-2] / place.lr_size[0]
        return resize(image, mode=self.mode, factor=1 / (1 + self.share * max(0.0, 2 * scale - 1)))


@dataclass(frozen=True)
class Sampled:
    """A Gaussian, then single samples at the centres of LR pixels.

    Attributes:
        sigma: Of the Gaussian, LR pixels.
    """

    sigma: float

    def __call__(self, image: Tensor, place: Place) -> Tensor:
        width = max(1e-3, self.sigma * image.shape[-2] / place.lr_size[0])
        smooth = blur(image, gaussian_kernel(25, (width, width)))
        return resize(smooth, mode="bilinear", size=place.lr_size)
