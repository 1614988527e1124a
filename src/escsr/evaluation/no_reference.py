"""Measures of a picture alone, where there is no truth to compare it with: NIQE and PIQE, in float64.

Both look at luma with its local mean taken away and divided by its local deviation, block by block. NIQE
tells how far the statistics of the blocks are from those of good photographs, PIQE how much of the lively
blocks is damaged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from escsr.data.resize import imresize
from escsr.errors import DataError
from escsr.evaluation.metrics import rgb_to_y

__all__ = ["NIQE_BLOCK", "niqe", "piqe"]

NIQE_BLOCK = 96
"""Side of NIQE's blocks; two are the least that it can be computed of."""

_PIQE_BLOCK = 16
_LINE = np.exp(-0.5 * (np.arange(-3, 4) / (7 / 6)) ** 2)
_LINE /= _LINE.sum()
"""The window of local means in one direction: Gaussian of 7 pixels, σ = 7/6."""

_Array = NDArray[np.float64]


def niqe(image: Tensor) -> float:
    """Natural Image Quality Evaluator; lower is better.

    Mittal, Soundararajan and Bovik, "Making a Completely Blind Image Quality Analyzer", 2013: the distance
    between the Gaussian of 36 features over the picture's blocks and that over blocks of good photographs,
    on rounded studio-range luma as the authors' release. It takes ringing for detail: never judge by it
    alone.

    Args:
        image: (3, H, W) or (1, H, W), in [0, 255]. What is over at the right and at the bottom beyond
            whole blocks of `NIQE_BLOCK` is left out.

    Returns:
        About 2 to 8 for photographs, up to some dozens for damaged ones.

    Raises:
        DataError: Fewer than two blocks, or fewer than two that are not flat.

    Example:
        >>> noise = torch.rand(3, 192, 192, generator=torch.Generator().manual_seed(0)) * 255
        >>> niqe(noise) > 20
        True
    """
    luma = rgb_to_y(image.detach())[0].round().numpy()
    rows, columns = (side // NIQE_BLOCK for side in luma.shape)
    if rows * columns < 2:
        raise DataError(
            f"NIQE needs at least two blocks of {NIQE_BLOCK}×{NIQE_BLOCK} pixels; "
            f"{luma.shape[1]}×{luma.shape[0]} pixels hold {rows * columns}."
        )
    luma = luma[: rows * NIQE_BLOCK, : columns * NIQE_BLOCK]
    scales = ((luma, NIQE_BLOCK), (imresize(luma, 0.5), NIQE_BLOCK // 2))
    features = np.hstack(
        [np.vstack([_niqe_features(blocks) for blocks in _blocks(*scale)]) for scale in scales]
    )
    whole = features[~np.isnan(features).any(1)]
    if len(whole) < 2:
        raise DataError("NIQE needs at least two blocks that are not flat; the picture is nearly all flat.")
    good = np.load(Path(__file__).parent / "parameters" / "niqe_pris_params.npz")
    away = good["mu_pris_param"][0] - np.nanmean(features, 0)
    covariance = (good["cov_pris_param"] + np.cov(whole, rowvar=False)) / 2
    return math.sqrt(away @ np.linalg.pinv(covariance) @ away)


def piqe(image: Tensor) -> float:
    """Perception-based Image Quality Evaluator; lower is better.

    Venkatanath et al., "Blind Image Quality Evaluation Using Perception Based Features", 2015, with the
    constants of MATLAB's `piqe`: of the lively blocks of 16×16, those with a flat piece of edge count by
    what their variance lacks, those that look like noise by their variance.

    Args:
        image: (3, H, W) or (1, H, W), in [0, 255]; mirrored to whole blocks.

    Returns:
        About 10 to 100: the best below 20, bad ones above 50; 100 too for a flat picture.

    Example:
        >>> piqe(torch.full((3, 40, 40), 128.0))
        100.0
    """
    red, green, blue = image.detach().double().expand(3, -1, -1).numpy()
    grey = np.floor(0.2989 * red + 0.5870 * green + 0.1140 * blue + 0.5)
    grey = np.pad(grey, [(0, -side % _PIQE_BLOCK) for side in grey.shape], mode="symmetric")
    damage, lively = 1.0, 1
    for blocks in _blocks(grey, _PIQE_BLOCK):
        kept = blocks[blocks.var((1, 2), ddof=1) > 0.1]
        variance = kept.var((1, 2), ddof=1)
        damage += float(((1 - variance) * _has_flat_edge(kept) + variance * _is_noisy(kept)).sum())
        lively += len(kept)
    return 100 * damage / lively


def _blocks(luma: _Array, side: int) -> Iterator[_Array]:
    """Normalised luma, row of blocks by row: (columns, side, side); the sides are multiples of `side`."""
    padded = np.pad(luma, 3, mode="edge")
    for top in range(0, luma.shape[0], side):
        band = padded[top : top + side + 6]
        mean = _blurred(band)
        deviation = np.sqrt(np.abs(_blurred(band * band) - mean * mean))
        normal = (band[3:-3, 3:-3] - mean) / (deviation + 1)
        normal[np.abs(normal) < 1e-9] = (
            0  # flat: what is left of rounding has a sign, and signs are counted
        )
        yield normal.reshape(side, -1, side).transpose(1, 0, 2)


def _blurred(band: _Array) -> _Array:
    """(H + 6, W + 6) → (H, W)."""
    return sliding_window_view(sliding_window_view(band, 7, 0) @ _LINE, 7, 1) @ _LINE


def _niqe_features(blocks: _Array) -> _Array:
    """What the distributions of the values look like, and of their products with four neighbours.

    Args:
        blocks: (N, side, side); a pixel at the border has the opposite ones for neighbours.

    Returns:
        (N, 18): shape and width of the values; shape, mean, left and right width of each product. NaN for
        flat blocks.
    """
    shape, left, right, _ = _fit(blocks)
    features = [shape, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        shape, left, right, ratio = _fit(blocks * np.roll(blocks, shift, (1, 2)))
        features += [shape, (right - left) * ratio, left, right]
    return np.stack(features, 1)


@np.errstate(invalid="ignore", divide="ignore")
def _fit(blocks: _Array) -> tuple[_Array, _Array, _Array, _Array]:
    """An asymmetric generalised Gaussian by moments, each (N,): α, β left, β right, Γ(2/α) / Γ(1/α)."""
    values = blocks.reshape(len(blocks), -1)
    squares = values * values
    left, right = (np.sqrt((squares * side).sum(1) / side.sum(1)) for side in (values < 0, values > 0))
    lean = left / right
    moments = np.abs(values).mean(1) ** 2 / squares.mean(1)
    moments *= (lean**3 + 1) * (lean + 1) / (lean**2 + 1) ** 2
    shapes, expected, width, ratio = _shapes()
    above = np.searchsorted(expected, moments).clip(1, len(expected) - 1)
    nearest = above - (moments - expected[above - 1] <= expected[above] - moments)
    nearest[np.isnan(moments)] = 0  # as in the authors' release, where these blocks count for the mean
    return shapes[nearest], left * width[nearest], right * width[nearest], ratio[nearest]


@lru_cache(maxsize=1)
def _shapes() -> tuple[_Array, _Array, _Array, _Array]:
    """All α that are tried, and for each E[|x|]² / E[x²], β / σ and Γ(2/α) / Γ(1/α)."""
    shapes = np.arange(200, 10_001, dtype=np.float64) / 1000
    one, two, three = (np.array([math.gamma(k / shape) for shape in shapes]) for k in (1, 2, 3))
    width: _Array = np.sqrt(one / three)
    return shapes, two**2 / (one * three), width, two / one


def _has_flat_edge(blocks: _Array) -> NDArray[np.bool_]:
    """Whether six neighbouring pixels of a block's outline deviate by less than 0.1; (N, 16, 16) → (N,)."""
    edges = np.stack([blocks[:, 0], blocks[:, -1], blocks[:, :, 0], blocks[:, :, -1]], 1)
    return (sliding_window_view(edges, 6, 2).std(-1, ddof=1) < 0.1).any((1, 2))


@np.errstate(invalid="ignore", divide="ignore")
def _is_noisy(blocks: _Array) -> NDArray[np.bool_]:
    """Whether a block's middle deviates as all of it does; (N, 16, 16) → (N,)."""
    deviation = blocks.std((1, 2), ddof=1)
    # MATLAB takes away the eighth column, and then the ninth of those that are left.
    around = np.delete(blocks, (7, 9), axis=2).std((1, 2), ddof=1)
    middle = np.nan_to_num(blocks[:, :, 7:9].std((1, 2), ddof=1) / around)
    return deviation > 2 * np.abs(deviation - middle) / np.maximum(deviation, middle)
