"""Parts of a picture that are looked at: as asked for, or where it has most detail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from escsr.errors import ConfigError
from escsr.upscaling.target_size import parse_crop as parts_of

__all__ = ["Crop", "choose_crops", "parse_crop"]

_BLOCK = 4
"""Side of the squares whose means detail is measured on: noise and JPEG's blocks hardly count."""

_LEAST_FOR_BLOCKS = 8 * _BLOCK


@dataclass(frozen=True)
class Crop:
    """A rectangle of a picture, in pixels.

    Attributes:
        x: Columns left of it.
        y: Rows above it.
        width: Columns.
        height: Rows.
    """

    x: int
    y: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width}x{self.height}"

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of an array (H, W, ...)."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    def scaled(self, scale: float) -> Crop:
        """The same place in a picture `scale` times as large; its edges are rounded."""
        left, top = round(self.x * scale), round(self.y * scale)
        right, bottom = round((self.x + self.width) * scale), round((self.y + self.height) * scale)
        return Crop(left, top, right - left, bottom - top)

    def grown(self, margin: int, rows: int, columns: int) -> Crop:
        """With so many pixels more at each side, as far as a picture of that size has them."""
        left, top = max(0, self.x - margin), max(0, self.y - margin)
        right = min(columns, self.x + self.width + margin)
        bottom = min(rows, self.y + self.height + margin)
        return Crop(left, top, right - left, bottom - top)

    def within(self, other: Crop) -> Crop:
        """The same place counted from the corner of another, larger one."""
        return Crop(self.x - other.x, self.y - other.y, self.width, self.height)

    def overlaps(self, other: Crop) -> bool:
        """Whether a pixel is in both."""
        across = self.x < other.x + other.width and other.x < self.x + self.width
        return across and self.y < other.y + other.height and other.y < self.y + self.height


def parse_crop(text: str, rows: int, columns: int, *, name: str = "crop") -> Crop:
    """Reads "X,Y,W,H", or "X,Y,WxH", and checks that it lies in a picture.

    Args:
        text: Left and top edge, width and height, in pixels of the picture.
        rows: Of the picture.
        columns: Of the picture.
        name: What an error calls it.

    Returns:
        The crop.

    Raises:
        ConfigError: It is written otherwise, is empty, or reaches beyond the picture.

    Example:
        >>> parse_crop("8,0,96x64", 100, 200)
        Crop(x=8, y=0, width=96, height=64)
    """
    crop = Crop(*parts_of(text, name=name))
    if crop.x + crop.width > columns or crop.y + crop.height > rows:
        raise ConfigError(f"{name} {text} reaches beyond the picture of {columns}×{rows} pixels.")
    return crop


def choose_crops(pixels: NDArray[np.uint8], *, count: int = 3, side: int = 96) -> tuple[Crop, ...]:
    """The most detailed places of a picture, spread out and without overlap; always the same ones.

    Detail is the mean magnitude of the gradient of means over 4×4 pixels. After the first place, what
    lies nearer to those chosen than half the picture's diagonal counts the less the nearer it is.

    Args:
        pixels: uint8 (H, W, 3).
        count: Most crops; small pictures have room for fewer.
        side: Of the crops, pixels, or as much as the picture has.

    Returns:
        At least one crop, the most detailed first.
    """
    rows, columns = pixels.shape[:2]
    height, width = min(side, rows), min(side, columns)
    block = _BLOCK if min(rows, columns) >= _LEAST_FOR_BLOCKS else 1
    detail = _window_means(_gradient(pixels, block), height // block, width // block)
    detail = detail[: (rows - height) // block + 1, : (columns - width) // block + 1]
    top, left = (np.arange(length) * block for length in detail.shape)
    chosen: list[Crop] = []
    while len(chosen) < count:
        score = detail.copy()
        for crop in chosen:
            down, across = np.abs(top - crop.y)[:, None], np.abs(left - crop.x)
            near = np.hypot(down, across) / (np.hypot(rows, columns) / 2)
            score = np.minimum(score, detail * np.minimum(near, 1))
            score[(down < height) & (across < width)] = -1
        y, x = np.unravel_index(np.argmax(score), score.shape)
        if score[y, x] < 0:  # there is no room left
            break
        chosen.append(Crop(int(left[x]), int(top[y]), width, height))
    return tuple(chosen)


def _gradient(pixels: NDArray[np.uint8], block: int) -> NDArray[np.float64]:
    """Magnitude of the gradient of the means over blocks, (H / block, W / block)."""
    rows, columns = (length // block * block for length in pixels.shape[:2])
    grey = pixels[:rows, :columns].mean(2, dtype=np.float32)
    grey = grey.reshape(rows // block, block, columns // block, block).mean((1, 3), dtype=np.float64)
    down, across = np.diff(grey, axis=0, prepend=grey[:1]), np.diff(grey, axis=1, prepend=grey[:, :1])
    return np.hypot(down, across)


def _window_means(values: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Means over all windows of a size, from sums over everything above and to the left."""
    sums = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    total = (
        sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    )
    return total / (height * width)
