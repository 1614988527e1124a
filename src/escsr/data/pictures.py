"""Training pictures as files: which there are, which LR belongs to which HR, and their 8-bit pixels."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from escsr import images
from escsr.data.sets.known_sets import locate
from escsr.errors import DataError, EscError
from escsr.images.conversion import held_by

__all__ = [
    "Folders",
    "TrainingFile",
    "find_pairs",
    "find_training_images",
    "find_unmixed",
    "fit_pair",
    "in_threads",
    "lr_name",
    "match_pairs",
    "read_headers",
    "read_photo",
    "read_rgb",
    "read_sizes",
    "read_uint8",
]

Folders = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One folder, or several that are one set."""

_HR_FOLDER = re.compile(r"(^|[^a-z])(hr|gt)([^a-z]|$)|^gtmod\d+$", re.IGNORECASE)
_LR_FOLDER = re.compile(r"(^|[^a-z])lr([^a-z]|$)|^lrbic|^x\d$", re.IGNORECASE)

_T = TypeVar("_T")
_THREADS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class TrainingFile:
    """A picture of a set.

    Attributes:
        path: The file.
        root: The folder given, below which it lies.
        name: Its place below that folder, without the suffix, with forward slashes.
    """

    path: Path
    root: Path
    name: str


def find_training_images(folders: Folders) -> list[TrainingFile]:
    """All pictures of one folder or several, folder by folder, sorted by path within each.

    Args:
        folders: The folders, searched with their subfolders.

    Returns:
        The pictures, each once.

    Raises:
        DataError: There is no such folder, no folder at all, one lies within another, a file has two
            names, or one is the root of a known set, whose LR or test pictures must not be taken for
            more HR ones.
        NoImagesError: One of them holds no pictures.
    """
    files = [
        TrainingFile(path, root, path.relative_to(root).with_suffix("").as_posix())
        for root in _as_paths(folders)
        for path in find_unmixed(root)
    ]
    first: dict[Path, TrainingFile] = {}
    for file in files:
        same = first.setdefault(file.path.resolve(), file)
        if same.root != file.root or (same is not file and same.path == file.path):
            raise DataError(f"{same.root} and {file.root} share pictures; give each folder once.")
        if same is not file:
            raise DataError(f"{same.path} and {file.path} are one file; remove one of the names.")
    return files


def find_unmixed(root: Path) -> list[Path]:
    """The pictures below a folder, sorted, refused where HR and LR ones would be taken for one kind.

    Raises:
        DataError: There is no such folder, or it holds HR pictures in one subfolder and LR in another, as
            the root of a test set does.
        NoImagesError: It holds no pictures.
    """
    for located in locate(root):
        if located.hr.resolve() != root.resolve():
            raise DataError(
                f"{root} holds {located.known.name} with more than its HR pictures; give {located.hr}."
            )
    paths = images.find_images(root)
    subfolders = sorted({parent for path in paths for parent in path.relative_to(root).parents})
    high = [folder for folder in subfolders if _HR_FOLDER.search(folder.name)]
    low = [folder for folder in subfolders if _LR_FOLDER.search(folder.name)]
    if high and low:
        raise DataError(f"{root} holds HR and LR pictures, as in {low[0]}; give {root / high[0]}.")
    return paths


def find_pairs(hr: Folders, lr: Folders, scale: int) -> list[tuple[TrainingFile, TrainingFile]]:
    """HR pictures with the LR pictures of the same name, as "0001" or, the usual way, "0001x2".

    Args:
        hr: Folder or folders of HR pictures.
        lr: Folder or folders of LR pictures, as many, in the same order.
        scale: Scale r.

    Returns:
        Pairs (HR, LR), in the order of `find_training_images(hr)`.

    Raises:
        DataError: An HR picture has no LR picture, or the folders are not as many.
    """
    pairs = []
    for large, small in match_pairs(hr, lr, scale)[0]:
        if small is None:
            folders = ", ".join(str(folder) for folder in _as_paths(lr))
            raise DataError(
                f"{folders}: no LR picture for {large.path.name}; looked for "
                f"{lr_name(large.name, scale)} and {large.name} with any suffix."
            )
        pairs.append((large, small))
    return pairs


def match_pairs(
    hr: Folders, lr: Folders, scale: int
) -> tuple[list[tuple[TrainingFile, TrainingFile | None]], list[TrainingFile]]:
    """As `find_pairs`, but tells what has no partner.

    Returns:
        Every HR picture with its LR picture or None, and the LR pictures that belong to none.

    Raises:
        DataError: The folders are not as many.
    """
    hr_roots, lr_roots = _as_paths(hr), _as_paths(lr)
    if len(hr_roots) != len(lr_roots):
        raise DataError(f"{len(hr_roots)} HR folders and {len(lr_roots)} LR folders; give one for each.")
    by_name = [{file.name: file for file in find_training_images(root)} for root in lr_roots]
    pairs: list[tuple[TrainingFile, TrainingFile | None]] = []
    for file in find_training_images(hr):
        small = by_name[hr_roots.index(file.root)]
        pairs.append((file, small.pop(lr_name(file.name, scale), None) or small.pop(file.name, None)))
    return pairs, [file for small in by_name for file in small.values()]


