"""EXIF fitted to its picture; EXIF and IPTC of TIFF files, which libvips passes over or cuts."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from escsr.images.tiff import LONG, RESOLUTION_UNIT, SHORT, SIZES, Entries, Tiff, reordered

__all__ = [
    "completed_exif",
    "exif_orientation",
    "exif_resolution",
    "fitted_exif",
    "read_exif",
    "read_iptc",
    "write_exif",
]

_PREFIX = b"Exif\x00\x00"
_IPTC, _UNDEFINED = 33723, 7
_IFD0, _EXIF, _GPS, _INTEROPERABILITY = 0, 34665, 34853, 40965
_SUB_IFDS = {_IFD0: (_EXIF, _GPS), _EXIF: (_INTEROPERABILITY,), _GPS: (), _INTEROPERABILITY: ()}
"""For each IFD, named by the tag that points to it, the tags that point on from there."""

_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 316, 33432, 0x4746, 0x4749, *range(0x9C9B, 0x9CA0))
"""ImageDescription, Make, Model, Software, DateTime, Artist, HostComputer, Copyright, Rating,
RatingPercent, and the texts of Windows: XPTitle, XPComment, XPAuthor, XPKeywords and XPSubject."""

_OWN_SIZE = {0xA002: 256, 0xA003: 257}  # PixelXDimension: ImageWidth, PixelYDimension: ImageLength
_ORIENTATION = 0x0112
_WIDTHS, _HEIGHTS = (0x0100, 0xA002), (0x0101, 0xA003)
"""ImageWidth and PixelXDimension, ImageLength and PixelYDimension."""

_RESOLUTIONS = (0x011A, 0x011B)

_THUMBNAILS = ((0x0201, 0x0202), (0x0111, 0x0117))
"""Tags of the starts and lengths of a JPEG, and of strips."""


@dataclass(frozen=True)
class _Entry:
    """A tag's value: items of a TIFF type as little-endian bytes, or a sub-IFD by tag."""

    kind: int
    value: bytes | dict[int, _Entry]


_Fields = dict[int, _Entry]


def read_exif(path: str | os.PathLike[str]) -> bytes | None:
    """Reads the EXIF of a TIFF file's first picture, and only the bytes needed for it.

    Args:
        path: A TIFF file of either byte order.

    Returns:
        A block as JPEG carries it: descriptive tags, the Exif sub-IFD with its Interoperability, and
        the GPS sub-IFD. None where the file has none of these, is damaged, a BigTIFF or not a TIFF.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file, suppress(struct.error):
        tiff = Tiff(file)
        if fields := _fields(tiff, tiff.entries):
            return _PREFIX + struct.pack("<2sHI", b"II", 42, 8) + _serialised(fields, 8, "<", {}, bytes(4))
    return None


def read_iptc(path: str | os.PathLike[str]) -> bytes | None:
    """Reads the IPTC records of a TIFF file's first picture.

    They are bytes, whatever the type they are declared as: numbers of four bytes are not reordered.

    Args:
        path: A TIFF file of either byte order.

    Returns:
        The records; None where the file has none, is damaged, a BigTIFF or not a TIFF.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file, suppress(struct.error, KeyError):
        tiff = Tiff(file)
        kind, value = tiff.value(tiff.entries[_IPTC][1])
        return reordered(value, kind, tiff.order) or None
    return None


def write_exif(path: str | os.PathLike[str], exif: bytes, iptc: bytes = b"") -> None:
    """Adds EXIF to a TIFF file in place: descriptive tags and the Exif, Interoperability and GPS sub-IFDs.

    Nothing else of the block is taken over: no orientation, resolution or thumbnail. An Exif sub-IFD is
    given the picture's width and height. All is appended, the first IFD anew, before the header points
    there. The file is silently left untouched where the block is damaged or holds none of these, and
    where the file is damaged, a BigTIFF, not a TIFF, or would grow beyond 4 GiB.

    Args:
        path: A TIFF file of either byte order.
        exif: A block as JPEG carries it, of either byte order, with or without its Exif prefix.
        iptc: Records to add as well.

    Raises:
        OSError: The file cannot be read or written.
    """
    fields: _Fields = {_IPTC: _Entry(_UNDEFINED, iptc)} if iptc else {}
    with suppress(struct.error):
        block = Tiff(io.BytesIO(exif.removeprefix(_PREFIX)))
        fields |= _fields(block, block.entries)
    if fields:
        with open(path, "r+b") as file, suppress(struct.error):
            _append(file, fields)


