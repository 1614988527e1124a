"""Checks of a folder of training pictures, and of the LR pictures that go with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
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


@dataclass(frozen=True)
class _Inspection:
    """What one picture, or one pair, gave: digests by name, problems, digest of the HR pixels."""

    digests: tuple[tuple[str, str], ...]
    problems: tuple[Problem, ...]
    hr_digest: str | None


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
    least = patch_size * (scale or 1)

    def inspect(index: int) -> _Inspection:
        return _inspect(*pairs[index], None if lr is None else scale, least)

    digest = hashlib.sha256()
    problems: list[Problem] = []
    first_seen: dict[str, Path] = {}
    for inspection, (large, _) in zip(in_threads(inspect, len(pairs), on_progress), pairs, strict=True):
        problems += inspection.problems
        for name, pixels in inspection.digests:
            digest.update(f"{name}\0{pixels}\n".encode(errors="surrogatepass"))
        if inspection.hr_digest is not None:
            first = first_seen.setdefault(inspection.hr_digest, large.path)
            if first != large.path:
                problems.append(Problem("duplicate", large.path, f"has the pixels of {first}"))
    problems += [Problem("no HR", file.path, "belongs to no HR picture") for file in strangers]
    num_pairs = sum(small is not None for _, small in pairs)
    return Verification(len(pairs), num_pairs, tuple(problems), digest.hexdigest())


def _inspect(large: TrainingFile, small: TrainingFile | None, scale: int | None, least: int) -> _Inspection:
    """One HR picture, and its LR picture where `scale` tells that there should be one."""
    problems: list[Problem] = []
    report = partial(_report, problems)
    hr = _read(large, report)
    if hr is not None and min(hr.shape[:2]) < least:
        report("too small", large.path, f"{hr.shape[1]}×{hr.shape[0]} pixels; patches need {least}")
    if scale is not None and small is None:
        report("no LR", large.path, "has no LR picture")
    lr = None if small is None else _read(small, report)
    if hr is not None and _is_grey(hr):
        report("grey", large.path, "has no colour")
    elif small is not None and lr is not None and _is_grey(lr):
        report("grey", small.path, "has no colour" if hr is None else "has no colour, but HR has")
    if scale is not None and small is not None and hr is not None and lr is not None:
        _compare(hr, lr, scale, small.path, report)
    digests = [
        (f"{kind} {file.name}", _digest(pixels))
        for kind, file, pixels in (("HR", large, hr), ("LR", small, lr))
        if file is not None and pixels is not None
    ]
    return _Inspection(tuple(digests), tuple(problems), digests[0][1] if hr is not None else None)


_Report = Callable[[ProblemKind, Path, str], None]


def _report(problems: list[Problem], kind: ProblemKind, path: Path, message: str) -> None:
    problems.append(Problem(kind, path, message))


def _read(file: TrainingFile, report: _Report) -> NDArray[np.uint8] | None:
    """Colour pixels (H, W, 1 or 3), or None where they cannot be trained on."""
    try:
        picture = images.read(file.path)
    except EscError as error:
        report("unreadable", file.path, str(error).removeprefix(f"{file.path}: "))
        return None
    colour = picture.colour
    if colour.dtype != np.uint8:
        report("not 8 bits", file.path, f"{colour.dtype} pixels; training takes 8 bits")
        return None
    if picture.has_alpha:
        report("transparent", file.path, "has an alpha channel, which training drops")
    return colour


def _is_grey(colour: NDArray[np.uint8]) -> bool:
    return bool((colour == colour[..., :1]).all())


def _compare(hr: NDArray[np.uint8], lr: NDArray[np.uint8], scale: int, path: Path, report: _Report) -> None:
    """Sizes, then content, then place."""
    try:
        alignment = measure_alignment(fit_pair(hr, lr, scale, str(path)), lr, scale)
    except DataError as error:
        report("size", path, str(error).removeprefix(f"{path}: "))
        return
    if alignment.correlation < _LEAST_CORRELATION:
        report("content", path, f"shows something else than HR (correlation {alignment.correlation:.2f})")
    elif alignment.shift > _LARGEST_SHIFT:
        report(
            "shift",
            path,
            f"is shifted against HR by {alignment.down * scale:+.2f} HR pixels down and "
            f"{alignment.right * scale:+.2f} right",
        )


def _digest(pixels: NDArray[np.uint8]) -> str:
    """Digest of size and pixels; a grey picture has that of the same grey in three channels."""
    height, width, channels = pixels.shape
    digest = hashlib.sha256(f"{height} {width}\n".encode())
    rgb = pixels if channels > 1 else pixels.repeat(3, axis=2)
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.hexdigest()
