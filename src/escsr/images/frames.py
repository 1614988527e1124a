"""Moving pictures: frames turned upright, and files that move where only one picture is read."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from escsr.images.formats import Format
from escsr.images.png_chunks import png_chunks

__all__ = ["moves", "upright"]

_SEQUENCE_BRAND = b"avis"


def upright(frames: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turns and mirrors frames as EXIF says.

    Args:
        frames: (N, H, W, C).
        orientation: EXIF's number, 1 to 8; another is passed over.

    Returns:
        (N, H, W, C), or (N, W, H, C) from 5 on.
    """
    if orientation in (5, 6, 7, 8):
        frames = frames.swapaxes(1, 2)
    if orientation in (3, 4, 7, 8):
        frames = frames[:, ::-1]
    if orientation in (2, 3, 6, 7):
        frames = frames[:, :, ::-1]
    return np.ascontiguousarray(frames)


def moves(path: str | os.PathLike[str], format: Format) -> bool:
    """Whether a PNG or AVIF file holds further frames, which are not read.

    Args:
        path: The file.
        format: Its format.

    Raises:
        OSError: The file cannot be read.
    """
    if format.name == "PNG":
        return b"acTL" in png_chunks(path)
    with open(path, "rb") as file:
        return format.name == "AVIF" and file.read(12)[8:] == _SEQUENCE_BRAND
