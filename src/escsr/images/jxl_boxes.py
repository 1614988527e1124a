"""EXIF and XMP of JPEG XL, which stand in boxes beside the pixels; OpenImageIO carries neither whole.

Boxes compressed by Brotli are passed over. Source: ISO/IEC 18181-2.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

__all__ = ["read_boxes", "write_boxes"]

_SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"
_FILE_TYPE = b"\0\0\0\x14ftypjxl \0\0\0\0jxl "
_EXIF, _XMP, _PIXELS = b"Exif", b"xml ", (b"jxlc", b"jxlp")
_PREFIX = b"Exif\0\0"
_LEAST_BYTES = 128
"""Of a file: OpenImageIO takes fewer for no JPEG XL."""

_MOST_BYTES = 1 << 24  # more than any EXIF holds: what asks for more is damaged


def read_boxes(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """EXIF and XMP of a file.

    Args:
        path: A JPEG XL file.

    Returns:
        "exif-data" as JPEG carries it and "xmp-data", where the file has them.

    Raises:
        OSError: The file cannot be read.
    """
    blocks: dict[str, bytes] = {}
    with open(path, "rb") as file:
        for kind, _, size in _boxes(file):
            if kind == _XMP and size <= _MOST_BYTES:
                blocks.setdefault("xmp-data", file.read(size))
            elif kind == _EXIF and 8 < size <= _MOST_BYTES:
                blocks.setdefault("exif-data", _PREFIX + _tiff(file.read(size)))
    return blocks


def _tiff(content: bytes) -> bytes:
    """What an Exif box holds behind its offset; some writers put JPEG's prefix there instead."""
    if content.startswith(_PREFIX):
        return content[len(_PREFIX) :]
    (offset,) = struct.unpack_from(">I", content)
    return content[4:][offset:]


def write_boxes(path: Path, metadata: Mapping[str, bytes]) -> None:
    """Adds EXIF and XMP to a file in place, and a free box where it is too small for OpenImageIO to read.

    Args:
        path: A JPEG XL file, of bare pixels or in boxes.
        metadata: "exif-data" and "xmp-data", as `read_boxes` gives them; others are passed over.

    Raises:
        OSError: The file cannot be read or written.
    """
    added = b""
    if "exif-data" in metadata:
        added += _box(_EXIF, bytes(4) + metadata["exif-data"].removeprefix(_PREFIX))
    if "xmp-data" in metadata:
        added += _box(_XMP, metadata["xmp-data"])
    if path.stat().st_size < _LEAST_BYTES:
        added += _box(b"free", bytes(_LEAST_BYTES))
    if not added:
        return
    whole = path.read_bytes()
    if not whole.startswith(_SIGNATURE):
        whole = _SIGNATURE + _FILE_TYPE + _box(_PIXELS[0], whole)
    starts = (start for kind, start, _ in _boxes(io.BytesIO(whole)) if kind in _PIXELS)
    start = next(starts, len(whole))  # before the pixels: their box may have no stated end
    path.write_bytes(whole[:start] + added + whole[start:])


def _box(kind: bytes, content: bytes) -> bytes:
    if len(content) + 8 < 1 << 32:
        return struct.pack(">I4s", len(content) + 8, kind) + content
    return struct.pack(">I4sQ", 1, kind, len(content) + 16) + content


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Kind and start of each box, and bytes of its content, at whose start the file stands."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(len(_SIGNATURE)) != _SIGNATURE:
        return
    place = len(_SIGNATURE)
    while place + 8 <= end:
        file.seek(place)
        size, kind = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1 and place + 16 <= end:
            (size,), head = struct.unpack(">Q", file.read(8)), 16
        size = end - place if size == 0 else size
        if size < head or place + size > end:
            return
        yield kind, place, size - head
        place += size
