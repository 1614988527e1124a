"""Checks of a folder of training pictures, and of the LR pictures that go with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from escsr import images
from escsr.data.pictures import (
    Folders,
    TrainingFile,
    find_training_images,
    fit_pair,
    in_threads,
    match_pairs,
)
from escsr.data.sets.alignment import measure_alignment
from escsr.errors import ConfigError, DataError, EscError

__all__ = ["Problem", "ProblemKind", "Verification", "verify"]

_Warning = Literal["too small", "grey", "transparent", "duplicate"]
ProblemKind = Literal["unreadable", "not 8 bits", "no LR", "no HR", "size", "content", "shift"] | _Warning
"""What can be wrong. From "too small" on, an image can still be trained on, or is left out."""

_LARGEST_SHIFT = 0.08
"""LR pixels. Measured shifts of aligned pictures stay below 0.04, whatever the resizer."""
_LEAST_CORRELATION = 0.6
"""Aligned pairs are above 0.8, unrelated photographs below 0.5."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with a picture.

    Attributes:
        kind: What, in a word.
        path: The file.
        message: What, in a line.
    """

    kind: ProblemKind
    path: Path
    message: str

    @property
    def is_fault(self) -> bool:
        """Whether training would fail or learn something wrong; else it is a warning."""
        return self.kind not in get_args(_Warning)


@dataclass(frozen=True)
class Verification:
    """Findings about a set.

    Attributes:
        num_images: HR pictures.
        num_pairs: Those with an LR picture; 0 where no LR was given.
        problems: In the order of the pictures.
        fingerprint: sha256 over the names and pixels of all readable pictures: the same for the same
            set, wherever it lies and in whatever format.
    """

    num_images: int
    num_pairs: int
    problems: tuple[Problem, ...]
    fingerprint: str

    @property
    def faults(self) -> tuple[Problem, ...]:
        """Problems that must be mended."""
        return tuple(problem for problem in self.problems if problem.is_fault)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Problems that one may live with."""
        return tuple(problem for problem in self.problems if not problem.is_fault)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        problems = [{**asdict(p), "path": str(p.path), "is_fault": p.is_fault} for p in self.problems]
        return {**asdict(self), "problems": problems}


