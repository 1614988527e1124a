"""Which files of a folder are pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from escsr.errors import DataError, NoImagesError
from escsr.images.formats import READABLE

__all__ = ["find_images"]


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """All files below a folder that bear a picture's suffix, sorted by path.

    Args:
        folder: The folder; hidden files and folders are passed over, links to folders not followed.

    Returns:
        The files.

    Raises:
        DataError: It is not a folder, or a part of it cannot be read.
        NoImagesError: It holds no pictures.
    """
    folder, paths = Path(folder), []
    try:
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder.")
        for parent, folders, files in os.walk(folder, onerror=_refuse):
            folders[:] = [name for name in folders if not name.startswith(".")]
            shown = (Path(parent, name) for name in files if not name.startswith("."))
            paths += [path for path in shown if path.suffix.lower() in READABLE and path.is_file()]
    except OSError as error:
        _refuse(error)
    if not paths:
        raise NoImagesError(f"{folder}: no pictures in it; looked for {', '.join(READABLE)}.")
    return sorted(paths)


def _refuse(error: OSError) -> NoReturn:
    raise DataError(f"{error.filename}: the folder cannot be read ({error.strerror}).") from error
