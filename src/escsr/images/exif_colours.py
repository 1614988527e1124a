"""What EXIF says of colours: cameras state Adobe RGB there, at times without a profile.

Source: Exif 3.0, ColorSpace; DCF 2.0, the optional colour space with InteroperabilityIndex R03.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import suppress

from escsr.images.exif_names import EXIF_IFD, INTEROPERABILITY_IFD, PREFIX
from escsr.images.tiff import Entries, Tiff

__all__ = ["exif_of_srgb", "is_adobe_rgb"]

_COLOR_SPACE, _INDEX = 0xA001, 0x0001
_SRGB, _UNCALIBRATED = 1, 0xFFFF
_OF_SRGB, _OF_ADOBE_RGB = b"R98\0", b"R03\0"


def is_adobe_rgb(exif: bytes) -> bool:
    """Whether an EXIF block says that colours are those of Adobe RGB; not where it is damaged.

    Args:
        exif: A block as JPEG carries it, of either byte order, with or without its Exif prefix.
    """
    stated = [value for _, value in _stated(exif.removeprefix(PREFIX))]
    return stated == [struct.pack("<H", _UNCALIBRATED), _OF_ADOBE_RGB]


def exif_of_srgb(exif: bytes) -> bytes:
    """EXIF that says of its colours, where it says anything, that they are those of sRGB.

    Args:
        exif: As for `is_adobe_rgb`.

    Returns:
        The block, of the same length; a damaged one as far as it can be read.
    """
    block = exif.removeprefix(PREFIX)
    said = bytearray(block)
    order = ">H" if block.startswith(b"MM") else "<H"
    for place, value in _stated(block):
        if len(value) == 2:
            struct.pack_into(order, said, place, _SRGB)
        elif value == _OF_ADOBE_RGB:
            said[place : place + 4] = _OF_SRGB
    return exif[: len(exif) - len(block)] + bytes(said)


def _stated(block: bytes) -> Iterator[tuple[int, bytes]]:
    """Places of ColorSpace and InteroperabilityIndex, and what they say, little-endian."""
    with suppress(struct.error):
        tiff = Tiff(io.BytesIO(block))
        for pointer in tiff.numbers(tiff.entries, EXIF_IFD)[:1]:
            entries, _ = tiff.directory(pointer)
            yield from _value_in_place(tiff, entries, _COLOR_SPACE, 2)
            for below in tiff.numbers(entries, INTEROPERABILITY_IFD)[:1]:
                yield from _value_in_place(tiff, tiff.directory(below)[0], _INDEX, 4)


def _value_in_place(tiff: Tiff, entries: Entries, tag: int, length: int) -> Iterator[tuple[int, bytes]]:
    """Place and value of an entry, where it has that many bytes: at most four stand in the entry itself."""
    if tag in entries:
        place, raw = entries[tag]
        _, value = tiff.value(raw)
        if len(value) == length:
            yield place + 8, value
