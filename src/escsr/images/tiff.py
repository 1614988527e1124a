"""TIFF and BigTIFF, by their tables: read so that a damaged or hostile file costs little."""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

__all__ = [
    "Tiff",
    "check_checksums",
    "extra_channels",
    "is_camera_raw",
    "lab8_as_rgb",
    "reordered",
    "unsupported_space",
    "without_resolution",
]

SHORT, LONG, IFD = 3, 4, 13
LONG8, SIGNED_LONG8, IFD8 = 16, 17, 18
SIZES = {1: 1, 2: 1, SHORT: 2, LONG: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, IFD: 4, 129: 1}
"""Bytes of one item of each TIFF type, from BYTE to DOUBLE, IFD, and the UTF-8 of EXIF 3."""

_BIG_SIZES = SIZES | dict.fromkeys((LONG8, SIGNED_LONG8, IFD8), 8)
"""Of the types of BigTIFF."""

RESOLUTION_UNIT = 296
_SUBFILE, _SUB_IFDS, _DNG_VERSION = 254, 330, 50706
_BITS, _COMPRESSION, _PHOTOMETRIC = 258, 259, 262
_EXTRA_CHANNELS, _NUMBERS = 338, 339
_STARTS, _LENGTHS = (273, 324), (279, 325)
"""Of strips, and of tiles."""

_RGB, _YCBCR, _CIE_LAB = 2, 6, 8
_JPEG, _LOG_LUV = 7, 32845
_MULTIPLIED = 1
"""Kind of an extra channel: opacity that the colours are multiplied by."""

_PLAIN_SPACES = (0, 1, _RGB, 3, 4, 5, _CIE_LAB)
"""Grey of both directions, RGB, palettes, masks, CMYK and CIELAB."""

_COMPRESSIONS = {_YCBCR: (_JPEG,), _LOG_LUV: (34676, 34677)}
"""For spaces that libtiff converts, those in which it does so."""

_SPACE_NAMES = {
    _YCBCR: "YCbCr without JPEG compression",
    9: "ICCLab",
    10: "ITULab",
    32803: "the pattern of a camera's sensor",
    32844: "LogL",
    _LOG_LUV: "LogLuv",
}
_FLOATS = 3
_FLOAT_SPACES = {0: "floating grey in which 0 is white", 5: "CMYK of floating values"}
"""Those that libvips reads, but not as what they are."""

_DEFLATE = ([8], [32946])
_MOST_BYTES = 1 << 24  # more than any EXIF holds: what asks for more of a file is damaged
_PIECE = 1 << 16

Entries = dict[int, tuple[int, bytes]]
"""Of an IFD: by tag, the place and the bytes of the first entry that has it: 12, in BigTIFF 20."""


class Tiff:
    """A TIFF stream; its methods raise `struct.error` where it is damaged.

    Each IFD is read once, and no more bytes in all than an EXIF block could have.

    Args:
        stream: The stream.
        allow_big: Take BigTIFF too, whose numbers of items and offsets have 8 bytes.

    Attributes:
        order: "<" or ">", as `struct` names byte orders.
        entries: Of the first IFD.
        behind: Where the pointer from the first IFD to the next stands.
        size: Bytes of the stream.
    """

    def __init__(self, stream: BinaryIO, *, allow_big: bool = False) -> None:
        self._stream = stream
        self._unread = _MOST_BYTES
        self._visited: set[int] = set()
        self.size = stream.seek(0, os.SEEK_END)
        header = self.read(0, 8)
        self.order = ">" if header[:2] == b"MM" else "<"
        mark, version, first_ifd = struct.unpack(self.order + "2sHI", header)
        self._is_big = allow_big and version == 43
        if mark not in (b"II", b"MM") or not (self._is_big or version == 42):
            raise struct.error("not a TIFF that is known")
        self._sizes, self._long = (_BIG_SIZES, "Q") if self._is_big else (SIZES, "I")
        if self._is_big:
            (first_ifd,) = struct.unpack(self.order + "Q", self.read(8, 8))
        self.entries, self.behind = self.directory(first_ifd)

    def directory(self, offset: int) -> tuple[Entries, int]:
        """The entries of an IFD, and where its pointer to the next stands."""
        if offset in self._visited:
            raise struct.error("an IFD that is part of two")
        self._visited.add(offset)
        letter, head, length = ("Q", 8, 20) if self._is_big else ("H", 2, 12)
        (count,) = struct.unpack(self.order + letter, self.read(offset, head))
        start, behind = offset + head, offset + head + length * count
        table = struct.iter_unpack(f"{length}s", self.read(start, length * count))
        entries: Entries = {}
        for place, (raw,) in zip(range(start, behind, length), table, strict=True):
            entries.setdefault(struct.unpack_from(self.order + "H", raw)[0], (place, raw))
        return entries, behind

    def value(self, raw: bytes) -> tuple[int, bytes]:
        """Type and little-endian value of an entry; no bytes where the type is unknown."""
        _, kind, count, offset = struct.unpack(f"{self.order}HH2{self._long}", raw)
        size, room = self._sizes.get(kind, 0) * count, (len(raw) - 4) // 2
        data = raw[-room:][:size] if size <= room else self.read(offset, size)
        return kind, reordered(data, kind, self.order)

    def offset(self, raw: bytes) -> int:
        """Where the value of an entry stands, if it is longer than the entry has room for."""
        return int(struct.unpack(f"{self.order}HH2{self._long}", raw)[3])

    def numbers(self, entries: Entries, tag: int) -> list[int]:
        """Whole numbers of an entry; none where it is missing or of another type."""
        kind, data = self.value(entries[tag][1]) if tag in entries else (0, b"")
        letter = {SHORT: "<H", LONG: "<I", IFD: "<I", LONG8: "<Q", IFD8: "<Q"}.get(kind)
        return [] if letter is None else [number for (number,) in struct.iter_unpack(letter, data)]

    def with_short(self, tag: int, number: int) -> bytes:
        """The first IFD's entry of a tag, made one of a single SHORT."""
        value = struct.pack(self.order + "H", number).ljust(8 if self._is_big else 4, b"\0")
        return struct.pack(f"{self.order}HH{self._long}", tag, SHORT, 1) + value

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the stream, as many as asked for."""
        self._unread -= size
        if offset + size > self.size or self._unread < 0:
            raise struct.error("outside of the file, or too much of it")
        self._stream.seek(offset)
        return self._stream.read(size)


def check_checksums(path: str | os.PathLike[str], most_bytes: int) -> None:
    """Inflates the strips or tiles of a file once more, for the checksum that libtiff never looks at.

    It stops where a strip is whole, and zlib's checksum comes behind it: damage that does not end
    the stream would pass for pixels.

    Args:
        path: A TIFF file; one that is not compressed by deflate has no checksums.
        most_bytes: Of pixels; what inflates to more is left to libtiff.

    Raises:
        zlib.error: The data is damaged.
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file, suppress(struct.error):
        tiff = Tiff(file, allow_big=True)
        starts, lengths = (
            [number for tag in tags for number in tiff.numbers(tiff.entries, tag)]
            for tags in (_STARTS, _LENGTHS)
        )
        if tiff.numbers(tiff.entries, _COMPRESSION) not in _DEFLATE or sum(lengths) > tiff.size:
            return
        for start, length in zip(starts, lengths, strict=False):
            stream = zlib.decompressobj()
            file.seek(start)
            for place in range(start, start + length, _PIECE):
                most_bytes -= len(stream.decompress(file.read(min(_PIECE, start + length - place))))
                if most_bytes < 0:
                    return


