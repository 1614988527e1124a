"""EXIF and XMP fitted to their picture: upright, of its size, without a thumbnail."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

from escsr.images.tiff_exif import fitted_exif

__all__ = [
    "CARRIED",
    "DAMAGED_PROFILE",
    "ICC",
    "carried_by",
    "fitted",
    "number",
    "profile_space",
    "with_sound_profile",
    "without_profile",
]

DAMAGED_PROFILE = "its colour profile is damaged and dropped"

ICC = "icc-profile-data"
CARRIED = ("exif-data", "xmp-data", "iptc-data", ICC)
"""Names of the blocks that a picture carries, as libvips calls them."""

_PROFILE_HEAD = 132
_CONNECTION_SPACES = (b"XYZ ", b"Lab ")


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
    fit = {"exif-data": fitted_exif, "xmp-data": _fitted_xmp}
    return {
        name: fit[name](block, width, height) if name in fit else block for name, block in metadata.items()
    }


def without_profile(metadata: Mapping[str, bytes]) -> dict[str, bytes]:
    """All blocks but the ICC profile."""
    return {name: block for name, block in metadata.items() if name != ICC}


def profile_space(profile: bytes) -> str:
    """The colour space an ICC profile is for: "RGB", "GRAY", "CMYK", ..."""
    return profile[16:20].decode("latin-1").strip()


def with_sound_profile(metadata: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[str]]:
    """Blocks whose profile encoders take, cut or left out where it has to be, and a note of the latter."""
    rest = without_profile(metadata)
    if sound := _sound_profile(metadata.get(ICC, b"")):
        return rest | {ICC: sound}, []
    return rest, [DAMAGED_PROFILE] if ICC in metadata else []


def _sound_profile(profile: bytes) -> bytes | None:
    """An ICC profile that encoders take: of the length it states, its tags inside; else None.

    What stands behind the stated length is cut off. PNG's encoder would refuse the whole picture.
    """
    if len(profile) < _PROFILE_HEAD:
        return None
    length, tags = struct.unpack_from(">I124xI", profile)
    end = _PROFILE_HEAD + 12 * tags
    whole = end <= length <= len(profile) and not (profile[8] > 3 and length % 4)
    if not whole or profile[36:40] != b"acsp" or profile[20:24] not in _CONNECTION_SPACES:
        return None
    table = struct.iter_unpack(">III", profile[_PROFILE_HEAD:end])
    return profile[:length] if all(start + size <= length for _, start, size in table) else None


def _fitted_xmp(block: bytes, width: int, height: int) -> bytes:
    values = {b"tiff:Orientation": 1, b"tiff:ImageWidth": width, b"tiff:ImageLength": height}
    values |= {b"exif:PixelXDimension": width, b"exif:PixelYDimension": height}
    for tag, value in values.items():
        place = rb"(\b%b\s*=\s*[\"']|<%b>\s*)\d+" % (tag, tag)
        block = re.sub(place, rb"\g<1>%d" % value, block)
    return block
