"""The size of a result: a factor, a side, the longest side, or both sides; and which part of it is kept."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral, Real

from escsr.errors import ConfigError
from escsr.runtime.choices import Fit, check_choice

__all__ = ["TargetSize", "check_fit", "parse_crop"]

_FINEST = 1000
"""What the smaller number of a shape of pixels is at most; codecs have 16 bits for each."""

_MOST = 2**30
"""Far beyond any file's sides, so that no size is too large a number to be refused by its memory."""


@dataclass(frozen=True, kw_only=True)
class TargetSize:
    """What a result measures; the output is exactly as asked, and never smaller than the picture.

    Attributes:
        scale: Factor of both sides, at least 1.
        width: Pixels of the result.
        height: Pixels of the result.
        longest: Pixels of the longer side.
        fit: What to do with a picture of another shape where both `width` and `height` are given.
        crop: Left, top, width and height of the part that is kept, in pixels of the picture; None for all.

    Raises:
        ConfigError: None or several of scale, width with height, longest are given, or one is
            impossible.
    """

    scale: float | None = None
    width: int | None = None
    height: int | None = None
    longest: int | None = None
    fit: Fit = "contain"
    crop: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        sides = self.width is not None or self.height is not None
        if (self.scale is not None) + sides + (self.longest is not None) != 1:
            raise ConfigError("Give only one of scale, size (or width, height) and longest.")
        if self.scale is not None and not (isinstance(self.scale, Real) and 1 <= self.scale <= _MOST):
            raise ConfigError(
                f"scale must be at least 1, and below a billion, not {self.scale}: "
                "pictures only get larger."
            )
        for name in ("width", "height", "longest"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, Integral) and 1 <= int(value) <= _MOST):
                raise ConfigError(f"{name} must be at least 1 pixel and at most {_MOST}, not {value!r}.")
        check_choice("fit", self.fit, Fit)
        if self.width is None or self.height is None:
            check_fit(self.fit)
        if self.crop is not None and self.fit == "cover":
            raise ConfigError("Give crop, or fit=cover, which crops too, not both.")

    @classmethod
    def choose(
        cls,
        *,
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        size: str | TargetSize | None = None,
        fit: Fit = "contain",
        longest: int | None = None,
    ) -> TargetSize | None:
        """The target of a command's options; None where there are none.

        Args:
            scale: See `TargetSize`.
            width: See `TargetSize`.
            height: See `TargetSize`.
            size: Width and height as text, "1920x1080"; or a target as it is.
            fit: See `Fit`.
            longest: See `TargetSize`.

        Raises:
            ConfigError: The options contradict each other, or one is impossible.
        """
        if isinstance(size, TargetSize):
            if not scale is width is height is longest is None:
                raise ConfigError("Give only one of scale, size (or width, height) and longest.")
            return size
        if size is not None:
            sides = r"\s*(\d{1,10})\s*[x×]\s*(\d{1,10})\s*"
            match = re.fullmatch(sides, size, re.IGNORECASE) if isinstance(size, str) else None
            if match is None:
                raise ConfigError(f"size must be WIDTHxHEIGHT, like 1920x1080, not {size!r}.")
            if width is not None or height is not None:
                raise ConfigError("Give size, or width and height, not both.")
            width, height = int(match[1]), int(match[2])
        if scale is width is height is longest is None:
            return None
        return cls(scale=scale, width=width, height=height, longest=longest, fit=fit)

    def upscaled(self, rows: int, columns: int) -> tuple[int, int]:
        """Rows and columns that a picture is upscaled to, before `kept` is cut out.

        Raises:
            ConfigError: The picture is larger than that.
        """
        out_rows, out_columns = self._upscaled(rows, columns)
        if out_rows < rows and out_columns < columns:
            raise ConfigError(
                f"the picture ({columns}×{rows}) is larger than the size asked for ({self._size_label}); "
                "pictures are only made larger."
            )
        return out_rows, out_columns

    def _upscaled(self, rows: int, columns: int) -> tuple[int, int]:
        if self.scale is not None:
            return max(1, round(rows * self.scale)), max(1, round(columns * self.scale))
        height, width = self.height or self.longest or 0, self.width or self.longest or 0
        if self.fit == "exact" and self.height and self.width:
            return height, width
        is_taller = height * columns <= width * rows
        is_inside = self.fit == "contain" or self.longest is not None
        if not width or (height and is_taller == is_inside):
            return height, max(1, round(columns * height / rows))
        return max(1, round(rows * width / columns)), width

    def kept(self, rows: int, columns: int) -> tuple[slice, slice]:
        """Rows and columns of the upscaled picture that the result consists of.

        Args:
            rows: Of the picture.
            columns: Of the picture.

        Returns:
            All of them, those of `crop`, or the middle ("cover").

        Raises:
            ConfigError: The crop reaches beyond the picture.
        """
        out_rows, out_columns = self.upscaled(rows, columns)
        if self.crop is not None:
            left, top, width, height = self.crop
            if left + width > columns or top + height > rows:
                raise ConfigError(
                    f"crop {left},{top},{width},{height} reaches beyond the picture ({columns}×{rows})."
                )
            return _scaled(top, height, rows, out_rows), _scaled(left, width, columns, out_columns)
        if self.fit != "cover" or self.width is None or self.height is None:
            return slice(0, out_rows), slice(0, out_columns)
        top, left = (out_rows - self.height) // 2, (out_columns - self.width) // 2
        return slice(top, top + self.height), slice(left, left + self.width)

    def scale_of(self, rows: int, columns: int) -> float:
        """The larger of both sides' factors, which a model has to bring."""
        out_rows, out_columns = self.upscaled(rows, columns)
        return self.scale or max(out_rows / rows, out_columns / columns)

    def shape_of_pixels(self, aspect: Fraction, rows: int, columns: int) -> Fraction:
        """The shape of the result's pixels: not square ones, stretched to a size, are shown as before.

        Pixels that are square stay so: what is stretched then is the picture.

        Args:
            aspect: Width of a pixel by its height, of the picture.
            rows: Of the picture.
            columns: Of the picture.
        """
        if self.fit != "exact" or aspect == 1:
            return aspect
        out_rows, out_columns = self.upscaled(rows, columns)
        shape = aspect * Fraction(columns * out_rows, rows * out_columns)
        rounded = max(shape, 1 / shape).limit_denominator(_FINEST)  # which makes 0 of what is near it
        return rounded if shape >= 1 else 1 / rounded

    @property
    def label(self) -> str:
        """For file names: x2, x2.7, 1920x1080, 1920w, 1080h, 2048; of a part x2_crop."""
        return self._size_label if self.crop is None else f"{self._size_label}_crop"

    @property
    def _size_label(self) -> str:
        if self.scale is not None:
            return f"x{self.scale:g}"
        if self.longest is not None:
            return f"{self.longest}"
        if self.width is not None and self.height is not None:
            return f"{self.width}x{self.height}"
        return f"{self.width}w" if self.width is not None else f"{self.height}h"


