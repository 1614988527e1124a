"""Segments of JPEG that libvips does not read or write as they should be."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["MOST_XMP", "add_jfif", "add_xmp", "change_jpeg_exif", "has_segment", "read_xmp"]

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXIF = b"Exif\0\0"
_LEADING = (b"\xff\xe0", b"\xff\xe1")
"""JFIF and EXIF, which other segments follow."""

MOST_XMP = 65_502
"""Bytes of XMP that a segment may hold, by Adobe's XMP specification, part 3."""

_MOST_DPI = 65535
_MOST_BYTES = 65_533
"""That a segment may hold."""


def read_xmp(path: str | os.PathLike[str]) -> bytes:
    """The first packet of XMP in a file, where libvips may take an extension of it that stands before.

    Returns:
        The packet; no bytes where there is none.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file:
        for marker, size in _segments(file):
            if marker == 0xE1 and file.read(len(_XMP)) == _XMP:
                return file.read(max(0, size - len(_XMP)))
    return b""


def has_segment(path: str | os.PathLike[str], marker: int, start: bytes) -> bool:
    """Whether a segment before the pixels has a marker and starts with some bytes.

    Args:
        path: A JPEG file.
        marker: Second byte of the marker, such as 0xE2 of APP2.
        start: What follows the size.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file:
        return any(found == marker and file.read(len(start)) == start for found, _ in _segments(file))


def _segments(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Second byte of the marker and size of each segment before the pixels, with the file at its data."""
    place = 2
    while True:
        file.seek(place)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] in (0xD9, 0xDA):  # the end, or the pixels
            return
        if head[1] == 0xFF:  # which may fill room before a segment
            place += 1
            continue
        size = int.from_bytes(head[2:], "big")
        yield head[1], size - 2
        place += 2 + size


def change_jpeg_exif(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Replaces the EXIF of a file, where it has some and the new one fits, in place.

    Args:
        path: A JPEG file.
        change: From the block to the new one, both with the Exif prefix.

    Raises:
        OSError: The file cannot be read or written.
    """
    data, place = path.read_bytes(), 2
    while data[place : place + 2] in _LEADING:
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        block = data[place + 4 : end]
        if block.startswith(_EXIF):
            changed = change(block)
            if changed != block and len(changed) <= _MOST_BYTES:
                segment = struct.pack(">HH", 0xFFE1, 2 + len(changed)) + changed
                path.write_bytes(data[:place] + segment + data[end:])
            return
        place = end


def add_jfif(path: Path, pixels_per_mm: tuple[float, float]) -> None:
    """Tells the resolution in a JPEG file: libvips does so only where it writes EXIF."""
    across, down = (round(25.4 * resolution) for resolution in pixels_per_mm)
    if not (0 < across <= _MOST_DPI and 0 < down <= _MOST_DPI):
        return
    data = path.read_bytes()
    segment = struct.pack(">HH5sHBHHBB", 0xFFE0, 16, b"JFIF\0", 0x0101, 1, across, down, 0, 0)
    path.write_bytes(data[:2] + segment + data[2:])


def add_xmp(path: Path, xmp: bytes) -> None:
    """Adds XMP to a JPEG file: libvips leaves out what is longer than 60,000 bytes.

    Args:
        path: The file, without XMP.
        xmp: Up to `MOST_XMP` bytes.
    """
    data, place = path.read_bytes(), 2
    while data[place : place + 2] in _LEADING:
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    segment = struct.pack(">HH", 0xFFE1, 2 + len(_XMP) + len(xmp)) + _XMP + xmp
    path.write_bytes(data[:place] + segment + data[place:])
