"""Chunks of PNG that stand before the pixels: what libvips says nothing of."""

from __future__ import annotations

import os
import struct
import zlib

__all__ = ["chunk", "png_chunks", "states_resolution", "without_png_resolution"]

_RESOLUTION = b"pHYs"


def png_chunks(path: str | os.PathLike[str]) -> dict[bytes, int]:
    """Kinds of chunks before the pixels, and where the content of each starts.

    Raises:
        OSError: The file cannot be read.
    """
    places: dict[bytes, int] = {}
    with open(path, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
            places.setdefault(head[4:], file.tell())
            file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    return places


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk as it stands in a file, with its length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


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