def check_fit(fit: Fit) -> None:
    """Refuses a fit that is asked for without both sides.

    Raises:
        ConfigError: It is other than the usual one.
    """
    if fit != "contain":
        raise ConfigError(
            f"fit={fit} says how a picture fills width and height; give both, like size 1920x1080."
        )


def parse_crop(text: str | tuple[int, int, int, int], *, name: str = "crop") -> tuple[int, int, int, int]:
    """Left, top, width and height from "X,Y,W,H" (pixels of the picture).

    Args:
        text: As it is written.
        name: What an error calls it.

    Raises:
        ConfigError: It is something else, or the part is empty.

    Example:
        >>> parse_crop("100,50,300,200")
        (100, 50, 300, 200)
    """
    numbers = re.findall(r"\d{1,9}", text) if isinstance(text, str) else text
    parts: tuple[int, ...] = ()
    is_clean = not isinstance(text, str) or re.fullmatch(r"\s*\d+(\s*[,x×]\s*\d+){3}\s*", text) is not None
    if isinstance(numbers, Iterable):
        parts = tuple(int(number) for number in numbers if isinstance(number, (str, Integral)))
    if not is_clean or len(parts) != 4 or min(parts) < 0 or min(parts[2:]) < 1:
        raise ConfigError(
            f"{name} must be X,Y,W,H: left, top, width and height in pixels of the picture, like "
            f"100,50,300,200, not {text!r}."
        )
    return parts


def _scaled(start: int, length: int, side: int, out_side: int) -> slice:
    """A part of a side, in that of the result; a pixel at least."""
    begin = min(round(start * out_side / side), out_side - 1)
    return slice(begin, max(begin + 1, round((start + length) * out_side / side)))
