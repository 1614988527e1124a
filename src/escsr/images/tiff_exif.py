"""EXIF and IPTC of TIFF files, which libvips passes over; tags of EXIF that libvips leaves out."""

from __future__ import annotations

import io
import os
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from escsr.images.exif_names import EXIF_IFD, IFD0, PREFIX, SUB_IFDS
from escsr.images.exif_values import MAKER_NOTE, is_bound_to_order, moved_note, reordered_value
from escsr.images.tiff import LONG, SIZES, Entries, Tiff, reordered

__all__ = ["completed_exif", "loses_maker_note", "read_exif", "read_iptc", "with_moved_note", "write_exif"]

_IPTC, _UNDEFINED = 33723, 7
_POINTERS = SUB_IFDS.keys() - {IFD0}

_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 316, 33432, 0x4746, 0x4749, *range(0x9C9B, 0x9CA0))
"""ImageDescription, Make, Model, Software, DateTime, Artist, HostComputer, Copyright, Rating,
RatingPercent, and the texts of Windows: XPTitle, XPComment, XPAuthor, XPKeywords and XPSubject."""

_OWN_SIZE = {0xA002: 256, 0xA003: 257}  # PixelXDimension: ImageWidth, PixelYDimension: ImageLength


@dataclass(frozen=True)
class _Value:
    """A tag's value.

    Attributes:
        kind: Its TIFF type.
        data: Its items as little-endian bytes; a MakerNote as it is.
        order: Byte order of the stream that it is from.
        place: Where it stands there.
    """

    kind: int
    data: bytes
    order: str = "<"
    place: int = 0


_Fields = dict[int, "_Value | _Fields | bytes"]
"""By tag, a value to be written, a sub-IFD, or the 12 bytes of an entry that stays as it is."""


def read_exif(path: str | os.PathLike[str]) -> bytes | None:
    """Reads the EXIF of a TIFF file's first picture, and only the bytes needed for it.

    Args:
        path: A TIFF or BigTIFF file of either byte order.

    Returns:
        A block as JPEG carries it, in the byte order of the file: descriptive tags, the Exif sub-IFD
        with its Interoperability, and the GPS sub-IFD. None where the file has none of these, is
        damaged or not a TIFF.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file, suppress(struct.error):
        tiff = Tiff(file, allow_big=True)
        if fields := _fields(tiff, tiff.entries):
            mark = b"II" if tiff.order == "<" else b"MM"
            head = PREFIX + struct.pack(tiff.order + "2sHI", mark, 42, 8)
            return head + _serialised(fields, 8, tiff.order)
    return None


def read_iptc(path: str | os.PathLike[str]) -> bytes | None:
    """Reads the IPTC records of a TIFF file's first picture.

    They are bytes, whatever the type they are declared as: numbers of four bytes are not reordered.

    Args:
        path: A TIFF or BigTIFF file of either byte order.

    Returns:
        The records; None where the file has none, is damaged or not a TIFF.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file, suppress(struct.error, KeyError):
        tiff = Tiff(file, allow_big=True)
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
    fields: _Fields = {_IPTC: _Value(_UNDEFINED, iptc)} if iptc else {}
    fields |= _fields_of(exif)
    if fields:
        with open(path, "r+b") as file, suppress(struct.error):
            _append(file, fields)


def loses_maker_note(exif: bytes) -> bool:
    """Whether a MakerNote cannot be read in TIFF files written here, as their byte order is another."""
    fields = _fields_of(exif)
    return _readable(fields, "<" if sys.byteorder == "little" else ">") != fields


def completed_exif(written: bytes, own: bytes) -> bytes:
    """EXIF as libvips wrote it, with what it left out of a picture's: tags that libexif does not know.

    What was written stays where it is, as MakerNotes may hold offsets; new IFDs are appended. Where
    libvips moved a MakerNote, its offsets are adjusted.

    Args:
        written: A block, with or without its Exif prefix.
        own: The picture's, of which descriptive tags and those of the sub-IFDs count, as in TIFF.

    Returns:
        The block as it was where nothing is missing, or where one of them is damaged.
    """
    block = with_moved_note(written, own).removeprefix(PREFIX)
    prefix = written[: len(written) - len(block)]
    with suppress(struct.error):
        tiff = Tiff(io.BytesIO(block))
        if completed := _completed(_readable(_fields_of(own), tiff.order), tiff, tiff.entries):
            padding = bytes(len(block) % 2)
            start = len(block) + len(padding)
            head = block[:4] + struct.pack(tiff.order + "I", start) + block[8:]
            tail = _serialised(completed, start, tiff.order, tiff.read(tiff.behind, 4))
            return prefix + head + padding + tail
    return prefix + block


def with_moved_note(written: bytes, own: bytes) -> bytes:
    """EXIF as libvips wrote it, with its MakerNote, where libexif moved it without knowing it, adjusted.

    Args:
        written: See `completed_exif`.
        own: See `completed_exif`.

    Returns:
        The block, of the same length.
    """
    new, old = _note(_fields_of(written)), _note(_fields_of(own))
    if new is None or old is None or (new.data, new.order) != (old.data, old.order) or len(old.data) <= 4:
        return written
    moved = moved_note(old.data, old.order, old.place, new.place)
    start = len(written) - len(written.removeprefix(PREFIX)) + new.place
    return written[:start] + moved + written[start + len(moved) :]


