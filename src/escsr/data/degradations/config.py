"""Settings of a degradation: what is drawn, how often, and from which ranges."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from escsr.errors import ConfigError
from escsr.runtime.settings import Settings

__all__ = [
    "Bicubic",
    "Degradation",
    "Jpeg",
    "Kernels",
    "Mixture",
    "Noise",
    "Order",
    "Part",
    "Resizing",
    "SecondOrder",
    "Shuffled",
]


def _rising(values: tuple[float, float]) -> tuple[float, float]:
    if values[0] > values[1]:
        raise ValueError("must rise")
    return values


def _around_one(values: tuple[float, float]) -> tuple[float, float]:
    if not 0 < values[0] <= 1 <= values[1]:
        raise ValueError("must reach from at most 1, above 0, to at least 1")
    return values


def _odd(values: tuple[int, int]) -> tuple[int, int]:
    if not (values[0] % 2 and values[1] % 2):
        raise ValueError("must be odd")
    return values


def _not_all_zero(values: tuple[float, ...]) -> tuple[float, ...]:
    if not sum(values):
        raise ValueError("must not all be 0")
    return values


_Natural = Annotated[float, Field(ge=0)]
_Positive = Annotated[float, Field(gt=0)]
_Quality = Annotated[float, Field(ge=1, le=100)]
_Side = Annotated[int, Field(ge=1)]

Share = Annotated[float, Field(ge=0, le=1)]
Range = Annotated[tuple[_Natural, _Natural], AfterValidator(_rising)]
"""Lowest and highest value of an even draw."""
PositiveRange = Annotated[tuple[_Positive, _Positive], AfterValidator(_rising)]
QualityRange = Annotated[tuple[_Quality, _Quality], AfterValidator(_rising)]
AroundOne = Annotated[tuple[float, float], AfterValidator(_around_one)]
"""Lowest and highest of factors of which half are below 1."""


class Kernels(Settings):
    """Blur kernels, drawn anew for every sample.

    Attributes:
        probability: How often there is a blur at all.
        size: Smallest and largest side, both odd, pixels.
        sinc: Share of sinc kernels; the others follow `shapes`.
        sigma: Widths of the Gaussian shapes, pixels.
        shapes: Shares of gaussian, generalised and plateau, isotropic ones first.
        beta: Range of the generalised exponent β; half of the draws are below 1.
        beta_plateau: The same for plateaus.
    """

    probability: Share = 1.0
    size: Annotated[tuple[_Side, _Side], AfterValidator(_odd), AfterValidator(_rising)] = (7, 21)
    sinc: Share = 0.1
    sigma: PositiveRange = (0.2, 3.0)
    shapes: Annotated[
        tuple[_Natural, _Natural, _Natural, _Natural, _Natural, _Natural], AfterValidator(_not_all_zero)
    ] = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    beta: AroundOne = (0.5, 4.0)
    beta_plateau: AroundOne = (1.0, 2.0)


class Resizing(Settings):
    """A resize in the middle of the chain, by area, bilinear or bicubic interpolation, evenly.

    Attributes:
        up: Share of samples made larger, by 1 to the upper end of `factor`.
        down: Share made smaller, by the lower end of `factor` to 1; the rest keeps its size.
        factor: Lowest and highest factor.
    """

    up: Share = 0.2
    down: Share = 0.7
    factor: AroundOne = (0.15, 1.5)

    @model_validator(mode="after")
    def _check(self) -> Resizing:
        if self.up + self.down > 1:
            raise ConfigError(f"up and down are shares of one whole: {self.up} + {self.down} is above 1.")
        return self


class Noise(Settings):
    """Noise of the sensor.

    Attributes:
        probability: How often there is any.
        gaussian: Share of Gaussian noise; the rest is Poisson.
        sigma: Of Gaussian noise, levels of 255.
        scale: Of Poisson noise, over that of the picture's own light.
        grey: Share of noise that is equal in all channels.
    """

    probability: Share = 1.0
    gaussian: Share = 0.5
    sigma: Range = (1.0, 30.0)
    scale: Range = (0.05, 3.0)
    grey: Share = 0.4


class Jpeg(Settings):
    """Compression.

    Attributes:
        probability: How often.
        quality: Range, 1 to 100.
        codec: "libjpeg", or "differentiable" for the formulas of Real-ESRGAN.
    """

    probability: Share = 1.0
    quality: QualityRange = (30.0, 95.0)
    codec: Literal["libjpeg", "differentiable"] = "libjpeg"

    @model_validator(mode="after")
    def _check(self) -> Jpeg:
        if self.codec == "differentiable" and self.quality[1] == 100:
            raise ConfigError(
                "quality of the codec 'differentiable' must be below 100, where it has no steps."
            )
        return self


class Order(Settings):
    """Blur, resize, noise and JPEG, in this order."""

    blur: Kernels = Kernels()
    resize: Resizing = Resizing()
    noise: Noise = Noise()
    jpeg: Jpeg = Jpeg()


class SecondOrder(Settings):
    """Real-ESRGAN's chain: once or twice through an `Order`, and a sinc beside the last JPEG.

    Attributes:
        kind: Marks the settings in files.
        first: The first pass.
        second: The second; its JPEG and the way to the LR size come last, in either order.
        second_probability: How often there is a second pass; without it blur and noise of it are left out.
        final_sinc: Share of samples with a sinc at the end.
    """

    kind: Literal["second_order"] = "second_order"
    first: Order = Order()
    second: Order = Order(
        blur=Kernels(probability=0.8, sigma=(0.2, 1.5)),
        resize=Resizing(up=0.3, down=0.4, factor=(0.3, 1.2)),
        noise=Noise(sigma=(1.0, 25.0), scale=(0.05, 2.5)),
    )
    second_probability: Share = 1.0
    final_sinc: Share = 0.8


class Shuffled(Settings):
    """BSRGAN's chain: seven steps in random order, and a JPEG at the end."""

    kind: Literal["shuffled"] = "shuffled"
    quality: QualityRange = (30.0, 95.0)


class Bicubic(Settings):
    """A clean LR image by bicubic interpolation with antialiasing, perhaps compressed.

    Attributes:
        kind: Marks the settings in files.
        jpeg: What follows.
    """

    kind: Literal["bicubic"] = "bicubic"
    jpeg: Jpeg = Jpeg(probability=0.0)


Degradation = Annotated[SecondOrder | Shuffled | Bicubic, Field(discriminator="kind")]
"""One way to damage an image."""


class Part(Settings):
    """A degradation of a mixture.

    Attributes:
        degradation: What happens to the image.
        weight: How often, beside the other parts.
    """

    degradation: Degradation
    weight: Annotated[float, Field(ge=0)] = 1.0


class Mixture(Settings):
    """Several degradations, of which each sample takes one.

    Attributes:
        parts: By name; the weights need not add up to 1.
        sharpen_target: Sharpen what the network is to reach, as the paper does.
    """

    parts: Annotated[dict[str, Part], Field(min_length=1)]
    sharpen_target: bool = False

    @model_validator(mode="after")
    def _check(self) -> Mixture:
        if not sum(part.weight for part in self.parts.values()):
            raise ConfigError("A mixture needs a part with a weight above 0.")
        return self