def completed_exif(written: bytes, own: bytes) -> bytes:
    """EXIF as libvips wrote it, with what it left out of a picture's: tags that libexif does not know.

    Args:
        written: A block, with or without its Exif prefix.
        own: The picture's, of which descriptive tags and those of the sub-IFDs count, as in TIFF.

    Returns:
        The block as it was where nothing is missing, or where one of them is damaged.
    """
    block = written.removeprefix(_PREFIX)
    with suppress(struct.error):
        there, wanted = (Tiff(io.BytesIO(exif.removeprefix(_PREFIX))) for exif in (block, own))
        fields = _fields(there, there.entries, every=True)
        whole = _merged(fields, _fields(wanted, wanted.entries))
        if whole != fields:
            head = written[: len(written) - len(block)] + struct.pack("<2sHI", b"II", 42, 8)
            return head + _serialised(whole, 8, "<", {}, bytes(4))
    return written


def _merged(fields: _Fields, more: _Fields) -> _Fields:
    """Fields, and those of others that they lack."""
    merged = more | fields
    for tag in fields.keys() & more.keys():
        nested, others = fields[tag].value, more[tag].value
        if isinstance(nested, dict) and isinstance(others, dict):
            merged[tag] = _Entry(LONG, _merged(nested, others))
    return merged


def fitted_exif(exif: bytes, width: int, height: int) -> bytes:
    """EXIF for a picture of another size that stands upright.

    Orientation becomes 1 and sizes those given, where the first IFD and its Exif sub-IFD have such
    fields; the thumbnail's IFD is cut off, and its pixels become zeros. What is damaged stays as it is.

    Args:
        exif: A block as JPEG carries it, of either byte order, with or without its Exif prefix.
        width: Pixels of the picture.
        height: Pixels of the picture.

    Returns:
        The block, of the same length.
    """
    block = exif.removeprefix(_PREFIX)
    fitted = _without_thumbnail(block)
    sizes = dict.fromkeys(_WIDTHS, width) | dict.fromkeys(_HEIGHTS, height)
    with suppress(struct.error):
        tiff = Tiff(io.BytesIO(block))
        below = (tiff.directory(offset)[0] for offset in tiff.numbers(tiff.entries, _EXIF)[:1])
        for entries in chain([tiff.entries], below):
            for tag, (place, raw) in entries.items():
                if struct.unpack_from(tiff.order + "HI", raw, 2) not in ((SHORT, 1), (LONG, 1)):
                    continue
                if tag == _ORIENTATION:
                    struct.pack_into(tiff.order + "HIHH", fitted, place + 2, SHORT, 1, 1, 0)
                elif tag in sizes:
                    struct.pack_into(tiff.order + "HII", fitted, place + 2, LONG, 1, sizes[tag])
    return exif[: len(exif) - len(block)] + bytes(fitted)


def _without_thumbnail(block: bytes) -> bytearray:
    """An EXIF stream in which no IFD follows the first, and zeros stand where those kept small pictures.

    What the first IFD and those below it hold stays, should damage make a picture's place lead there.
    """
    blank = bytearray(block)
    with suppress(struct.error):
        tiff = Tiff(io.BytesIO(block))
        kept = [(0, 8), *_places(tiff, tiff.entries)]
        is_blank = _covered(_thumbnails(tiff), len(block)) & ~_covered(kept, len(block))
        np.frombuffer(blank, np.uint8)[is_blank] = 0
        blank[tiff.behind : tiff.behind + 4] = bytes(len(blank[tiff.behind : tiff.behind + 4]))
    return blank


def _places(tiff: Tiff, entries: Entries, ifd: int = _IFD0) -> Iterator[tuple[int, int]]:
    """Start and length of each part of an IFD and of those below it."""
    for tag, (place, raw) in entries.items():
        yield place - 2, 14  # before the first stands their number
        _, kind, count, start = struct.unpack(tiff.order + "HHII", raw)
        length = SIZES.get(kind, 0) * count
        if length > 4 and start + length <= tiff.size:
            yield start, length
        if tag in _SUB_IFDS[ifd]:
            with suppress(struct.error):
                for pointer in tiff.numbers(entries, tag)[:1]:
                    yield from _places(tiff, tiff.directory(pointer)[0], tag)


def _thumbnails(tiff: Tiff) -> Iterator[tuple[int, int]]:
    """Start and length of the pictures of the IFDs behind the first."""
    behind = tiff.behind
    with suppress(struct.error):
        while following := struct.unpack(tiff.order + "I", tiff.read(behind, 4))[0]:
            entries, behind = tiff.directory(following)
            for starts, lengths in _THUMBNAILS:
                stated = tiff.numbers(entries, lengths) or [tiff.size]
                yield from zip(tiff.numbers(entries, starts), stated, strict=False)


