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
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from escsr.errors import ConfigError
from escsr.images import Animation, Picture
from escsr.images.value_range import DEPTHS, srgb_encoded

__all__ = ["Damage", "hint_for", "measure_damage"]

_NOISY, _BLOCKY = 6.0, 0.1
"""From where on pictures count as damaged: of 312 clean ones, which these were chosen by, the noise of four
exceeds the first, and no blocks the second (benchmarks/damage_hint.py, results/real/damage-hint.json)."""

_TILES, _SIDE = 64, 128
_BLOCK = 8
"""Side of a JPEG block, and of the parts in which flatness is judged, pixels."""
_FEWEST_LEVELS = 16
"""Pictures of fewer are drawn; regular patterns of two or three look like noise or like blocks."""
_RED, _GREEN, _BLUE = (np.float32(weight) for weight in (0.299, 0.587, 0.114))

_FLATTEST = 0.1
"""Share of the parts of a picture that noise is read from."""
_LEAST_PARTS = 16
_CLIPPED_SHARE = 0.05
"""Parts of which more is black or white are passed over: noise is cut off there."""
_MEDIANS = np.array([0.959, 0.959, 0.959, 0.839], np.float32)
"""Medians of the mean of 16, and of 4, squares of a normal variable."""
_WHITE_AT_COARSE = 0.25
"""Mean square of white noise in the coarse detail, over that in the fine one."""
_TEXTURE_SHARE = 0.25
"""How much texture adds to the diagonal detail, of what level or upright detail holds beyond that."""

_ROWS = 4
"""Rows whose steps are averaged: noise gets weaker, the edge of a block does not."""
_FAINT, _ROUGH = 2.0, 12.0
"""Levels: steps well below the first hardly count; where their mean exceeds the second, all is texture."""
_MOST = 1.0
"""How much a single step may count, lest few lines of a drawing outweigh many edges of blocks."""
_LEAST_EIGHTS = 64
"""Places where each of the eight phases must have been seen."""
_LEAST_COUNTED = 0.25
"""Share of a picture that must not be rough for its blocks to count in full."""

_Values = NDArray[np.float32]


