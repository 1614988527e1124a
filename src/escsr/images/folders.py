"""Which files of a folder are pictures, and which are not."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from escsr.errors import DataError, NoImagesError
from escsr.images.formats import FORMAT_OF, READABLE, WRITABLE, is_installed

__all__ = ["find_images", "is_image", "iter_images", "other_files"]


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """All files below a folder that have a picture's ending, sorted by path.

    Args:
        folder: The folder; hidden files and folders are skipped, links to folders not followed, and
            camera raw files are skipped where the package for them is not installed.

    Returns:
        The files.

    Raises:
        DataError: It is not a folder, or a part of it cannot be read.
        NoImagesError: It holds no pictures.
    """
    folder = Path(folder)
    paths = list(iter_images(folder))
    if not paths:
        others = ", ".join(f"{count} {kind}" for kind, count in other_files(folder).most_common(5))
        raise NoImagesError(f"{folder}: no pictures in it{f', only {others}' if others else ''}.")
    return sorted(paths)


def iter_images(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """The files of `find_images` as they come, unsorted; there may be none, or more than memory holds.

    Raises:
        DataError: It is not a folder, or a part of it cannot be read.
    """
    return (path for path in _shown_files(Path(folder)) if is_image(path))


def other_files(folder: str | os.PathLike[str]) -> Counter[str]:
    """How many files of which endings `find_images` skips in a folder.

    Args:
        folder: The folder; hidden files do not count.

    Returns:
        Numbers of files by ending, ".txt"; files without an ending count as "without an ending".

    Raises:
        DataError: It is not a folder, or a part of it cannot be read.
    """
    others = (path for path in _shown_files(Path(folder)) if not is_image(path))
    return Counter(path.suffix.lower() or "without an ending" for path in others)


def _shown_files(folder: Path) -> Iterator[Path]:
    try:
        if not folder.is_dir():
            is_file = folder.is_file()
            raise DataError(
                f"{folder}: {'is a file; give a folder' if is_file else 'there is no such folder'}."
            )
        for parent, folders, files in os.walk(folder, onerror=_refuse):
            folders[:] = [name for name in folders if not name.startswith(".")]
            shown = (Path(parent, name) for name in files if not name.startswith("."))
            yield from (path for path in shown if path.is_file())
    except OSError as error:
        _refuse(error)


def is_image(path: str | os.PathLike[str]) -> bool:
    """Whether a name has a picture's ending, of a format that can be read here."""
    suffix = Path(path).suffix.lower()
    return suffix in READABLE and (suffix in WRITABLE or is_installed(FORMAT_OF[suffix]))


def _refuse(error: OSError) -> NoReturn:
    raise DataError(f"{error.filename}: the folder cannot be read ({error.strerror}).") from error
