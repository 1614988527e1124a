"""Files that were cut off: their own boxes reach beyond their end, which decoders pass over in silence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from escsr.errors import VideoError

__all__ = ["check_whole"]

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid", b"styp", b"moof")
"""What MP4 and MOV begin with."""

_LATER = (b"sidx", b"ssix", b"mfra", b"meta", b"udta", b"emsg", b"prft", b"pdin")
"""Boxes that come behind others."""


def check_whole(path: Path) -> None:
    """Refuses a file that is missing, empty or cut off; formats without sizes (MPEG-TS) cannot tell.

    Args:
        path: MP4, MOV, Matroska, WebM and AVI are looked at.

    Raises:
        VideoError: It is; with how much is missing.
    """
    try:
        if not path.is_file():
            raise VideoError(f"{path}: {'not a file' if path.exists() else 'there is no such file'}.")
        size = path.stat().st_size
        with open(path, "rb") as file:
            end = _end(file, size)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(f"{path}: cannot be opened ({reason}).") from error
    if size == 0:
        raise VideoError(f"{path}: the file is empty.")
    if end > size:
        raise VideoError(
            f"{path}: the file is cut off: {end - size} bytes are missing at its end; copy it again."
        )


def _end(file: BinaryIO, size: int) -> int:
    """Where the file should end by what it says of itself; its size where it says nothing."""
    head = file.read(12)
    if int.from_bytes(head[:4], "big") == _EBML:
        return _end_of_matroska(file, size)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return int.from_bytes(head[4:8], "little") + 8 if size < 1 << 30 else size  # larger ones have parts
    return _end_of_boxes(file, size) if head[4:8] in _BOXES else size


def _end_of_boxes(file: BinaryIO, size: int) -> int:
    """Where the last box ends; cameras put data of their own behind it, which is no box."""
    place, needed = 0, {b"moov", b"mdat"}
    while place + 8 <= size:
        file.seek(place)
        head = file.read(16)
        if not needed and head[4:8] not in (*_BOXES, *_LATER):
            break
        needed.discard(head[4:8])
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:  # up to the end
            return size
        if length < 8:
            break
        place += length
    return max(place, size)


def _end_of_matroska(file: BinaryIO, size: int) -> int:
    file.seek(0)
    _number(file, marked=True)
    file.seek(_number(file), os.SEEK_CUR)
    if _number(file, marked=True) != _SEGMENT:
        return size
    length = _number(file)
    return size if length < 0 else file.tell() + length


def _number(file: BinaryIO, *, marked: bool = False) -> int:
    """A number of EBML, with its marker (a name) or without (a length; -1 for an unknown one)."""
    first = file.read(1)
    if not first or not first[0]:
        return 0
    length = 9 - first[0].bit_length()
    raw = first + file.read(length - 1)
    number = int.from_bytes(raw, "big")
    if marked:
        return number
    number -= 1 << (7 * length)
    return -1 if number == (1 << (7 * length)) - 1 else number
