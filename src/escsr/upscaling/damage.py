"""Noise and JPEG blocks, measured on the pixels: whether a picture is one that fidelity models make worse.

What a file says of itself is no evidence: a camera's JPEG is clean, and a ruined picture may have been
saved as PNG. So only pixels are looked at, of a large picture those of 64 tiles spread evenly.

Noise is what the finest diagonal detail holds where a picture is flattest. Noise fills all frequencies
alike, texture does not: what the next coarser detail and the level or upright detail hold beyond it is
taken for texture and taken away (after Donoho and Johnstone's estimate from diagonal wavelet detail, 1994).

Blocks are steps between neighbours that stand out every eight pixels, along rows and along columns, at any
of the eight phases, since pictures are cropped after they were compressed (after Fan and de Queiroz,
"Identification of bitmap compression history", 2003).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from escsr.errors import ConfigError
from escsr.images.value_range import DEPTHS, srgb_encoded

__all__ = ["Damage", "measure_damage"]

_NOISY = 6.0
_BLOCKY = 0.25
"""From where on pictures count as damaged: 1 in 100 clean pictures or fewer reach them
(benchmarks/damage_hint.py, results/real/damage-hint.json)."""

_TILES, _SIDE = 64, 128
_BLOCK = 8
"""Side of a JPEG block, and of the parts in which flatness is judged, pixels."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_FLATTEST = 0.1
"""Share of the parts of a picture that noise is read from."""
_LEAST_PARTS = 16
_CLIPPED_SHARE = 0.05
"""Parts of which more is black or white are passed over: noise is cut off there."""
_MEDIAN_OF_16, _MEDIAN_OF_4 = 0.959, 0.839
"""Median of the mean of so many squares of a normal variable."""
_TEXTURE_SHARE = 0.25
"""Of what level or upright detail holds beyond the diagonal: how much of it texture adds to the diagonal."""

_ROWS = 4
"""Rows whose steps are averaged: noise gets weaker, the edge of a block does not."""
_FAINT, _DRAWN = 2.0, 24.0
"""Levels: steps well below the first hardly count, and eight pixels with one above the second are passed
over, because a compressed picture does not step like that at the edges of its blocks, but drawings do."""
_LEAST_COUNTED = 0.25
"""Share of a picture that must not be passed over for its blocks to count in full."""

_Values = NDArray[np.float32]


@dataclass(frozen=True)
class Damage:
    """What a picture has suffered.

    Attributes:
        noise: Standard deviation in a channel, levels of 255.
        blockiness: By how much steps at the edges of 8×8 blocks exceed those elsewhere, over the mean step
            beside them: 0 none, 0.2 hardly seen, 0.5 seen on a second look, above 1 obvious.
    """

    noise: float
    blockiness: float

    @property
    def is_noisy(self) -> bool:
        """Whether the noise is more than fine grain."""
        return self.noise >= _NOISY

    @property
    def is_blocky(self) -> bool:
        """Whether the blocks are more than a camera's JPEG leaves."""
        return self.blockiness >= _BLOCKY

    @property
    def is_damaged(self) -> bool:
        """Whether a model for damaged pictures suits better."""
        return self.is_noisy or self.is_blocky

    def __str__(self) -> str:
        """In words: "noise and JPEG blocks", one of them, or "no damage"."""
        found = ["noise"] * self.is_noisy + ["JPEG blocks"] * self.is_blocky
        return " and ".join(found) or "no damage"


