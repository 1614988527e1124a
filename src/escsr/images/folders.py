"""Which files of a folder are pictures, and which are not."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from escsr.errors import DataError, NoImagesError
from escsr.images.formats import FORMAT_OF, READABLE, WRITABLE, is_installed

__all__ = ["LINKS", "UNREAD", "find_images", "is_image", "iter_images", "iter_others", "other_files"]

LINKS = "links to folders"
"""Kind of the links that are not followed, beside the endings of files."""

UNREAD = (
    *(".bmp", ".dib", ".jp2", ".j2k", ".psd", ".psb", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico"),
    *(".dds", ".pcx", ".xcf", ".svg"),
)
"""Endings of pictures that cannot be read here."""


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
        others = ", ".join(map(_counted, other_files(folder).most_common(5)))
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
        Numbers of files by ending, ".txt"; files without an ending count as "without an ending", links to
        folders as `LINKS`.

    Raises:
        DataError: It is not a folder, or a part of it cannot be read.
    """
    return Counter(map(_kind, iter_others(folder)))


def iter_others(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """The files, and links to folders, that `find_images` skips, as they come; hidden ones left out.

    Raises:
        DataError: It is not a folder, or a part of it cannot be read.
    """
    shown = _shown_files(Path(folder), with_links=True)
    return (path for path in shown if not is_image(path) or path.is_dir())


def _kind(path: Path) -> str:
    return LINKS if path.is_dir() else path.suffix.lower() or "without an ending"


def _counted(counted: tuple[str, int]) -> str:
    kind, count = counted
    return "1 link to a folder" if (kind, count) == (LINKS, 1) else f"{count} {kind}"


def _shown_files(folder: Path, *, with_links: bool = False) -> Iterator[Path]:
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
            if with_links:
                yield from (path for path in (Path(parent, name) for name in folders) if path.is_symlink())
    except OSError as error:
        _refuse(error)


def is_image(path: str | os.PathLike[str]) -> bool:
    """Whether a name has a picture's ending, of a format that can be read here."""
    suffix = Path(path).suffix.lower()
    return suffix in READABLE and (suffix in WRITABLE or is_installed(FORMAT_OF[suffix]))


def _refuse(error: OSError) -> NoReturn:
    raise DataError(f"{error.filename}: the folder cannot be read ({error.strerror}).") from error
