"""Which resizer made a folder of LR pictures: each known one is tried, and the closest is named."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from escsr.data.pictures import Folders, find_pairs, fit_pair, in_threads, read_rgb
from escsr.data.resizers import Resizer, downscale
from escsr.errors import ConfigError

__all__ = ["Identification", "ResizerScore", "identify_lr"]

_RESIZERS: tuple[Resizer, ...] = get_args(Resizer)
_NEAR_DB = 50
"""From here on only rounding, clipping or the borders differ."""


@dataclass(frozen=True)
class ResizerScore:
    """How close a resizer comes to the LR pictures, over all their samples.

    Attributes:
        resizer: Its name.
        psnr: dB over RGB; infinite where all samples are equal.
        max_difference: Largest difference, of 255.
        differing_share: Share of the samples that differ, in [0, 1].
    """

    resizer: Resizer
    psnr: float
    max_difference: int
    differing_share: float


@dataclass(frozen=True)
class Identification:
    """Findings about a folder of LR pictures.

    Attributes:
        scores: Of every known resizer, best first.
        num_images: Pictures compared.
        scale: From LR to HR.
    """

    scores: tuple[ResizerScore, ...]
    num_images: int
    scale: int

    @property
    def best(self) -> ResizerScore:
        """The closest resizer."""
        return self.scores[0]

    @property
    def is_exact(self) -> bool:
        """Whether the closest one gives these very pictures."""
        return self.best.max_difference == 0

    @property
    def verdict(self) -> str:
        """The finding in one line."""
        if self.is_exact:
            equal = [score.resizer for score in self.scores if score.max_difference == 0]
            return f"{' and '.join(equal)}, equal in every sample"
        distance = (
            f"{self.best.resizer}: {self.best.psnr:.1f} dB, "
            f"{self.best.differing_share:.1%} of the samples differ, by {self.best.max_difference} at most"
        )
        if self.best.psnr >= _NEAR_DB:
            return f"{distance}; the same resizer with other rounding or borders"
        return f"{distance}; no known resizer alone made these pictures, this one comes closest"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which has no infinity: psnr is None where all samples are equal."""
        scores = [
            {**asdict(score), "psnr": None if math.isinf(score.psnr) else score.psnr}
            for score in self.scores
        ]
        return {"verdict": self.verdict, **asdict(self), "scores": scores}


def identify_lr(
    hr: Folders,
    lr: Folders,
    *,
    scale: int,
    max_images: int = 20,
    on_progress: Callable[[int, int], None] | None = None,
) -> Identification:
    """Finds out which resizer made LR pictures from their HR pictures.

    Args:
        hr: Folder or folders of HR pictures.
        lr: Their LR pictures, as for `find_pairs`.
        scale: Scale r.
        max_images: Compare at most so many, spread over the folder.
        on_progress: Called with (pictures done, pictures to compare).

    Returns:
        All known resizers with their distance.

    Raises:
        ConfigError: `max_images` or `scale` are too small.
        DataError: A picture cannot be read, lacks its LR, or does not fit it.

    Example:
        >>> identify_lr("Set5/HR", "Set5/LR_bicubic/X2", scale=2).best.resizer  # doctest: +SKIP
        'matlab-bicubic'
    """
    if max_images < 1 or scale < 2:
        raise ConfigError(f"One picture and ×2 are the least to compare, not {max_images} and ×{scale}.")
    pairs = find_pairs(hr, lr, scale)
    chosen = [pairs[i] for i in np.linspace(0, len(pairs) - 1, min(len(pairs), max_images)).astype(int)]

    def compare(index: int) -> NDArray[np.float64]:
        large, small = chosen[index]
        picture = read_rgb(small.path)
        return _distances(fit_pair(read_rgb(large.path), picture, scale, str(small.path)), picture, scale)

    distances = np.stack(list(in_threads(compare, len(chosen), on_progress)), -1)
    scores = []
    for resizer, each in zip(_RESIZERS, distances, strict=True):
        samples, squares, largest, differing = each
        psnr = _psnr(float(squares.sum() / samples.sum()))
        scores.append(
            ResizerScore(resizer, psnr, int(largest.max()), float(differing.sum() / samples.sum()))
        )
    return Identification(tuple(sorted(scores, key=lambda score: -score.psnr)), len(chosen), scale)


def _distances(hr: NDArray[np.uint8], lr: NDArray[np.uint8], scale: int) -> NDArray[np.float64]:
    """Samples, their squared differences in all, the largest, and how many differ; (resizers, 4)."""
    rows = []
    for resizer in _RESIZERS:
        difference = np.abs(downscale(hr, scale, resizer).astype(np.int64) - lr)
        rows.append([difference.size, (difference**2).sum(), difference.max(), (difference > 0).sum()])
    return np.array(rows, np.float64)


def _psnr(mean_square: float) -> float:
    return math.inf if mean_square == 0 else 10 * math.log10(255**2 / mean_square)
