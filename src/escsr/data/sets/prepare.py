"""From folders of pictures to a training set: sub-images, LR by a named resizer, and a manifest."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from escsr import images
from escsr.data.pictures import Folders, TrainingFile, find_training_images, in_threads, lr_name, read_rgb
from escsr.data.resizers import Resizer, downscale
from escsr.data.sets.manifest import Entry, Manifest
from escsr.errors import ConfigError, DataError
from escsr.files import sha256_of

__all__ = ["Preparation", "prepare", "sub_image_starts"]


@dataclass(frozen=True)
class Preparation:
    """A set that was prepared.

    Attributes:
        hr: Folder of the HR pictures or sub-images.
        lr: Folders of their LR pictures, by scale.
        num_sources: Source pictures that are in the set.
        num_images: HR pictures made of them, those of earlier runs included.
        num_skipped: Sources that an earlier run had done.
        failures: Sources that could not be used, and why.
        fingerprint: sha256 over the settings and the sources' names and digests.
    """

    hr: Path
    lr: dict[int, Path]
    num_sources: int
    num_images: int
    num_skipped: int
    failures: tuple[tuple[Path, str], ...]
    fingerprint: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **asdict(self),
            "hr": str(self.hr),
            "lr": {str(scale): str(folder) for scale, folder in self.lr.items()},
            "failures": [{"path": str(path), "reason": reason} for path, reason in self.failures],
        }


@dataclass(frozen=True)
class _Settings:
    """All that the result depends on beside the sources."""

    sub_image: int | None
    step: int | None
    lr: Resizer
    scale: list[int]
    format: int = 1

    @property
    def unit(self) -> int:
        """Sides and places of HR pictures are multiples of it, so that LR pixels are whole."""
        return math.lcm(1, *self.scale)


def prepare(
    sources: Folders,
    output: str | os.PathLike[str],
    *,
    sub_image: int | None = None,
    step: int | None = None,
    lr: Resizer = "matlab-bicubic",
    scale: Sequence[int] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> Preparation:
    """Cuts pictures into sub-images and makes their LR; run again, it goes on where it stopped.

    HR goes to `HR/`, LR to `LR_<resizer>/X2/` and so on, all as PNG, named as the sources: "0001.png",
    or "0001_s001.png" for sub-images, "0001x2.png" for LR. LR is made of the whole picture and then
    cut, so that sub-images have no borders of their own. `manifest.jsonl` keeps the settings and the
    digest of every source. Colour profiles and metadata are dropped.

    Args:
        sources: Folder or folders; of several, each has a subfolder of its name in the result.
        output: Folder of the set.
        sub_image: Side of the sub-images, HR pixels; None for whole pictures. The last ones of a row
            and of a column overlap more, so that all is covered; smaller pictures stay whole.
        step: HR pixels from one sub-image to the next; None for the side, without overlap.
        lr: What makes the LR pictures.
        scale: Scales to make LR for; none for HR alone. HR is cropped to a common multiple.
        on_progress: Called with (sources done, sources in all).

    Returns:
        What was made, and which sources failed.

    Raises:
        ConfigError: Settings do not fit each other, or those that `output` was begun with; or `output`
            and a source lie within each other.
        DataError: There are no sources, or two would have the same name.
        OutputError: The folder cannot be written to.

    Example:
        >>> prepare("DIV2K_train_HR", "div2k", sub_image=480, step=240, scale=[2])  # doctest: +SKIP
    """
    settings = _check(_Settings(sub_image, step, lr, sorted(set(scale))))
    files = find_training_images(sources)
    targets = _targets(files)
    folder = Path(output)
    _keep_apart({file.root for file in files}, folder)
    manifest = Manifest(folder / "manifest.jsonl", asdict(settings))
    entries, failures, skipped = [], [], 0
    work = partial(_prepare_or_fail, list(targets.items()), folder, settings, manifest.entries)
    with manifest:
        for result in in_threads(work, len(targets), on_progress):
            if isinstance(result, Entry):
                entries.append(result)
                if result is manifest.entries.get(result.source):
                    skipped += 1
                else:
                    manifest.add(result)
            else:
                failures.append(result)
    return Preparation(
        hr=folder / "HR",
        lr={s: folder / f"LR_{lr}" / f"X{s}" for s in settings.scale},
        num_sources=len(entries),
        num_images=sum(entry.pictures for entry in entries),
        num_skipped=skipped,
        failures=tuple(failures),
        fingerprint=manifest.fingerprint(entries),
    )


def sub_image_starts(side: int, size: int, step: int, unit: int = 1) -> list[int]:
    """Where sub-images begin along a side: every `step`, and a last one that reaches the end.

    Args:
        side: Pixels of the picture, a multiple of `unit`.
        size: Pixels of a sub-image, a multiple of `unit`.
        step: From one to the next, a multiple of `unit`.
        unit: All starts are multiples of it.

    Returns:
        The starts, rising; [0] where the side is no longer than a sub-image.
    """
    assert all(pixels % unit == 0 for pixels in (side, size, step))
    starts = list(range(0, max(1, side - size + 1), step))
    if starts[-1] + size < side:
        starts.append(side - size)
    return starts


def _check(settings: _Settings) -> _Settings:
    """The settings with the step filled in, or an error."""
    size, step, unit = settings.sub_image, settings.step, settings.unit
    if settings.lr not in get_args(Resizer):
        raise ConfigError(f"lr must be one of {', '.join(get_args(Resizer))}, not {settings.lr!r}.")
    if any(s < 2 for s in settings.scale):
        raise ConfigError(f"scale must be 2 or more, not {min(settings.scale)}.")
    if size is None:
        if step is not None:
            raise ConfigError("step is for sub-images; give sub_image too.")
        return settings
    step = size if step is None else step
    if size < 1 or step < 1 or size % unit or step % unit:
        raise ConfigError(
            f"sub_image {size} and step {step} must be positive multiples of {unit}, so that LR pixels "
            f"are whole."
        )
    return _Settings(size, step, settings.lr, settings.scale)


def _keep_apart(roots: Iterable[Path], folder: Path) -> None:
    """Refuses sources that the set would be written over, and sets that would be sources next time."""
    output = folder.resolve()
    for root in roots:
        source = root.resolve()
        if output.is_relative_to(source):
            raise ConfigError(f"{folder} lies within the source {root}; choose a folder outside of it.")
        inside = source.relative_to(output).parts if source.is_relative_to(output) else ("",)
        if inside[0] == "HR" or inside[0].startswith("LR_"):
            raise ConfigError(f"{root} is part of the set {folder}; choose another folder for the result.")


def _targets(files: list[TrainingFile]) -> dict[str, TrainingFile]:
    """Sources by their name in the result."""
    roots = list(dict.fromkeys(file.root for file in files))
    prefixes = {root: "" if len(roots) == 1 else f"{root.absolute().name}/" for root in roots}
    targets: dict[str, TrainingFile] = {}
    for file in files:
        name = f"{prefixes[file.root]}{file.name}"
        if name in targets:
            raise DataError(f"{file.path} and {targets[name].path} would both become {name}; rename one.")
        targets[name] = file
    return targets


def _prepare_or_fail(
    targets: list[tuple[str, TrainingFile]],
    folder: Path,
    settings: _Settings,
    done: dict[str, Entry],
    index: int,
) -> Entry | tuple[Path, str]:
    """The entry of a source, from `done` where it was made before; or the file and why it failed."""
    name, source = targets[index]
    try:
        digest = sha256_of(source.path)
    except OSError as error:
        return source.path, f"cannot be read ({error.strerror})."
    try:
        old = done.get(name)
        if old is not None and old.sha256 == digest and _is_complete(old, folder, settings):
            return old
        entry = Entry(name, digest, _prepare_one(source.path, name, folder, settings))
    except DataError as error:
        return source.path, str(error).removeprefix(f"{source.path}: ")
    for number in range(entry.pictures + 1, 1 + (old.pictures if old is not None else 0)):
        for path, _ in _files(name, number, folder, settings):
            path.unlink(missing_ok=True)  # of the source as it was before
    return entry


def _prepare_one(path: Path, name: str, folder: Path, settings: _Settings) -> int:
    """Writes all pictures of a source; how many HR ones they are."""
    hr = read_rgb(path)
    height, width = (side // settings.unit * settings.unit for side in hr.shape[:2])
    if not height or not width:
        raise DataError(f"{path}: smaller than {settings.unit} pixels, which the scales need.")
    hr = np.ascontiguousarray(hr[:height, :width])
    size = settings.sub_image or max(height, width)
    step = settings.step or size
    rows = sub_image_starts(height, size, step, settings.unit)
    columns = sub_image_starts(width, size, step, settings.unit)
    whole = {1: hr} | {s: downscale(hr, s, settings.lr) for s in settings.scale}
    places = [(top, left) for top in rows for left in columns]
    for number, (top, left) in enumerate(places, 1):
        for target, s in _files(name, number, folder, settings):
            _write(whole[s][top // s : (top + size) // s, left // s : (left + size) // s], target)
    return len(places)


def _files(source: str, number: int, folder: Path, settings: _Settings) -> list[tuple[Path, int]]:
    """HR and LR files of one sub-image, with their scales."""
    name = source if settings.sub_image is None else f"{source}_s{number:03}"
    lr = folder / f"LR_{settings.lr}"
    return [
        (folder / "HR" / f"{name}.png", 1),
        *((lr / f"X{s}" / f"{lr_name(name, s)}.png", s) for s in settings.scale),
    ]


def _write(pixels: NDArray[np.uint8], path: Path) -> None:
    images.write(images.Picture(np.ascontiguousarray(pixels)), path)


def _is_complete(entry: Entry, folder: Path, settings: _Settings) -> bool:
    return all(
        path.exists()
        for number in range(1, entry.pictures + 1)
        for path, _ in _files(entry.source, number, folder, settings)
    )