@dataclass(frozen=True)
class Damage:
    """What a picture has suffered.

    Attributes:
        noise: Standard deviation in a channel, levels of 255.
        blockiness: By how much steps at the edges of 8×8 blocks stand out, in means of the steps around:
            mostly about 0.4 at JPEG quality 25, 0.3 at 50, 0.15 at 75, 0 without.
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


def hint_for(picture: Picture | Animation, remedy: str) -> str:
    """Whether a model for noisy and compressed photos suits a picture better.

    Args:
        picture: As decoded; of an animation the first frame decides.
        remedy: How that model is asked for, "--model real".

    Returns:
        "noise found; --model real will look better"; "" where it does not.
    """
    if isinstance(picture, Animation):
        damage = measure_damage(picture.frames[0])
    else:
        damage = measure_damage(picture.pixels, linear=picture.linear)
    return f"{damage} found; {remedy} will look better" if damage.is_damaged else ""


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
        >>> print(damage, 17 < damage.noise < 23)
        noise True
    """
    pixels = np.asarray(pixels)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or 0 in pixels.shape:
        raise ConfigError(f"An array must be (H, W) or (H, W, 1 to 4), not {pixels.shape}.")
    if pixels.dtype.name not in DEPTHS:
        raise ConfigError(f"An array must be {', '.join(DEPTHS)}, not {pixels.dtype.name}.")
    channels = 3 if pixels.shape[2] > 2 else 1
    parts, across, down = [], [], []
    seen = np.zeros(256, np.bool_)
    for piece in _pieces(pixels[..., :channels]):
        planes = [_levels(piece[..., index], linear=linear) for index in range(channels)]
        middle = planes[channels // 2]  # luma would average noise over the channels
        luma = _RED * planes[0] + _GREEN * planes[1] + _BLUE * planes[2] if channels == 3 else middle
        seen[middle[:, ::2].astype(np.uint8)] = True
        parts.append(_parts(middle))
        across.append(_steps(luma))
        down.append(_steps(luma.swapaxes(1, 2)))
    if seen.sum() < _FEWEST_LEVELS:
        return Damage(0.0, 0.0)
    blockiness = min(_contrast(np.sum(steps, axis=0)) for steps in (across, down))
    return Damage(_noise(np.concatenate(parts, axis=1)), blockiness)


def _pieces(pixels: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """(H, W, C) → (N, h, w, C) that fit into a cache: bands of a small picture, of others rows of tiles.

    All begin at multiples of 8.
    """
    height, width = pixels.shape[:2]
    if height * width <= _TILES * _SIDE**2:
        yield from (pixels[None, top : top + _SIDE] for top in range(0, height, _SIDE))
        return
    down, across = (max(1, side // _SIDE) for side in (height, width))
    rows = max(round(math.sqrt(_TILES * height / width)), math.ceil(_TILES / across))
    rows = min(rows, down, _TILES)
    columns = _TILES // rows
    for top in _spread(height, rows):
        row = pixels[top : top + _SIDE]
        yield np.stack([row[:, left : left + _SIDE] for left in _spread(width, columns)])


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


def _parts(levels: _Values) -> _Values:
    """What noise is read from, of parts of 8×8 pixels: (N, h, w) → (6, K).

    Share of black and white; structure; mean squares of diagonal, upright, level, coarse diagonal detail.
    """
    height, width = (side // _BLOCK * _BLOCK for side in levels.shape[1:])
    levels = levels[:, :height, :width]
    mean, upright, level, diagonal = _haar(levels)
    _, coarse_upright, coarse_level, coarse_diagonal = _haar(mean)
    clipped = ((levels < 1) | (levels > 254)).view(np.uint8)  # their number in a part fits 8 bits
    fine = [_sums(detail * detail, 2) / np.float32(16) for detail in (diagonal, upright, level)]
    coarse = _sums(coarse_diagonal * coarse_diagonal, 1) / np.float32(4)
    structure = _sums(coarse_upright * coarse_upright + coarse_level * coarse_level, 1)
    share = _sums(clipped, 3) / np.float32(_BLOCK**2)
    return np.stack([share, structure, *fine, coarse]).reshape(6, -1)


def _noise(parts: _Values) -> float:
    """Of all parts, (6, K): the standard deviation of noise, levels."""
    if parts.shape[1] < _LEAST_PARTS:
        return 0.0
    usable = parts[0] <= _CLIPPED_SHARE
    parts = parts[1:, usable] if usable.mean() >= _FLATTEST else parts[1:]
    count = min(parts.shape[1], max(_LEAST_PARTS, math.ceil(_FLATTEST * parts.shape[1])))
    flattest = np.argpartition(parts[0], count - 1)[:count]  # of white noise independent of the rest
    *fine, coarse = (float(x) for x in np.median(parts[1:, flattest], axis=1) / _MEDIANS)
    texture = coarse + _TEXTURE_SHARE * max(0.0, min(fine[1:]) - fine[0])
    return math.sqrt(max(0.0, min(fine) - texture) / (1 - _WHITE_AT_COARSE))


def _haar(levels: _Values) -> tuple[_Values, _Values, _Values, _Values]:
    """(N, h, w) → means of 2×2; upright, level and diagonal detail, each as wide as white noise itself."""
    top = levels[:, ::2, ::2], levels[:, ::2, 1::2]
    bottom = levels[:, 1::2, ::2], levels[:, 1::2, 1::2]
    sums, steps = zip(*((left + right, left - right) for left, right in (top, bottom)), strict=True)
    half = np.float32(0.5)
    means = (sums[0] + sums[1]) * (half * half)
    return means, (steps[0] + steps[1]) * half, (sums[0] - sums[1]) * half, (steps[0] - steps[1]) * half


def _sums(values: NDArray[Any], halvings: int) -> NDArray[Any]:
    """Sums of 2×2, 4×4, 8×8 ... values, several times as fast as a sum over axes so short."""
    for _ in range(halvings):
        values = values[:, ::2] + values[:, 1::2]
        values = values[..., ::2] + values[..., 1::2]
    return values


def _steps(luma: _Values) -> NDArray[np.float64]:
    """How far steps along the last axis exceed their two neighbours: (N, h, w) → (3, 8).

    For each of the eight phases the sum over the mean of eight around, how many they are, and how many with
    those in rough places.
    """
    count, height, width = luma.shape
    rows, groups = height // _ROWS, (width - 3) // _BLOCK - 1
    if rows < 1 or groups < 1:
        return np.zeros((3, _BLOCK))
    step = np.abs(np.diff(luma[:, : rows * _ROWS], axis=2))
    beyond = step[..., 1:-1] - np.float32(0.5) * (step[..., :-2] + step[..., 2:])  # slopes have none
    lines = np.maximum(beyond, 0).reshape(count, rows, _ROWS, -1).mean(2)
    around = lines
    for distance in (1, 2, 4):
        around = around[..., :-distance] + around[..., distance:]  # at last of places i to i + 7
    places = groups * _BLOCK
    around = around[..., :places] / np.float32(_BLOCK)
    shares = np.minimum(lines[..., 4 : 4 + places] / (around + np.float32(_FAINT)), np.float32(_MOST))
    counted = around < _ROUGH
    sums = [values.sum((0, 1)).reshape(groups, _BLOCK).sum(0) for values in (shares * counted, counted)]
    return np.stack([*sums, np.full(_BLOCK, count * rows * groups)])


def _contrast(steps: NDArray[np.float64]) -> float:
    """Sums of `_steps` → the mean step at the phase with the greatest, less that at the usual phase."""
    sums, counted, size = steps
    if size[0] < _LEAST_EIGHTS or not counted.all():
        return 0.0
    phases = sums / counted
    share = counted.sum() / size.sum()
    return float((phases.max() - np.median(phases)) * min(1.0, share / _LEAST_COUNTED))
