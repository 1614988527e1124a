"""From folders of pictures to a training set: sub-images, LR by a named resizer, and a manifest."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyvips
from numpy.typing import NDArray

from escsr import images
from escsr.data.pictures import Folders, TrainingFile, find_training_images, in_threads, lr_name, read_rgb
from escsr.data.pil_resize import pil_resize
from escsr.data.resizers import Resizer, downscale
from escsr.data.sets.manifest import Entry, Manifest
from escsr.errors import ConfigError, DataError
from escsr.files import sha256_of

__all__ = ["Preparation", "prepare", "sub_image_starts"]

_ANGLES = (15, 75)
"""Degrees; others are near to a picture as it is, which the samplers flip and turn by right angles."""

_EDGE = 2
"""Pixels at each side that bicubic interpolation mixes with what lies outside."""


@dataclass(frozen=True)
class Preparation:
    """A set that was prepared.

    Attributes:
        hr: Folder of the HR pictures or sub-images.
        lr: Folders of their LR pictures, by scale.
        num_sources: Source pictures that are in the set; each size of one counts, and each rotated one.
        num_images: HR pictures made of them, those of earlier runs included.
        num_skipped: Sources that an earlier run had done.
        failures: Sources that could not be used, and why.
        others: Names of sources of earlier runs that are not among those of this one; what was made of them
            is still in the folders, so that a training takes it too.
        fingerprint: sha256 over the settings and the sources' names and digests.
    """

    hr: Path
    lr: dict[int, Path]
    num_sources: int
    num_images: int
    num_skipped: int
    failures: tuple[tuple[Path, str], ...]
    others: tuple[str, ...]
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
class _Source:
    """A picture, or a smaller or rotated copy of one.

    Attributes:
        path: Its file.
        factor: The part of its size.
        angle: Degrees counterclockwise.
    """

    path: Path
    factor: float = 1
    angle: float = 0


@dataclass(frozen=True)
class _Settings:
    """All that the result depends on beside the sources."""

    sub_image: int | None
    step: int | None
    lr: Resizer
    scale: list[int]
    format: int = 1

    def __post_init__(self) -> None:
        if self.lr not in get_args(Resizer):
            raise ConfigError(f"lr must be one of {', '.join(get_args(Resizer))}, not {self.lr!r}.")
        if any(s < 2 for s in self.scale):
            raise ConfigError(f"scale must be 2 or more, not {min(self.scale)}.")
        if self.sub_image is None and self.step is not None:
            raise ConfigError("step is for sub-images; give sub_image too.")
        if any(side is not None and (side < 1 or side % self.unit) for side in (self.sub_image, self.step)):
            raise ConfigError(
                f"sub_image {self.sub_image} and step {self.step} must be positive multiples of "
                f"{self.unit}, so that LR pixels are whole."
            )

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
    resize: Sequence[float] = (),
    rotate: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Preparation:
    """Cuts pictures into sub-images and makes their LR; run again, it goes on where it stopped.

    HR goes to `HR/`, LR to `LR_<resizer>/X2/` and so on, all as PNG, named as the sources: "0001.png",
    or "0001_s001.png" for sub-images, "0001x2.png" for LR. LR is made of the whole picture and then
    cut, so that sub-images have no borders of their own. `manifest.jsonl` keeps the settings and the
    digest of every source. Colour profiles and metadata are dropped. A picture at 0.7 of its size is a
    source of its own, "0001_at0.7", and so is a rotated one, "0001_rotated_at0.7".

    Args:
        sources: Folder or folders; of several, each has a subfolder of its name in the result.
        output: Folder of the set.
        sub_image: Side of the sub-images, HR pixels; None for whole pictures. The last ones of a row
            and of a column overlap more, so that all is covered; smaller pictures stay whole.
        step: HR pixels from one sub-image to the next; None for the side, without overlap.
        lr: What makes the LR pictures.
        scale: Scales to make LR for; none for HR alone. HR is cropped to a common multiple.
        resize: Parts of their size that pictures are taken at, above 0 and up to 1, less than 1 by Pillow's
            bicubic; none for as they are. Smaller ones show finer detail, and less of the noise and
            compression of their files.
        rotate: Also take every picture rotated by 15 to 75 degrees, an angle that follows from its name,
            and cut to the largest upright rectangle in it. Rotation by bicubic interpolation softens what
            it rotates, so `resize` should be 0.7 or less.
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
    settings = _Settings(sub_image, sub_image if step is None else step, lr, sorted(set(scale)))
    files = find_training_images(sources)
    targets = list(_targets(files, resize, rotate).items())
    folder = Path(output)
    _keep_apart({file.root for file in files}, folder)
    manifest = Manifest(folder / "manifest.jsonl", asdict(settings))
    entries, failures = [], []

    def work(index: int) -> Entry | tuple[Path, str]:
        name, source = targets[index]
        return _prepare_or_fail(name, source, manifest.entries.get(name), folder, settings)

    for result in in_threads(work, len(targets), on_progress):
        if not isinstance(result, Entry):
            failures.append(result)
            continue
        entries.append(result)
        if result is not manifest.entries.get(result.source):
            manifest.add(result)
    return Preparation(
        hr=folder / "HR",
        lr={s: folder / f"LR_{lr}" / f"X{s}" for s in settings.scale},
        num_sources=len(entries),
        num_images=sum(entry.pictures for entry in entries),
        num_skipped=sum(entry is manifest.entries.get(entry.source) for entry in entries),
        failures=tuple(failures),
        others=tuple(sorted(manifest.entries.keys() - dict(targets))),
        fingerprint=manifest.fingerprint(entries),
    )


