"""Blocks beside the pixels: EXIF and XMP fitted to their picture, and what a format has room for."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from escsr.images.colour_tags import CICP, PNG_TAGS, PRIMARIES, in_words
from escsr.images.exif_fitting import fitted_exif
from escsr.images.exif_names import unknown_to_libexif
from escsr.images.icc import sound_profile
from escsr.images.iptc import wrapped_iptc
from escsr.images.jpeg_segments import MOST_XMP
from escsr.images.tiff_exif import loses_maker_note
from escsr.images.xmp import fitted_xmp, truthful_xmp

__all__ = [
    "CARRIED",
    "DAMAGED_PROFILE",
    "ICC",
    "NOT_SQUARE",
    "PIXEL_ASPECT",
    "aspect_of",
    "aspect_tags",
    "carried_by",
    "fitted",
    "held_blocks",
    "is_of_pixels",
    "number",
    "with_sound_profile",
    "with_truthful_xmp",
    "without_profile",
]

DAMAGED_PROFILE = "its colour profile is damaged and dropped"

PIXEL_ASPECT = "exr-pixel-aspect"
"""Name of a block: how wide pixels are for their height, where not equal, as a little-endian float."""

NOT_SQUARE = "its pixels are not square"
"""First words of the note where a format does not hold that block."""

ICC = "icc-profile-data"
CARRIED = ("exif-data", "xmp-data", "iptc-data", ICC)
"""Names of the blocks that a picture carries, as libvips calls them."""

_OF_COLOUR = {"PNG": (CICP, PNG_TAGS), "HEIC": (CICP,), "OpenEXR": (PRIMARIES,)}
"""Formats that hold tags of colour."""

_ROOM_IN_JPEG = {
    "xmp-data": ("XMP", MOST_XMP),
    "iptc-data": ("IPTC", 65_533 - len(wrapped_iptc(b"")) - 1),
}
"""What a block is called, and the most bytes of it."""

_MOST_EXIF = 65_000
_CUT_EXIF = ("JPEG", "AVIF")
"""Formats whose EXIF keeps what libexif makes of it, which leaves out what stands beyond 64 KB."""


def aspect_tags(aspect: float | Fraction) -> dict[str, bytes]:
    """The block of `PIXEL_ASPECT` for a width of a pixel by its height; none where they are equal."""
    return {} if aspect == 1 else {PIXEL_ASPECT: struct.pack("<f", float(aspect))}


def aspect_of(metadata: Mapping[str, bytes]) -> float:
    """Width of a pixel by its height, by the block of `PIXEL_ASPECT`; 1 without one."""
    return float(*struct.unpack("<f", metadata[PIXEL_ASPECT])) if PIXEL_ASPECT in metadata else 1.0


def carried_by(image: Any) -> dict[str, bytes]:
    """The blocks of `CARRIED` that an image of libvips has."""
    return {name: bytes(image.get(name)) for name in CARRIED if image.get_typeof(name)}


def number(image: Any, name: str, default: int) -> int:
    """A whole number that an image of libvips carries."""
    return int(image.get(name)) if image.get_typeof(name) else default


def fitted(metadata: Mapping[str, bytes], width: int, height: int) -> dict[str, bytes]:
    """Metadata for a picture of another size that stands upright.

    Orientation becomes 1 and sizes those given, where the blocks have such fields; the thumbnail goes.

    Args:
        metadata: Blocks of `CARRIED`.
        width: Pixels of the picture.
        height: Pixels of the picture.

    Returns:
        The blocks; a damaged EXIF block stays as it is.
    """
    fit = {"exif-data": fitted_exif, "xmp-data": fitted_xmp}
    return {
        name: fit[name](block, width, height) if name in fit else block for name, block in metadata.items()
    }


def is_of_pixels(name: str) -> bool:
    """Whether a block, by its name, says what the colours mean or which shape pixels have."""
    return name in (ICC, CICP, PNG_TAGS, PRIMARIES, PIXEL_ASPECT)


def held_blocks(metadata: Mapping[str, bytes], format: str) -> tuple[dict[str, bytes], list[str]]:
    """The blocks that a format has room for, and notes on what is lost although it holds the kind.

    Args:
        metadata: As a picture has it.
        format: Its name.

    Returns:
        The blocks, a large EXIF block among them of which encoders leave out a part; and notes, in words.
    """
    held, notes = dict(metadata), []
    for name, (words, most) in _ROOM_IN_JPEG.items() if format == "JPEG" else ():
        if len(held.get(name, b"")) > most:
            del held[name]
            notes.append(f"its {words} is too large for JPEG (above 64 KB) and is dropped")
    if format in _CUT_EXIF and len(held.get("exif-data", b"")) > _MOST_EXIF:
        notes.append(f"its EXIF is too large for {format} (above 64 KB), and large values are dropped")
    if format == "AVIF" and (unknown := unknown_to_libexif(held.get("exif-data", b""))):
        notes.append(f"some of its EXIF is not kept in AVIF: {', '.join(unknown)}")
    if format == "TIFF" and loses_maker_note(held.get("exif-data", b"")):
        notes.append("its MakerNote depends on another byte order and is not kept in TIFF")
    if format != "OpenEXR" and held.pop(PIXEL_ASPECT, b""):
        notes.append(f"{NOT_SQUARE}, which is not kept in {format}, so it may look squeezed")
    tags = {CICP, PNG_TAGS, PRIMARIES} - set(_OF_COLOUR.get(format, ()))
    if lost := in_words({name: held.pop(name) for name in tags & held.keys()}):
        notes.append(f"its colour tags ({lost}) are not kept in {format}, so colours may look different")
    return held, notes


def without_profile(metadata: Mapping[str, bytes]) -> dict[str, bytes]:
    """All blocks but the ICC profile."""
    return {name: block for name, block in metadata.items() if name != ICC}


def with_sound_profile(metadata: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[str]]:
    """Blocks whose profile encoders take, cut or left out where it has to be, and a note of the latter."""
    rest = without_profile(metadata)
    if sound := sound_profile(metadata.get(ICC, b"")):
        return rest | {ICC: sound}, []
    return rest, [DAMAGED_PROFILE] if ICC in metadata else []


def with_truthful_xmp(metadata: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[str]]:
    """Blocks whose XMP tells of no parts of a file that are never kept, and notes on these."""
    if "xmp-data" not in metadata:
        return dict(metadata), []
    xmp, notes = truthful_xmp(metadata["xmp-data"])
    return {**metadata, "xmp-data": xmp}, notes
