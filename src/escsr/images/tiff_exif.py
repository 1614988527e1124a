"""EXIF in TIFF files, which libvips neither reads nor writes: the block JPEG carries, out and in."""

from __future__ import annotations

import io
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

__all__ = ["read_exif", "write_exif"]

_PREFIX = b"Exif\x00\x00"
_IFD0, _EXIF, _GPS, _INTEROPERABILITY = 0, 34665, 34853, 40965
_SUB_IFDS = {_IFD0: (_EXIF, _GPS), _EXIF: (_INTEROPERABILITY,), _GPS: (), _INTEROPERABILITY: ()}
"""For each IFD, named by the tag that points to it, the tags that point on from there."""

_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 316, 33432)
"""ImageDescription, Make, Model, Software, DateTime, Artist, HostComputer and Copyright."""

_OWN_SIZE = {0xA002: 256, 0xA003: 257}  # PixelXDimension: ImageWidth, PixelYDimension: ImageLength
_LONG, _IFD = 4, 13
_SIZES = {1: 1, 2: 1, 3: 2, _LONG: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, _IFD: 4, 129: 1}
"""Bytes of one item of each TIFF type, from BYTE to DOUBLE, IFD, and the UTF-8 of EXIF 3."""

_MOST_BYTES = 1 << 24  # more than any EXIF holds: what asks for more of a file is damaged


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
        tiff = _Tiff(file)
        if fields := tiff.fields(tiff.first_ifd):
            return _PREFIX + struct.pack("<2sHI", b"II", 42, 8) + _serialised(fields, 8, "<", {}, bytes(4))
    return None


def write_exif(path: str | os.PathLike[str], exif: bytes) -> None:
    """Adds EXIF to a TIFF file in place: descriptive tags and the Exif, Interoperability and GPS sub-IFDs.

    Nothing else of the block is taken over: no orientation, resolution or thumbnail. An Exif sub-IFD is
    given the picture's width and height. All is appended, the first IFD anew, before the header points
    there. The file is silently left untouched where the block is damaged or holds none of these, and
    where the file is damaged, a BigTIFF, not a TIFF, or would grow beyond 4 GiB.

    Args:
        path: A TIFF file of either byte order.
        exif: A block as JPEG carries it, of either byte order, with or without its Exif prefix.

    Raises:
        OSError: The file cannot be read or written.
    """
    with open(path, "r+b") as file, suppress(struct.error):
        block = _Tiff(io.BytesIO(exif.removeprefix(_PREFIX)))
        if fields := block.fields(block.first_ifd):
            _append(file, fields)


class _Tiff:
    """A classic TIFF stream; its methods raise `struct.error` where it is damaged."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._unread = _MOST_BYTES
        self._visited: set[int] = set()
        self.size = stream.seek(0, os.SEEK_END)
        header = self._read(0, 8)
        self.order = ">" if header[:2] == b"MM" else "<"
        mark, version, self.first_ifd = struct.unpack(self.order + "2sHI", header)
        if mark not in (b"II", b"MM") or version != 42:
            raise struct.error("not a classic TIFF")

    def directory(self, offset: int) -> tuple[dict[int, bytes], bytes]:
        """An IFD as it is in the file: its entries by tag, and the pointer to the next IFD."""
        (count,) = struct.unpack(self.order + "H", self._read(offset, 2))
        behind = offset + 2 + 12 * count
        entries: dict[int, bytes] = {}
        for (raw,) in struct.iter_unpack("12s", self._read(offset + 2, 12 * count)):
            entries.setdefault(struct.unpack_from(self.order + "H", raw)[0], raw)
        return entries, self._read(behind, min(4, self.size - behind)).ljust(4, b"\0")

    def fields(self, offset: int, ifd: int = _IFD0) -> _Fields:
        """What EXIF has in an IFD and below it."""
        if offset in self._visited:
            raise struct.error("an IFD that is part of two")
        self._visited.add(offset)
        fields: _Fields = {}
        for tag, raw in self.directory(offset)[0].items():
            if tag in _SUB_IFDS[ifd]:
                kind, pointer = self.value(raw)
                if kind not in (_LONG, _IFD) or len(pointer) != 4:
                    raise struct.error("not a pointer to an IFD")
                if nested := self.fields(int.from_bytes(pointer, "little"), tag):
                    fields[tag] = _Entry(_LONG, nested)
            elif tag in _DESCRIPTIVE if ifd == _IFD0 else tag not in _SUB_IFDS:
                kind, value = self.value(raw)
                if value:
                    fields[tag] = _Entry(kind, value)
        return fields

    def value(self, raw: bytes) -> tuple[int, bytes]:
        """Type and little-endian value of an entry; no bytes where the type is unknown."""
        _, kind, count, offset = struct.unpack(self.order + "HHII", raw)
        size = _SIZES.get(kind, 0) * count
        data = raw[8 : 8 + size] if size <= 4 else self._read(offset, size)
        return kind, _reordered(data, kind, self.order)

    def _read(self, offset: int, size: int) -> bytes:
        self._unread -= size
        if offset + size > self.size or self._unread < 0:
            raise struct.error("outside of the file, or too much of it")
        self._stream.seek(offset)
        return self._stream.read(size)


def _append(file: BinaryIO, fields: _Fields) -> None:
    """Appends fields to a TIFF file, with a first IFD that has them beside its old entries."""
    tiff = _Tiff(file)
    old, next_ifd = tiff.directory(tiff.first_ifd)
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
            count = len(entry.value) // _SIZES[entry.kind]
            inline = _reordered(entry.value, entry.kind, order)
            if len(inline) > 4:
                values += inline + bytes(len(inline) % 2)
                inline = offset
        entries[tag] = struct.pack(order + "HHI4s", tag, entry.kind, count, inline)
    table = b"".join(raw for _, raw in sorted(entries.items()))
    return struct.pack(order + "H", len(entries)) + table + next_ifd + values


def _reordered(data: bytes, kind: int, order: str) -> bytes:
    """Items of a TIFF type, from little-endian to a byte order or back."""
    width = 4 if kind in (5, 10) else _SIZES.get(kind, 1)  # a rational is two numbers
    if order == "<" or width == 1:
        return data
    turned = bytearray(len(data))
    for byte in range(width):
        turned[byte::width] = data[width - 1 - byte :: width]
    return bytes(turned)
