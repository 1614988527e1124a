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
        best = self.best
        share = f"{best.differing_share:.1%} of the samples differ, by {best.max_difference} at most"
        distance = f"{best.resizer}: {best.psnr:.1f} dB, {share}"
        if best.psnr >= _NEAR_DB:
            return f"{distance}; the same resizer with other rounding or borders"
        return f"{distance}; no known resizer alone made these pictures, this one comes closest"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which has no infinity: psnr is None where all samples are equal."""
        scores = [
            {**asdict(each), "psnr": each.psnr if each.max_difference else None} for each in self.scores
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

    def distances(index: int) -> NDArray[np.float64]:
        """Samples, their squared differences in all, the largest, and how many differ; (resizers, 4)."""
        large, small = chosen[index]
        given = read_rgb(small.path)
        picture = fit_pair(read_rgb(large.path), given, scale, str(small.path))
        differences = [np.abs(downscale(picture, scale, x).astype(np.int64) - given) for x in _RESIZERS]
        return np.array([(x.size, (x**2).sum(), x.max(), (x > 0).sum()) for x in differences], np.float64)

    by_resizer = np.stack(list(in_threads(distances, len(chosen), on_progress)), -1)
    scores = []
    for resizer, each in zip(_RESIZERS, by_resizer, strict=True):
        samples, squares, largest, differing = each
        error = float(squares.sum() / samples.sum())
        psnr = 10 * math.log10(255**2 / error) if error else math.inf
        scores.append(
            ResizerScore(resizer, psnr, int(largest.max()), float(differing.sum() / samples.sum()))
        )
    return Identification(tuple(sorted(scores, key=lambda score: -score.psnr)), len(chosen), scale)