def measure_damage(pixels: NDArray[Any], *, linear: bool = False) -> Damage:
    """Measures noise and JPEG blocks, in about 20 ms however large the picture is.

    Args:
        pixels: (H, W), or (H, W, C) with C 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; of a type in
            `value_range.DEPTHS`, floating values in [0, 1]. Alpha is passed over.
        linear: Whether floating values are proportional to light.

    Returns:
        The damage; none where a picture is too small to tell.

    Raises:
        ConfigError: Shape or type are others.

    Example:
        >>> noise = np.random.default_rng(0).normal(128, 20, (256, 256))
        >>> damage = measure_damage(noise.round().astype(np.uint8))
        >>> print(damage, round(damage.noise))
        noise 20
    """
    pixels = np.asarray(pixels)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or 0 in pixels.shape:
        raise ConfigError(f"An array must be (H, W) or (H, W, 1 to 4), not {pixels.shape}.")
    if pixels.dtype.name not in DEPTHS:
        raise ConfigError(f"An array must be {', '.join(DEPTHS)}, not {pixels.dtype.name}.")
    channels = 3 if pixels.shape[2] > 2 else 1
    levels = _levels(_sampled(pixels[..., :channels]), linear=linear)
    middle = np.ascontiguousarray(levels[..., channels // 2])  # luma would average noise over the channels
    luma = levels @ _LUMA if channels == 3 else middle
    return Damage(_noise(middle), _blockiness(luma))


def _sampled(pixels: NDArray[Any]) -> NDArray[Any]:
    """(H, W, C) → (N, h, w, C): all of a small picture, or tiles that begin at multiples of 8."""
    height, width = pixels.shape[:2]
    if height * width <= _TILES * _SIDE**2:
        return pixels[None]
    down, across = height // _SIDE, width // _SIDE
    rows = max(1, min(down, round(math.sqrt(_TILES * height / width))))
    columns = max(1, min(across, _TILES // rows))
    tops, lefts = _spread(height, rows), _spread(width, columns)
    return np.stack([pixels[top : top + _SIDE, left : left + _SIDE] for top in tops for left in lefts])


def _spread(length: int, count: int) -> list[int]:
    """Where so many tiles begin along a side, from its beginning to its end."""
    last = max(0, length - _SIDE)
    places = [last // 2] if count == 1 else [last * index // (count - 1) for index in range(count)]
    return [place // _BLOCK * _BLOCK for place in places]


def _levels(pixels: NDArray[Any], *, linear: bool) -> _Values:
    """Values of any depth as a display shows them, in [0, 255]."""
    values = pixels.astype(np.float32)
    if pixels.dtype.kind == "u":
        return values if pixels.dtype == np.uint8 else values / np.float32(257)
    values = np.nan_to_num(values, copy=False, nan=0.0)
    values = srgb_encoded(values) if linear else values
    return np.clip(values, 0, 1, out=values) * np.float32(255)


def _noise(levels: _Values) -> float:
    """(N, h, w) → standard deviation of noise, levels."""
    height, width = (side // _BLOCK * _BLOCK for side in levels.shape[1:])
    levels = levels[:, :height, :width]
    if levels.size < _LEAST_PARTS * _BLOCK**2:
        return 0.0
    mean, upright, level, diagonal = _haar(levels)
    _, coarse_upright, coarse_level, coarse_diagonal = _haar(mean)
    structure = _power(coarse_upright, 2) + _power(coarse_level, 2)  # of white noise independent of the rest
    clipped = ((levels < 1) | (levels > 254)).reshape(-1, height // 8, 8, width // 8, 8).mean((2, 4))
    usable = clipped <= _CLIPPED_SHARE
    if usable.mean() < _FLATTEST:
        usable[...] = True
    count = min(int(usable.sum()), max(_LEAST_PARTS, math.ceil(_FLATTEST * usable.sum())))
    flattest = np.argpartition(structure[usable], count - 1)[:count]

    def median(detail: _Values, size: int) -> float:
        return float(np.median(_power(detail, size)[usable][flattest]))

    fine = [median(detail, 4) / _MEDIAN_OF_16 for detail in (diagonal, upright, level)]
    coarse = median(coarse_diagonal, 2) / _MEDIAN_OF_4  # of white noise a quarter
    texture = coarse + _TEXTURE_SHARE * max(0.0, min(fine[1:]) - fine[0])
    return math.sqrt(max(0.0, min(fine) - texture) / 0.75)


def _haar(levels: _Values) -> tuple[_Values, _Values, _Values, _Values]:
    """(N, h, w) → means of 2×2, and steps along rows, along columns and across; white noise keeps its width."""
    top = levels[:, ::2, ::2], levels[:, ::2, 1::2]
    bottom = levels[:, 1::2, ::2], levels[:, 1::2, 1::2]
    sums, steps = zip(*((left + right, left - right) for left, right in (top, bottom)), strict=True)
    half = np.float32(0.5)
    means = (sums[0] + sums[1]) * (half * half)
    return means, (steps[0] + steps[1]) * half, (sums[0] - sums[1]) * half, (steps[0] - steps[1]) * half


def _power(detail: _Values, size: int) -> _Values:
    """Mean square in parts of size×size: (N, h, w) → (N, h/size, w/size)."""
    count, height, width = detail.shape
    parts = (detail * detail).reshape(count, height // size, size, width // size, size)
    return parts.mean((2, 4))


def _blockiness(luma: _Values) -> float:
    """(N, h, w) → the contrast of the phase that stands out, of rows or columns where it is less."""
    return min(_grid(luma), _grid(luma.swapaxes(1, 2)))


def _grid(luma: _Values) -> float:
    """Along the last axis: the mean step at the phase with the greatest, less that at the usual phase."""
    count, height, width = luma.shape
    rows, groups = height // _ROWS, (width - 3) // _BLOCK
    if not rows or groups < 2:
        return 0.0
    step = np.diff(luma[:, : rows * _ROWS, : groups * _BLOCK + 3], axis=2)
    step = np.abs(step[..., 1:-1] - np.float32(0.5) * (step[..., :-2] + step[..., 2:]))  # slopes are none
    eights = step.reshape(count, rows, _ROWS, groups, _BLOCK).mean(2)  # (N, rows, groups, 8)
    counted = eights.max(3, keepdims=True) < _DRAWN
    shares = eights * (counted / (eights.mean(3, keepdims=True) + np.float32(_FAINT)))
    phases = shares.sum((0, 1, 2)) / max(1, counted.sum())
    usual = float(np.median(phases))
    if not usual:  # nothing but steps every eight pixels: drawn, or a smooth ramp
        return 0.0
    return (float(phases.max()) - usual) * min(1.0, float(counted.mean()) / _LEAST_COUNTED)