def _completed(fields: _Fields, tiff: Tiff, entries: Entries) -> _Fields:
    """An IFD's entries, and fields that it or an IFD below it lacks; nothing where none is missing."""
    missing: _Fields = {}
    for tag, field in fields.items():
        if tag not in entries:
            missing[tag] = field
        elif isinstance(field, dict):
            for pointer in tiff.numbers(entries, tag)[:1]:
                if below := _completed(field, tiff, tiff.directory(pointer)[0]):
                    missing[tag] = below
    return _old(entries) | missing if missing else {}


def _old(entries: Entries) -> _Fields:
    """Entries as they are."""
    return {tag: raw for tag, (_, raw) in entries.items()}


def _readable(fields: _Fields, order: str) -> _Fields:
    """Fields without a MakerNote that cannot be read in EXIF of a byte order."""
    exif, note = fields.get(EXIF_IFD), _note(fields)
    if isinstance(exif, dict) and note and note.order != order and is_bound_to_order(note.data, note.order):
        return fields | {EXIF_IFD: {tag: field for tag, field in exif.items() if tag != MAKER_NOTE}}
    return fields


def _note(fields: _Fields) -> _Value | None:
    exif = fields.get(EXIF_IFD)
    note = exif.get(MAKER_NOTE) if isinstance(exif, dict) else None
    return note if isinstance(note, _Value) else None


def _fields_of(exif: bytes) -> _Fields:
    """What a block as JPEG carries it has; nothing where it is damaged."""
    with suppress(struct.error):
        tiff = Tiff(io.BytesIO(exif.removeprefix(PREFIX)))
        return _fields(tiff, tiff.entries)
    return {}


def _fields(tiff: Tiff, entries: Entries, ifd: int = IFD0) -> _Fields:
    """What EXIF has in an IFD and below it; of the first the descriptive tags."""
    fields: _Fields = {}
    for tag, (_, raw) in entries.items():
        if tag in SUB_IFDS[ifd]:
            if len(pointers := tiff.numbers(entries, tag)) != 1:
                raise struct.error("not a pointer to an IFD")
            if nested := _fields(tiff, tiff.directory(pointers[0])[0], tag):
                fields[tag] = nested
        elif tag in _DESCRIPTIVE if ifd == IFD0 else tag not in _POINTERS:
            kind, data = tiff.value(raw)
            if data and kind in SIZES:  # the others are of BigTIFF
                data = reordered_value(data, kind, tiff.order) if kind == _UNDEFINED else data
                fields[tag] = _Value(kind, data, tiff.order, tiff.offset(raw))
    return fields


def _append(file: BinaryIO, fields: _Fields) -> None:
    """Appends fields to a TIFF file, with a first IFD that has them beside its old entries."""
    tiff = Tiff(file)
    fields = _old(tiff.entries) | _readable(fields, tiff.order)
    next_ifd = tiff.read(tiff.behind, min(4, tiff.size - tiff.behind)).ljust(4, b"\0")
    if isinstance(exif := fields.get(EXIF_IFD), dict):
        own = {tag: tiff.entries[of][1] for tag, of in _OWN_SIZE.items() if of in tiff.entries}
        sizes = {tag: _Value(*tiff.value(raw)) for tag, raw in own.items()}
        fields[EXIF_IFD] = exif | {tag: size for tag, size in sizes.items() if size.data}
    padding = bytes(tiff.size % 2)
    start = tiff.size + len(padding)
    tail = _serialised(fields, start, tiff.order, next_ifd)
    if start + len(tail) > 1 << 32:
        return
    file.seek(tiff.size)
    file.write(padding + tail)
    file.flush()  # the new end first, then what points there
    file.seek(4)
    file.write(struct.pack(tiff.order + "I", start))


def _serialised(fields: _Fields, start: int, order: str, next_ifd: bytes = bytes(4)) -> bytes:
    """An IFD to stand at an offset, and the values of its fields behind it."""
    behind = start + 2 + 12 * len(fields) + 4
    table, values = b"", bytearray()
    for tag, field in sorted(fields.items()):
        place = behind + len(values)
        kind, count, inline = LONG, 1, struct.pack(order + "I", place)
        if isinstance(field, bytes):
            table += field
            continue
        if isinstance(field, dict):
            values += _serialised(field, place, order)
        else:
            kind, count = field.kind, len(field.data) // SIZES[field.kind]
            value = reordered_value(field.data, kind, order)
            if tag == MAKER_NOTE:
                value = moved_note(value, field.order, field.place, place)
            if len(value) > 4:
                values += value + bytes(len(value) % 2)
            else:
                inline = value
        table += struct.pack(order + "HHI4s", tag, kind, count, inline)
    return struct.pack(order + "H", len(fields)) + table + next_ifd + values
