"""Segments of JPEG that libvips does not write as they should be."""

from __future__ import annotations

import struct
from pathlib import Path

__all__ = ["MOST_XMP", "add_jfif", "add_xmp"]

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_LEADING = (b"\xff\xe0", b"\xff\xe1")
"""JFIF and EXIF, which other segments follow."""

MOST_XMP = 65_502
"""Bytes of XMP that a segment may hold, by Adobe's XMP specification, part 3."""

_MOST_DPI = 65535


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
