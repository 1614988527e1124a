"""Pixel values of any depth ↔ the values in [0, 1] that a network works with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from escsr.errors import ConfigError

__all__ = ["DEPTHS", "ValueRange", "from_upper_bits", "srgb_decoded", "srgb_encoded", "to_upper_bits"]

DEPTHS = ("uint8", "uint16", "float16", "float32")
"""Types of pixel values, as numpy names them."""

_TOE = 0.0031308
_SLOPE_AT_WHITE = 1.055 / 2.4
"""How fast the curve of sRGB rises at 1, where the logarithm goes on."""


@dataclass(frozen=True)
class ValueRange:
    """How values of one picture are brought to [0, 1] and back.

    Integers are divided by their greatest value. Floating values are clamped at 0 and divided by the
    least power of two that holds the greatest of them (1 for ordinary pictures), or by the greatest
    number of their type. Up to 2¹²⁷, that loses no bit of values of at least 2⁻¹²⁶ of the divisor.
    Linear light is first encoded as displays expect it, because that is what networks are trained on:
    by the curve of sRGB up to 1, and above by a logarithm that continues it.

    Attributes:
        depth: One of `DEPTHS`.
        peak: What becomes 1.
        linear: Whether values are proportional to light.
        greatest: Results in linear light are held to it.
    """

    depth: str
    peak: float
    linear: bool = False
    greatest: float = math.inf

    @classmethod
    def of(cls, pixels: NDArray[Any], *, linear: bool = False) -> ValueRange:
        """The range of a picture's values.

        Args:
            pixels: Colours without alpha, of any shape.
            linear: Whether floating values are proportional to light.

        Raises:
            ConfigError: The values are of another type than `DEPTHS`, or not finite.
        """
        depth = pixels.dtype.name
        if depth not in DEPTHS:
            raise ConfigError(f"An array must be {', '.join(DEPTHS)}, not {depth}.")
        if pixels.dtype.kind == "u":
            return cls(depth, float(np.iinfo(pixels.dtype).max))
        greatest = float(pixels.max(initial=0))
        if not (math.isfinite(greatest) and math.isfinite(pixels.min(initial=0))):
            raise ConfigError("The picture holds values that are not finite numbers.")
        if linear:
            peak = srgb_encoded(np.full(1, max(1.0, greatest), np.float32))
            return cls(depth, float(peak[0]), True, greatest)
        power = 2.0 ** math.ceil(math.log2(max(1.0, greatest)))
        return cls(depth, min(power, float(np.finfo(pixels.dtype).max)))

    def encode(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Values of `depth` → float32 in [0, 1]."""
        values = pixels.astype(np.float32)
        if self.depth.startswith("float"):
            np.maximum(values, 0, out=values)
        values = srgb_encoded(values) if self.linear else values
        values /= np.float32(self.peak)
        return values

    def decode(self, values: NDArray[np.float32]) -> NDArray[Any]:
        """Float32 in [0, 1] → values of `depth`; integers are rounded."""
        values = values * np.float32(self.peak)
        if self.linear:
            values = np.minimum(srgb_decoded(values), np.float32(self.greatest))
        elif self.depth.startswith("uint"):
            np.rint(values, out=values)
        return values.astype(self.depth)


@np.errstate(over="ignore")  # in the branch that is not taken
def srgb_encoded(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear light → values for a display: sRGB's curve in [0, 1], a logarithm above; 0 below 0."""
    light = np.maximum(light, np.float32(0))
    display = np.where(light <= _TOE, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    bright = 1 + _SLOPE_AT_WHITE * np.log(np.maximum(light, 1))
    return np.where(light <= 1, display, bright).astype(np.float32)


@np.errstate(over="ignore")  # in the branch that is not taken, and where a result is held to the greatest
def srgb_decoded(display: NDArray[np.float32]) -> NDArray[np.float32]:
    """The inverse of `srgb_encoded`."""
    display = np.maximum(display, np.float32(0))
    curve = ((display + 0.055) / 1.055) ** 2.4
    light = np.where(display <= 12.92 * _TOE, display / 12.92, curve)
    bright = np.exp(np.maximum(display - 1, 0) / _SLOPE_AT_WHITE)
    return np.where(display <= 1, light, bright).astype(np.float32)


def from_upper_bits(pixels: NDArray[np.uint16], bits: int) -> NDArray[np.uint16]:
    """Values of few bits, which decoders put into the upper ones, to the whole range of 16."""
    values = (pixels >> (16 - bits)).astype(np.float32)
    return np.rint(values * (65535 / (2**bits - 1))).astype(np.uint16)


def to_upper_bits(pixels: NDArray[np.uint16], bits: int) -> NDArray[np.uint16]:
    """The inverse: rounded to few bits, which encoders take from the upper ones."""
    values = np.rint(pixels * np.float32((2**bits - 1) / 65535)).astype(np.uint16)
    return values << np.uint16(16 - bits)