def lab8_as_rgb(path: str | os.PathLike[str]) -> bytes | None:
    """A file of 8-bit CIELAB, which libvips refuses, as bytes that call the same values RGB.

    Returns:
        The whole file; None for every other one.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file, suppress(struct.error):
        tiff = Tiff(file, allow_big=True)
        space, bits = (tiff.numbers(tiff.entries, tag) for tag in (_PHOTOMETRIC, _BITS))
        if space == [_CIE_LAB] and set(bits) == {8}:
            data = bytearray(Path(path).read_bytes())
            place, raw = tiff.entries[_PHOTOMETRIC]
            data[place : place + len(raw)] = tiff.with_short(_PHOTOMETRIC, _RGB)
            return bytes(data)
    return None


def is_camera_raw(path: str | os.PathLike[str]) -> bool:
    """Whether a file is camera raw: a DNG, or one whose first picture is small, with others below it.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file, suppress(struct.error):
        tiff = Tiff(file, allow_big=True)
        is_small = any(kind & 1 for kind in tiff.numbers(tiff.entries, _SUBFILE))
        return _DNG_VERSION in tiff.entries or (is_small and _SUB_IFDS in tiff.entries)
    return False


def unsupported_space(path: str | os.PathLike[str]) -> str | None:
    """The colour space of a file whose values libtiff and libvips would take for others, in words.

    Returns:
        The words; None for what is read as it should be, and where the file is damaged.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file, suppress(struct.error):
        tiff = Tiff(file, allow_big=True)
        for space in tiff.numbers(tiff.entries, _PHOTOMETRIC)[:1]:
            converted = tiff.numbers(tiff.entries, _COMPRESSION)[:1]
            if space in _FLOAT_SPACES and _FLOATS in tiff.numbers(tiff.entries, _NUMBERS):
                return _FLOAT_SPACES[space]
            if space == _CIE_LAB and _MULTIPLIED in tiff.numbers(tiff.entries, _EXTRA_CHANNELS):
                return "CIELAB multiplied by opacity"
            if space not in _PLAIN_SPACES and not set(converted) & set(_COMPRESSIONS.get(space, ())):
                return _SPACE_NAMES.get(space, f"number {space}")
    return None


def extra_channels(path: str | os.PathLike[str]) -> list[int]:
    """What the channels behind those of colour are, by TIFF's numbers: 1 and 2 for opacity.

    Returns:
        A number for each; none where the file does not say, and where it is damaged.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file, suppress(struct.error):
        tiff = Tiff(file, allow_big=True)
        return tiff.numbers(tiff.entries, _EXTRA_CHANNELS)
    return []


def without_resolution(path: str | os.PathLike[str]) -> None:
    """Makes the resolution of a file one without a unit, in place: only that pixels are square.

    Raises:
        OSError: The file cannot be read or written.
    """
    with open(path, "r+b") as file, suppress(struct.error, KeyError):
        tiff = Tiff(file, allow_big=True)
        file.seek(tiff.entries[RESOLUTION_UNIT][0])
        file.write(tiff.with_short(RESOLUTION_UNIT, 1))


def reordered(data: bytes, kind: int, order: str) -> bytes:
    """Items of a TIFF type, from little-endian to a byte order or back."""
    width = 4 if kind in (5, 10) else _BIG_SIZES.get(kind, 1)  # a rational is two numbers
    if order == "<" or width == 1:
        return data
    return np.frombuffer(data, f"u{width}").byteswap().tobytes()
