"""EXIF fitted to its picture: upright, of its size, without a thumbnail."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from escsr.images.exif_names import EXIF_IFD, IFD0, PREFIX, SUB_IFDS
from escsr.images.tiff import LONG, RESOLUTION_UNIT, SHORT, SIZES, Entries, Tiff

__all__ = ["exif_orientation", "exif_resolution", "fitted_exif"]

_ORIENTATION = 0x0112
_WIDTHS, _HEIGHTS = (0x0100, 0xA002), (0x0101, 0xA003)
"""ImageWidth and PixelXDimension, ImageLength and PixelYDimension."""

_RESOLUTIONS = (0x011A, 0x011B)

_THUMBNAILS = ((0x0201, 0x0202), (0x0111, 0x0117))
"""Tags of the starts and lengths of a JPEG, and of strips."""


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
    block = exif.removeprefix(PREFIX)
    fitted = _without_thumbnail(block)
    sizes = dict.fromkeys(_WIDTHS, width) | dict.fromkeys(_HEIGHTS, height)
    with suppress(struct.error):
        tiff = Tiff(io.BytesIO(block))
        below = (tiff.directory(offset)[0] for offset in tiff.numbers(tiff.entries, EXIF_IFD)[:1])
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


def _places(tiff: Tiff, entries: Entries, ifd: int = IFD0) -> Iterator[tuple[int, int]]:
    """Start and length of each part of an IFD and of those below it."""
    for tag, (place, raw) in entries.items():
        yield place - 2, 14  # before the first stands their number
        _, kind, count, start = struct.unpack(tiff.order + "HHII", raw)
        length = SIZES.get(kind, 0) * count
        if length > 4 and start + length <= tiff.size:
            yield start, length
        if tag in SUB_IFDS[ifd]:
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
        tiff = Tiff(io.BytesIO(exif.removeprefix(PREFIX)))
        stated = tiff.numbers(tiff.entries, _ORIENTATION)[:1]
        return stated[0] if stated and 1 <= stated[0] <= 8 else 1
    return 1


def exif_resolution(exif: bytes) -> tuple[float, float] | None:
    """Pixels per mm, across and down, that an EXIF block states; None where it does not.

    Args:
        exif: A block as JPEG carries it, of either byte order, with or without its Exif prefix.
    """
    with suppress(struct.error, KeyError, ZeroDivisionError):
        tiff = Tiff(io.BytesIO(exif.removeprefix(PREFIX)))
        unit = {(): 25.4, (2,): 25.4, (3,): 10.0}[tuple(tiff.numbers(tiff.entries, RESOLUTION_UNIT))]
        across, down = (struct.unpack("<II", tiff.value(tiff.entries[tag][1])[1]) for tag in _RESOLUTIONS)
        return across[0] / across[1] / unit, down[0] / down[1] / unit
    return None
