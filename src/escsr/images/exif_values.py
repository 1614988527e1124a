"""Values of EXIF that depend on where they stand or on its byte order: MakerNotes, and texts in UTF-16."""

from __future__ import annotations

import re
import struct
from contextlib import suppress

import numpy as np

from escsr.images.tiff import SIZES, reordered

__all__ = ["MAKER_NOTE", "is_bound_to_order", "moved_note", "reordered_value"]

MAKER_NOTE = 0x927C

_UNDEFINED = 7
_UTF16 = b"UNICODE\0"
"""How comments start whose text is UTF-16 in the byte order of EXIF."""

_TABLES = (0, 6, 8, 10, 12, 14, 16)
"""Where in a MakerNote its IFD may start, behind the name of the maker."""

_HEADER = re.compile(rb"II\*\0|MM\0\*")
"""Of TIFF: offsets in a note that has one count from there."""

_Pointer = tuple[int, int, int]
"""Where an offset stands in a note, the offset, and the bytes of what it points to."""


def moved_note(note: bytes, order: str, start: int, to: int) -> bytes:
    """A MakerNote for another place: offsets that count from the start of EXIF are adjusted.

    Canon, Sony, Panasonic and others count so; those of Nikon, Olympus, Fujifilm or Apple count from
    the start of the note. Which it is shows where they lead.

    Args:
        note: The note.
        order: Byte order of its EXIF, "<" or ">".
        start: Its place in the EXIF that it is from.
        to: Its new place.

    Returns:
        The note, of the same length; as it is where it holds no IFD, or counts from its own start.
    """
    order, _, end, pointers = _table(note, order)
    absolute = _within(pointers, start + end, start + len(note))
    if len(absolute) < max(1, len(_within(pointers, end, len(note)))):
        return note
    moved = bytearray(note)
    for place, offset, _ in absolute:
        struct.pack_into(order + "I", moved, place, offset - start + to)
    if _HEADER.match(note, len(note) - 8) and note[-4:] == struct.pack(order + "I", start):
        struct.pack_into(order + "I", moved, len(note) - 4, to)  # Canon notes where the note was
    return bytes(moved)


def is_bound_to_order(note: bytes, order: str) -> bool:
    """Whether a MakerNote can only be read in EXIF of the byte order that it is from, "<" or ">"."""
    _, is_stated, end, _ = _table(note, order)
    return end > 0 and not is_stated


def reordered_value(value: bytes, kind: int, order: str) -> bytes:
    """A value of a TIFF type, from little-endian to a byte order or back, comments in UTF-16 too."""
    if kind == _UNDEFINED and value.startswith(_UTF16) and order == ">":
        text = value[len(_UTF16) :]
        even = len(text) // 2 * 2
        return _UTF16 + np.frombuffer(text[:even], np.uint16).byteswap().tobytes() + text[even:]
    return reordered(value, kind, order)


def _table(note: bytes, order: str) -> tuple[str, bool, int, list[_Pointer]]:
    """Byte order of a note's IFD, whether the note states it, where the IFD ends, and its offsets.

    The end is 0 where there is no IFD, or one behind a header of TIFF.
    """
    stated = {
        start: {b"II": "<", b"MM": ">"}[mark[0]]
        for start in _TABLES
        if (mark := re.search(rb"II|MM", note[max(0, start - 4) : start]))
    }
    places = [] if _HEADER.search(note[:16]) else [*stated, *_TABLES]  # by chance, one may be elsewhere
    for start in places:
        found = stated.get(start, order)
        with suppress(struct.error):
            (count,) = struct.unpack_from(found + "H", note, start)
            pointers, larger = [], 0
            for place in range(start + 2, start + 2 + 12 * count, 12):
                tag, kind, items, offset = struct.unpack_from(found + "HHII", note, place)
                size = SIZES.get(kind, 0) * items
                if kind not in SIZES and (tag, kind) != (0, 0):  # some are left empty
                    break
                larger += size > len(note)  # as Sony's preview, which stands behind EXIF
                if size > 4:
                    pointers.append((place + 8, offset, size))
            else:
                if 2 * larger < count:
                    return found, start in stated, start + 2 + 12 * count, pointers
    return order, False, 0, []


def _within(pointers: list[_Pointer], start: int, end: int) -> list[_Pointer]:
    return [pointer for pointer in pointers if start <= pointer[1] <= end - pointer[2]]
