"""HEIC, the photographs of telephones, through pillow-heif."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from escsr.images.colour_tags import CICP, cicp_tags
from escsr.images.conversion import as_colour
from escsr.images.formats import Format, package_of
from escsr.images.metadata import ICC, fitted
from escsr.images.picture import Picture
from escsr.images.unreadable import damaged, reason
from escsr.images.value_range import from_upper_bits

__all__ = ["read", "read_header", "write"]

_BLOCKS = {"exif": "exif-data", "xmp": "xmp-data", "icc_profile": ICC}
_BT601, _BT2020 = 6, 9
"""Numbers of ITU-T H.273."""

_MODES = {3: "RGB", 4: "RGBA"}


def read_header(path: str | os.PathLike[str], format: Format) -> tuple[int, int, int]:
    """Width, height and number of channels.

    Raises:
        ImageError: The file is damaged, or the package is not installed.
    """
    file, _ = _opened(path, format)
    return file.size[0], file.size[1], 4 if "A" in file.mode.upper() else 3


def read(path: str | os.PathLike[str], format: Format) -> Picture:
    """Reads the main picture of a file, upright.

    Raises:
        ImageError: The file is damaged, or the package is not installed.
    """
    file, count = _opened(path, format)
    try:
        pixels = np.asarray(file)
    except Exception as error:  # what libheif throws depends on its version
        raise damaged(path, reason(error)) from error
    bits = int(file.info.get("bit_depth", 8))
    pixels = from_upper_bits(pixels, bits) if pixels.dtype == np.uint16 else pixels
    width, height = file.size
    metadata = {ours: bytes(file.info[name]) for name, ours in _BLOCKS.items() if file.info.get(name)}
    if nclx := file.info.get("nclx_profile"):
        metadata |= cicp_tags(nclx["color_primaries"], nclx["transfer_characteristics"])
    return Picture(
        np.ascontiguousarray(pixels).reshape(height, width, -1),
        fitted(metadata, width, height),
        bits=bits if bits > 8 else None,
        notes=(f"the main one of {count} pictures",) if count > 1 else (),
    )


def write(picture: Picture, path: Path, format: Format, quality: int, subsampling: str) -> None:
    """Writes a picture of 8 bits, or of 10 where it has 16.

    Args:
        picture: 8 or 16 bits.
        path: The file.
        format: HEIC.
        quality: 1 to 100.
        subsampling: "444" or "420".

    Raises:
        OSError: Writing fails.
    """
    picture = as_colour(picture) if picture.is_grey else picture
    pixels, kept = picture.pixels, picture.metadata
    height, width, channels = pixels.shape
    mode = _MODES[channels] + (";16" if pixels.dtype == np.uint16 else "")
    options: dict[str, Any] = {name: kept[ours] for name, ours in _BLOCKS.items() if ours in kept}
    options |= {"quality": quality, "chroma": subsampling}
    if CICP in kept:
        primaries, transfer = kept[CICP][:2]
        options |= {"color_primaries": primaries, "transfer_characteristics": transfer}
        options |= {
            "matrix_coefficients": _BT2020 if primaries == _BT2020 else _BT601,
            "full_range_flag": 1,
        }
        options["save_nclx_profile"] = True
    try:
        package_of(format, path).encode(mode, (width, height), pixels.tobytes(), os.fspath(path), **options)
    except Exception as error:  # what libheif throws depends on its version
        raise OSError(reason(error)) from error


def _opened(path: str | os.PathLike[str], format: Format) -> tuple[Any, int]:
    """The main picture of a file, and how many there are."""
    package = package_of(format, path)
    try:
        file = package.open_heif(os.fspath(path), convert_hdr_to_8bit=False)
        return file[file.primary_index], len(file)
    except Exception as error:  # what libheif throws depends on its version
        raise damaged(path, reason(error)) from error
