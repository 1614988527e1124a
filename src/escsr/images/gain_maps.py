"""Gain maps, by which screens show a photograph brighter than white, told by files; no result has one.

Sources: ISO 21496-1, annex C; ISO/IEC 14496-12 and 23008-12 (boxes and items). Apple's own kind is an
auxiliary picture.
"""

from __future__ import annotations

import os
import re

from escsr.images.formats import Format
from escsr.images.jpeg_segments import has_segment

__all__ = ["NO_GAIN_MAP", "has_gain_map"]

NO_GAIN_MAP = "its gain map (Ultra HDR) is not kept"

_APP2 = 0xE2
_JPEG = b"urn:iso:std:iso:ts:21496:-1\0"
_ITEM = rb"infe(?:\x02.{7}|\x03.{9})tmap"
"""The picture made brighter, an item of version 2 or 3: after flags, number and protection its type."""

_APPLE = rb"urn:com:apple:photo:2020:aux:hdrgainmap\0"
_MOST_BYTES = 1 << 20  # more than the items of a picture from a camera take
_FAR = 1 << 62  # behind the end of any file, and a place that can be sought


def has_gain_map(path: str | os.PathLike[str], format: Format) -> bool:
    """Whether a file tells of a gain map other than in XMP.

    Args:
        path: The file.
        format: Its format; no other than JPEG, HEIC and AVIF is looked at.

    Raises:
        OSError: The file cannot be read.
    """
    if format.name == "JPEG":
        return has_segment(path, _APP2, _JPEG)
    if format.name in ("HEIC", "AVIF"):
        return re.search(rb"%b|%b" % (_ITEM, _APPLE), _items(path), re.DOTALL) is not None
    return False


def _items(path: str | os.PathLike[str]) -> bytes:
    """The box that lists a file's items; no bytes where none is found."""
    with open(path, "rb") as file:
        while len(head := file.read(8)) == 8:
            size, header = int.from_bytes(head[:4], "big"), 8
            if size == 1:  # of 64 bits, which follows
                size, header = int.from_bytes(file.read(8), "big"), 16
            if head[4:] == b"meta":
                return file.read(min(max(0, size - header), _MOST_BYTES))
            if size < header:  # up to the end, or damaged
                break
            file.seek(min(size - header, _FAR), os.SEEK_CUR)
    return b""