def lr_name(name: str, scale: float) -> str:
    """The usual name of an LR picture: "0001" at ×2 is "0001x2"; it may also be named as its HR picture."""
    return f"{name}x{scale:g}"


def read_photo(path: Path) -> NDArray[np.uint8]:
    """Reads a picture of any kind as uint8 RGB (H, W, 3).

    16 bits are rounded, linear light gets sRGB's curve and is cut at white, grey becomes RGB, opacity is
    dropped; colours stay in the picture's own space.

    Raises:
        DataError: It cannot be read.
    """
    try:
        colour = held_by(images.read(path), images.WRITABLE[".jpg"]).colour
    except EscError as error:
        raise DataError(str(error)) from error
    return np.array(np.broadcast_to(colour, (*colour.shape[:2], 3)))


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """As `read_uint8`, but grey becomes RGB: uint8 (H, W, 3)."""
    colour = read_uint8(path)
    return np.array(np.broadcast_to(colour, (*colour.shape[:2], 3)))


def read_uint8(path: Path) -> NDArray[np.uint8]:
    """Reads a picture to train or to measure on, uint8 (H, W, 1 or 3); opacity is dropped.

    Raises:
        DataError: It cannot be read, or has more than 8 bits.
    """
    try:
        colour = images.read(path).colour
    except EscError as error:
        raise DataError(str(error)) from error
    if colour.dtype != np.uint8:
        raise DataError(
            f"{path}: pictures to train or measure on must have 8 bits, not {colour.dtype.itemsize * 8}."
        )
    return colour


def read_headers(paths: Sequence[Path]) -> list[images.Header]:
    """Headers of pictures, in their order.

    Raises:
        DataError: One is not a picture.
    """
    try:
        return list(in_threads(lambda index: images.read_header(paths[index]), len(paths)))
    except EscError as error:
        raise DataError(str(error)) from error


def read_sizes(paths: Sequence[Path]) -> NDArray[np.int64]:
    """Rows and columns of pictures from their headers, int64 (N, 2).

    Raises:
        DataError: One is not a picture.
    """
    sizes = [(header.height, header.width) for header in read_headers(paths)]
    return np.array(sizes, np.int64).reshape(-1, 2)


def fit_pair(hr: NDArray[np.uint8], lr: NDArray[np.uint8], scale: int, name: str) -> NDArray[np.uint8]:
    """Crops HR to what its LR covers, at the right and at the bottom.

    Args:
        hr: (H, W, C).
        lr: (h, w, C).
        scale: Scale r.
        name: For the error.

    Returns:
        (h·r, w·r, C).

    Raises:
        DataError: LR is not HR divided by `scale`.
    """
    height, width = (side * scale for side in lr.shape[:2])
    if not 0 <= hr.shape[0] - height < scale or not 0 <= hr.shape[1] - width < scale:
        raise DataError(
            f"{name}: LR has {lr.shape[1]}×{lr.shape[0]} pixels and HR {hr.shape[1]}×{hr.shape[0]}; "
            f"LR of ×{scale} would have {hr.shape[1] // scale}×{hr.shape[0] // scale}."
        )
    return hr[:height, :width]


def in_threads(
    work: Callable[[int], _T],
    count: int,
    on_progress: Callable[[int, int], None] | None = None,
    *,
    threads: int = _THREADS,
) -> Iterator[_T]:
    """Results of `work(0)`, `work(1)`, ... in this order, computed by threads a little ahead.

    Only a few results wait to be taken, so that a slow taker does not fill the memory.

    Args:
        work: What to do for an index.
        count: How many.
        on_progress: Called with (results that the taker is done with, count).
        threads: At most so many at a time.

    Yields:
        The results; the first error ends it.
    """
    with ThreadPoolExecutor(threads) as executor:
        futures = (executor.submit(work, index) for index in range(count))
        waiting = list(islice(futures, 2 * threads))
        try:
            for done in range(1, count + 1):
                result = waiting.pop(0).result()
                waiting += islice(futures, 1)
                yield result
                if on_progress is not None:
                    on_progress(done, count)
        finally:
            for future in waiting:
                future.cancel()


def _as_paths(folders: Folders) -> list[Path]:
    paths = [Path(folders)] if isinstance(folders, (str, os.PathLike)) else [Path(f) for f in folders]
    if not paths:
        raise DataError("No folder of pictures was given.")
    return paths
