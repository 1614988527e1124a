"""Raw files of cameras, through rawpy (LibRaw): developed as the camera would, in 16 bits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from escsr.images.formats import Format, package_of
from escsr.images.picture import Picture
from escsr.images.unreadable import damaged, reason

__all__ = ["read", "read_header"]

_TURNED = (5, 6)
"""LibRaw's numbers of a camera that was held upright, 90° to either side."""


def read_header(path: str | os.PathLike[str], format: Format) -> tuple[int, int, int]:
    """Width, height and number of channels of the developed picture.

    Raises:
        ImageError: The file is damaged, or the package is not installed.
    """
    with _opened(path, format) as raw:
        size = raw.sizes
        sides = (size.iwidth, size.iheight)
        return (*(sides[::-1] if size.flip in _TURNED else sides), 3)


def read(path: str | os.PathLike[str], format: Format) -> Picture:
    """Develops a raw file: white balance of the camera, its brightness, sRGB, upright.

    Raises:
        ImageError: The file is damaged, or the package is not installed.
    """
    with _opened(path, format) as raw:
        settings = {"use_camera_wb": True, "no_auto_bright": True, "output_bps": 16}
        pixels = raw.postprocess(output_color=package_of(format, path).ColorSpace.sRGB, **settings)
    notes = ("camera raw, developed to sRGB with the camera's white balance; its metadata is not kept",)
    return Picture(np.ascontiguousarray(pixels), notes=notes)


@contextmanager
def _opened(path: str | os.PathLike[str], format: Format) -> Iterator[Any]:
    rawpy = package_of(format, path)
    try:
        with open(path, "rb") as file, rawpy.imread(file) as raw:
            yield raw
    except (rawpy.LibRawError, rawpy.NotSupportedError) as error:
        why = error.args[0] if error.args else error
        raise damaged(path, reason(why.decode() if isinstance(why, bytes) else why)) from error
