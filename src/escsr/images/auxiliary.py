"""Pictures that photographs carry beside the one seen: told by files, and kept by no result.

Gain maps, by which screens show a photograph brighter than white; depth maps; mattes of people.
Sources: ISO 21496-1, annex C; ISO/IEC 14496-12 and 23008-12 (boxes, items, auxiliary pictures); ISO/IEC
23000-22 (MIAF). Types that start with urn:com:apple are Apple's own.
"""

from __future__ import annotations

import os
import re

from escsr.images.formats import Format
from escsr.images.jpeg_segments import has_segment

__all__ = ["NO_DEPTH_MAP", "NO_GAIN_MAP", "NO_MATTES", "auxiliary_losses"]

NO_GAIN_MAP = "its gain map (Ultra HDR) is not kept"
NO_DEPTH_MAP = "its depth map is not kept"
NO_MATTES = "its mattes of people or the sky are not kept"

_APP2 = 0xE2
_JPEG = b"urn:iso:std:iso:ts:21496:-1\0"
_BRIGHTER = rb"infe(?:\x02.{7}|\x03.{9})tmap"
"""The picture made brighter, an item of version 2 or 3: after flags, number and protection its type."""

_KINDS = {
    NO_GAIN_MAP: rb"%b|urn:com:apple:photo:2020:aux:hdrgainmap\0" % _BRIGHTER,
    NO_DEPTH_MAP: rb"urn:mpeg:hevc:2015:auxid:2\0|urn:mpeg:mpegB:cicp:systems:auxiliary:depth\0",
    NO_MATTES: rb"urn:com:apple:photo:20\d\d:aux:[a-z]+matte\0",
}
_MOST_BYTES = 1 << 20  # more than the items of a picture from a camera take
_FAR = 1 << 62  # behind the end of any file, and a place that can be sought


def auxiliary_losses(path: str | os.PathLike[str], format: Format) -> list[str]:
    """Notes on the pictures beside a file's own that are not kept, but for those which XMP tells of.

    Args:
        path: The file.
        format: Its format; no other than JPEG, HEIC and AVIF is looked at.

    Raises:
        OSError: The file cannot be read.
    """
    if format.name == "JPEG":
        return [NO_GAIN_MAP] if has_segment(path, _APP2, _JPEG) else []
    items = _items(path) if format.name in ("HEIC", "AVIF") else b""
    return [note for note, kind in _KINDS.items() if re.search(kind, items, re.DOTALL)]


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
