"""Chunks of PNG that libvips says nothing of: some that stand before the pixels, and all behind them."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

__all__ = [
    "change_png_exif",
    "chunk",
    "late_blocks",
    "png_chunks",
    "states_resolution",
    "without_png_resolution",
]

_RESOLUTION, _EXIF, _TEXT, _PIXELS = b"pHYs", b"eXIf", b"iTXt", b"IDAT"
_XMP_KEYWORD = b"XML:com.adobe.xmp\0"
_MOST_BYTES = 1 << 24
"""Of a block, more than any has that is not damaged."""


def png_chunks(path: str | os.PathLike[str]) -> dict[bytes, int]:
    """Kinds of chunks before the pixels, and where the content of each starts.

    Raises:
        OSError: The file cannot be read.
    """
    places: dict[bytes, int] = {}
    with open(path, "rb") as file:
        for kind, _ in _chunks(file):
            if kind == _PIXELS:
                break
            places.setdefault(kind, file.tell())
    return places


def late_blocks(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """EXIF and XMP that stand behind the pixels, by the names that libvips has for them.

    Blocks whose checksum is wrong are passed over.

    Raises:
        OSError: The file cannot be read.
    """
    blocks: dict[str, bytes] = {}
    is_behind = False
    with open(path, "rb") as file:
        for kind, size in _chunks(file):
            is_behind |= kind == _PIXELS
            if not (is_behind and kind in (_EXIF, _TEXT) and size <= _MOST_BYTES):
                continue
            content = file.read(size)
            if file.read(4) != chunk(kind, content)[-4:]:
                continue
            if kind == _EXIF:
                blocks.setdefault("exif-data", content)
            elif xmp := _xmp_of(content):
                blocks.setdefault("xmp-data", xmp)
    return blocks


def _xmp_of(text: bytes) -> bytes:
    """The XMP in what an iTXt chunk holds; no bytes where that is another text, or damaged."""
    _, *rest = text[len(_XMP_KEYWORD) + 2 :].split(b"\0", 2)
    if not text.startswith(_XMP_KEYWORD) or len(rest) < 2:
        return b""
    if not text[len(_XMP_KEYWORD)]:
        return rest[1]
    with suppress(zlib.error):
        return zlib.decompressobj().decompress(rest[1], _MOST_BYTES)
    return b""


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind of each chunk and bytes of its content, at whose start the file stands."""
    place = 8
    while True:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[:4], "big")
        yield head[4:], size
        place += 12 + size


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk as it stands in a file, with its length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def change_png_exif(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Replaces the EXIF before the pixels of a file, where it has some, in place.

    Args:
        path: A PNG file.
        change: From the block to the new one.

    Raises:
        OSError: The file cannot be read or written.
    """
    if not (place := png_chunks(path).get(_EXIF)):
        return
    data = path.read_bytes()
    end = place + int.from_bytes(data[place - 8 : place - 4], "big")
    if (changed := change(data[place:end])) != data[place:end]:
        path.write_bytes(data[: place - 8] + chunk(_EXIF, changed) + data[end + 4 :])


def states_resolution(path: str | os.PathLike[str]) -> bool:
    """Whether a file has a resolution in metres, beside the aspect of its pixels.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file:
        file.seek(png_chunks(path).get(_RESOLUTION, 0) + 8)
        return file.read(1) == b"\1"  # metres; 0 for none, and what stands there without such a chunk


def without_png_resolution(path: str | os.PathLike[str]) -> None:
    """Makes the resolution of a file one without a unit, in place: only that pixels are square.

    Raises:
        OSError: The file cannot be read or written.
    """
    if place := png_chunks(path).get(_RESOLUTION):
        with open(path, "r+b") as file:
            file.seek(place - 8)
            file.write(chunk(_RESOLUTION, struct.pack(">IIB", 1, 1, 0)))