def sub_image_starts(side: int, size: int, step: int) -> list[int]:
    """Where sub-images begin along a side: every `step`, and a last one that reaches the end.

    Args:
        side: Pixels of the picture.
        size: Pixels of a sub-image.
        step: From one to the next.

    Returns:
        The starts, rising; [0] where the side is no longer than a sub-image. A common divisor of the
        arguments divides them too.
    """
    return sorted({*range(0, side - size, step), max(0, side - size)})


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


def _targets(files: list[TrainingFile], resize: Sequence[float], rotate: bool) -> dict[str, _Source]:
    """Sources by their name in the result."""
    if not all(0 < factor <= 1 for factor in resize):
        raise ConfigError(f"resize takes numbers above 0 and up to 1, not {list(resize)}.")
    several = len({file.root for file in files}) > 1
    targets: dict[str, _Source] = {}
    copies = list(itertools.product((False, True) if rotate else (False,), dict.fromkeys(resize or (1,))))
    for file, (rotated, factor) in itertools.product(files, copies):
        base = f"{file.root.absolute().name}/{file.name}" if several else file.name
        name = base + ("_rotated" if rotated else "") + ("" if factor == 1 else f"_at{factor:g}")
        if name in targets:
            raise DataError(f"{file.path} and {targets[name].path} would both become {name}; rename one.")
        targets[name] = _Source(file.path, factor, _angle_of(file.name) if rotated else 0)
    return targets


def _angle_of(name: str) -> float:
    """Degrees by which a picture of a name is rotated, evenly spread over `_ANGLES`."""
    number = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:4], "big")
    return _ANGLES[0] + (_ANGLES[1] - _ANGLES[0]) * number / 2**32


def _prepare_or_fail(
    name: str, source: _Source, old: Entry | None, folder: Path, settings: _Settings
) -> Entry | tuple[Path, str]:
    """The entry of a source, `old` where it was made before; or the file and why it failed."""
    numbers = range(1, 1 + old.pictures) if old is not None else ()
    before = [path for number in numbers for path, _ in _files(name, number, folder, settings)]
    try:
        digest = sha256_of(source.path)
        if old is not None and old.sha256 == digest and all(path.exists() for path in before):
            return old
        written = _prepare_one(source, name, folder, settings)
    except OSError as error:
        return source.path, f"cannot be read ({error.strerror})."
    except DataError as error:
        return source.path, str(error).removeprefix(f"{source.path}: ")
    for path in set(before) - set(written):
        path.unlink(missing_ok=True)  # of the source as it was before
    return Entry(name, digest, len(written) // (1 + len(settings.scale)))


def _prepare_one(source: _Source, name: str, folder: Path, settings: _Settings) -> list[Path]:
    """Writes all pictures of a source; which ones."""
    hr = read_rgb(source.path)
    if source.angle:
        hr = _rotated(hr, source.angle)
    if source.factor < 1:
        height, width = (round(side * source.factor) for side in hr.shape[:2])
        hr = pil_resize(hr, (max(1, height), max(1, width)))
    height, width = (side // settings.unit * settings.unit for side in hr.shape[:2])
    if not height or not width:
        raise DataError(f"{source.path}: smaller than {settings.unit} pixels, which the scales need.")
    hr = np.ascontiguousarray(hr[:height, :width])
    size = settings.sub_image or max(height, width)
    rows, columns = (sub_image_starts(side, size, settings.step or size) for side in (height, width))
    whole = {1: hr} | {s: downscale(hr, s, settings.lr) for s in settings.scale}
    written = []
    for number, (top, left) in enumerate(itertools.product(rows, columns), 1):
        for target, s in _files(name, number, folder, settings):
            part = whole[s][top // s : (top + size) // s, left // s : (left + size) // s]
            images.write(images.Picture(np.ascontiguousarray(part)), target)
            written.append(target)
    return written


def _rotated(hr: NDArray[np.uint8], angle: float) -> NDArray[np.uint8]:
    """The largest upright rectangle of what is left of a picture that is rotated about its centre.

    Args:
        hr: (height, width, 3), 8 bits.
        angle: Degrees counterclockwise, above 0 and below 90.

    Returns:
        Of the same kind; empty where the picture is too small.
    """
    height, width = hr.shape[:2]
    rows, columns = _inscribed(height, width, math.radians(angle))
    bicubic = pyvips.Interpolate.new("bicubic")
    image = pyvips.Image.new_from_array(hr).rotate(-angle, interpolate=bicubic)
    top, left = (image.height - rows) // 2, (image.width - columns) // 2
    return np.ascontiguousarray(image.numpy()[top : top + rows, left : left + columns])


def _inscribed(height: int, width: int, angle: float) -> tuple[int, int]:
    """Height and width of the largest upright rectangle in a rotated one, less `_EDGE`; radians.

    Either its corners touch all four sides, or two of them lie on the longer ones.
    """
    sine, cosine = math.sin(angle), math.cos(angle)
    if min(height, width) <= 2 * sine * cosine * max(height, width):
        half = min(height, width) / 2
        rows, columns = (half / cosine, half / sine) if width >= height else (half / sine, half / cosine)
    else:
        double = cosine**2 - sine**2
        rows = (height * cosine - width * sine) / double
        columns = (width * cosine - height * sine) / double
    return max(0, int(rows) - 2 * _EDGE), max(0, int(columns) - 2 * _EDGE)


def _files(source: str, number: int, folder: Path, settings: _Settings) -> list[tuple[Path, int]]:
    """HR and LR files of one sub-image, with their scales."""
    name = source if settings.sub_image is None else f"{source}_s{number:03}"
    lr = folder / f"LR_{settings.lr}"
    return [
        (folder / "HR" / f"{name}.png", 1),
        *((lr / f"X{s}" / f"{lr_name(name, s)}.png", s) for s in settings.scale),
    ]