def _covered(places: Iterable[tuple[int, int]], size: int) -> NDArray[np.bool_]:
    """Which of some bytes stand in one of the places, by start and length."""
    changes = np.zeros(size + 1, np.int64)
    for start, length in places:
        changes[min(start, size)] += 1
        changes[min(start + length, size)] -= 1
    return changes.cumsum()[:size] > 0


def exif_orientation(exif: bytes) -> int:
    """The orientation, 1 to 8, that an EXIF block states; 1 where it does not.

    Args:
        exif: A block as JPEG carries it, of either byte order, with or without its Exif prefix.
    """
    with suppress(struct.error):
        tiff = Tiff(io.BytesIO(exif.removeprefix(_PREFIX)))
        stated = tiff.numbers(tiff.entries, _ORIENTATION)[:1]
        return stated[0] if stated and 1 <= stated[0] <= 8 else 1
    return 1


def exif_resolution(exif: bytes) -> tuple[float, float] | None:
    """Pixels per mm, across and down, that an EXIF block states; None where it does not.

    Args:
        exif: A block as JPEG carries it, of either byte order, with or without its Exif prefix.
    """
    with suppress(struct.error, KeyError, ZeroDivisionError):
        tiff = Tiff(io.BytesIO(exif.removeprefix(_PREFIX)))
        unit = {(): 25.4, (2,): 25.4, (3,): 10.0}[tuple(tiff.numbers(tiff.entries, RESOLUTION_UNIT))]
        across, down = (struct.unpack("<II", tiff.value(tiff.entries[tag][1])[1]) for tag in _RESOLUTIONS)
        return across[0] / across[1] / unit, down[0] / down[1] / unit
    return None


def _fields(tiff: Tiff, entries: Entries, ifd: int = _IFD0, *, every: bool = False) -> _Fields:
    """What EXIF has in an IFD and below it; of the first the descriptive tags, or every one."""
    fields: _Fields = {}
    for tag, (_, raw) in entries.items():
        if tag in _SUB_IFDS[ifd]:
            if len(pointers := tiff.numbers(entries, tag)) != 1:
                raise struct.error("not a pointer to an IFD")
            if nested := _fields(tiff, tiff.directory(pointers[0])[0], tag):
                fields[tag] = _Entry(LONG, nested)
        elif every or tag in _DESCRIPTIVE if ifd == _IFD0 else tag not in (_EXIF, _GPS, _INTEROPERABILITY):
            kind, value = tiff.value(raw)
            if value:
                fields[tag] = _Entry(kind, value)
    return fields


def _append(file: BinaryIO, fields: _Fields) -> None:
    """Appends fields to a TIFF file, with a first IFD that has them beside its old entries."""
    tiff = Tiff(file)
    old = {tag: raw for tag, (_, raw) in tiff.entries.items()}
    next_ifd = tiff.read(tiff.behind, min(4, tiff.size - tiff.behind)).ljust(4, b"\0")
    if _EXIF in fields and isinstance(exif := fields[_EXIF].value, dict):
        sizes = {tag: _Entry(*tiff.value(old[own])) for tag, own in _OWN_SIZE.items() if own in old}
        exif |= {tag: size for tag, size in sizes.items() if size.value}
    padding = bytes(tiff.size % 2)
    start = tiff.size + len(padding)
    tail = _serialised(fields, start, tiff.order, old, next_ifd)
    if start + len(tail) > 1 << 32:
        return
    file.seek(tiff.size)
    file.write(padding + tail)
    file.flush()  # the new end first, then what points there
    file.seek(4)
    file.write(struct.pack(tiff.order + "I", start))


def _serialised(fields: _Fields, start: int, order: str, old: dict[int, bytes], next_ifd: bytes) -> bytes:
    """An IFD to stand at an offset, its fields beside or instead of old entries, their values behind it."""
    entries = dict(old)
    behind = start + 2 + 12 * len(old.keys() | fields.keys()) + 4
    values = bytearray()
    for tag, entry in fields.items():
        offset = struct.pack(order + "I", behind + len(values))
        if isinstance(entry.value, dict):
            count, inline = 1, offset
            values += _serialised(entry.value, behind + len(values), order, {}, bytes(4))
        else:
            count = len(entry.value) // SIZES[entry.kind]
            inline = reordered(entry.value, entry.kind, order)
            if len(inline) > 4:
                values += inline + bytes(len(inline) % 2)
                inline = offset
        entries[tag] = struct.pack(order + "HHI4s", tag, entry.kind, count, inline)
    table = b"".join(raw for _, raw in sorted(entries.items()))
    return struct.pack(order + "H", len(entries)) + table + next_ifd + values