def verify(
    hr: Folders,
    *,
    lr: Folders | None = None,
    scale: int | None = None,
    patch_size: int = 64,
    on_progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Reads every picture of a set, and tells what is wrong with it.

    Args:
        hr: Folder or folders of HR pictures.
        lr: Their LR pictures, in folders in the same order, named alike or as "0001x2"; None for none.
        scale: Scale r; needed with `lr`, and for the smallest side that a picture may have.
        patch_size: LR patch side to be trained with; HR sides must reach it times the scale.
        on_progress: Called with (pictures done, pictures in all).

    Returns:
        The findings.

    Raises:
        ConfigError: LR is given without a scale, or scale or patch size are not positive.
        DataError: There are no such folders.
    """
    if lr is not None and scale is None:
        raise ConfigError("Which scale do the LR pictures have? Give it, as scale=2.")
    if patch_size < 1 or (scale is not None and scale < 1):
        raise ConfigError(f"patch_size and scale must be positive, not {patch_size} and {scale}.")
    strangers: list[TrainingFile] = []
    pairs: list[tuple[TrainingFile, TrainingFile | None]]
    if lr is None or scale is None:
        pairs = [(file, None) for file in find_training_images(hr)]
    else:
        pairs, strangers = match_pairs(hr, lr, scale)
    least, lr_scale = patch_size * (scale or 1), None if lr is None else scale
    digest = hashlib.sha256()
    problems: list[Problem] = []
    first_seen: dict[str, Path] = {}
    inspected = in_threads(lambda index: _inspect(*pairs[index], lr_scale, least), len(pairs), on_progress)
    for (digests, found), (large, _) in zip(inspected, pairs, strict=True):
        problems += found
        for name, pixels in digests.items():
            digest.update(f"{name}\0{pixels}\n".encode(errors="surrogatepass"))
        pixels_of_hr = digests.get(f"HR {large.name}", str(large.path))
        if (first := first_seen.setdefault(pixels_of_hr, large.path)) != large.path:
            problems.append(Problem("duplicate", large.path, f"has the pixels of {first}"))
    problems += [Problem("no HR", file.path, "belongs to no HR picture") for file in strangers]
    num_pairs = sum(small is not None for _, small in pairs)
    return Verification(len(pairs), num_pairs, tuple(problems), digest.hexdigest())


def _inspect(
    large: TrainingFile, small: TrainingFile | None, scale: int | None, least: int
) -> tuple[dict[str, str], list[Problem]]:
    """Digests and problems of an HR picture, and of its LR picture where there should be one at `scale`."""
    problems: list[Problem] = []
    hr = _read(large.path, problems)
    if hr is not None and min(hr.shape[:2]) < least:
        message = f"{hr.shape[1]}×{hr.shape[0]} pixels; patches need {least}"
        problems.append(Problem("too small", large.path, message))
    if scale is not None and small is None:
        problems.append(Problem("no LR", large.path, "has no LR picture"))
    lr = None if small is None else _read(small.path, problems)
    digests = {} if hr is None else {f"HR {large.name}": _digest(hr)}
    if hr is not None and _is_grey(hr):
        problems.append(Problem("grey", large.path, "has no colour"))
    elif small is not None and lr is not None and _is_grey(lr):
        message = "has no colour" if hr is None else "has no colour, but HR has"
        problems.append(Problem("grey", small.path, message))
    if small is not None and lr is not None:
        digests[f"LR {small.name}"] = _digest(lr)
        if scale is not None and hr is not None:
            problems += _compare(hr, lr, scale, small.path)
    return digests, problems


def _read(path: Path, problems: list[Problem]) -> NDArray[np.uint8] | None:
    """Colour pixels (H, W, 1 or 3), or None where they cannot be trained on, which is then a problem."""
    try:
        picture = images.read(path)
    except EscError as error:
        problems.append(Problem("unreadable", path, str(error).removeprefix(f"{path}: ")))
        return None
    if picture.colour.dtype != np.uint8:
        message = f"{picture.colour.dtype} pixels; training takes 8 bits"
        problems.append(Problem("not 8 bits", path, message))
        return None
    if picture.has_alpha:
        problems.append(Problem("transparent", path, "has an alpha channel, which training drops"))
    return picture.colour


def _is_grey(colour: NDArray[np.uint8]) -> bool:
    return bool((colour == colour[..., :1]).all())


def _compare(hr: NDArray[np.uint8], lr: NDArray[np.uint8], scale: int, path: Path) -> Iterator[Problem]:
    """Sizes, then content, then place."""
    try:
        alignment = measure_alignment(fit_pair(hr, lr, scale, str(path)), lr, scale)
    except DataError as error:
        yield Problem("size", path, str(error).removeprefix(f"{path}: "))
        return
    if alignment.correlation < _LEAST_CORRELATION:
        correlation = f"{alignment.correlation:.2f}"
        yield Problem("content", path, f"shows something else than HR (correlation {correlation})")
    elif max(abs(alignment.down), abs(alignment.right)) > _LARGEST_SHIFT:
        down, right = f"{alignment.down * scale:+.2f}", f"{alignment.right * scale:+.2f}"
        yield Problem("shift", path, f"is shifted against HR by {down} HR pixels down and {right} right")


def _digest(pixels: NDArray[np.uint8]) -> str:
    """Digest of size and pixels; a grey picture has that of the same grey in three channels."""
    digest = hashlib.sha256(f"{pixels.shape[0]} {pixels.shape[1]}\n".encode())
    digest.update(np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))).data)
    return digest.hexdigest()
