"""ICC profiles: which of them can be used, what they are for, and two of our own. Source: ICC.1:2022."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

__all__ = ["adobe_rgb_profile", "grey_profile", "profile_space", "sound_profile"]

_HEAD = 132
_CONNECTION_SPACES = (b"XYZ ", b"Lab ")

_NEEDED_TAGS = {
    "RGB": {b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"},
    "GRAY": {b"kTRC"},
    "CMYK": {b"A2B0"},
}
"""Tags that say what colours are; inks have tables, which others may have instead."""

_TABLES = (b"A2B", b"D2B")
"""First letters of the tags of tables, one for each intent."""

_D50, _D65 = (63190, 65536, 54061), (62289, 65536, 71372)
"""X, Y and Z of whites; JPEG XL's encoder knows the curve again where white is that of sRGB."""

_ADOBE_PRIMARIES = ((39960, 20389, 1276), (13453, 41004, 3989), (9777, 4143, 48796))
"""X, Y and Z of red, green and blue, seen under D50."""

_ADOBE_GAMMA = 563
"""2 + 51/256, in 1/256."""

_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
"""((value + 0.055) / 1.055) to the power of 2.4, and value / 12.92 below 0.04045, as profiles have it."""


def profile_space(profile: bytes) -> str:
    """The colour space an ICC profile is for: "RGB", "GRAY", "CMYK", ..."""
    return profile[16:20].decode("latin-1").strip()


def sound_profile(profile: bytes) -> bytes | None:
    """An ICC profile that can be used: of the length it states, with tags inside that say what colours are.

    Encoders refuse others, and with them the whole picture.

    Args:
        profile: As a file has it.

    Returns:
        The profile, without what stands behind the stated length; None for another.
    """
    if len(profile) < _HEAD:
        return None
    length, tags = struct.unpack_from(">I124xI", profile)
    end = _HEAD + 12 * tags
    whole = end <= length <= len(profile) and not (profile[8] > 3 and length % 4)
    if not whole or profile[36:40] != b"acsp" or profile[20:24] not in _CONNECTION_SPACES:
        return None
    table = list(struct.iter_unpack(">4sII", profile[_HEAD:end]))
    names = {name for name, _, _ in table}
    has_table = any(name.startswith(_TABLES) for name in names)
    says_colours = has_table or names >= _NEEDED_TAGS.get(profile_space(profile), set())
    is_inside = all(start + size <= length for _, start, size in table)
    return profile[:length] if says_colours and is_inside else None


def adobe_rgb_profile() -> bytes:
    """A profile of the colours that cameras call Adobe RGB. Source: Adobe RGB (1998), 4.3.4 to 4.3.6."""
    curve = struct.pack(">4s4xIHxx", b"curv", 1, _ADOBE_GAMMA)
    primaries = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz, _ADOBE_PRIMARIES), strict=True))
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return _profile(b"RGB ", "Compatible with Adobe RGB (1998)", _D50, primaries | curves)


def grey_profile() -> bytes:
    """A profile of grey with the curve of sRGB, which JPEG XL requires for floating values."""
    curve = struct.pack(">4s4xHxx5i", b"para", 3, *(round(65536 * value) for value in _SRGB_CURVE))
    return _profile(b"GRAY", "Grey, curve of sRGB ", _D65, {b"kTRC": curve})


def _profile(space: bytes, words: str, white: tuple[int, ...], colours: Mapping[bytes, bytes]) -> bytes:
    """A profile of version 4.2 for displays; its words of an even number of letters.

    Args:
        space: The signature of its colour space.
        words: What it is called.
        white: X, Y and Z.
        colours: Tags that say what its colours are.
    """
    tags = {
        b"desc": _text(words),
        b"cprt": _text("CC0 "),
        b"wtpt": _xyz(white),
        **colours,
    }
    place, table = _HEAD + 12 * len(tags), struct.pack(">I", len(tags))
    for name, content in tags.items():
        table += struct.pack(">4sII", name, place, len(content))
        place += len(content)
    head = struct.pack(">I4xI4s4s4s12x4s28x", place, 0x04200000, b"mntr", space, b"XYZ ", b"acsp")
    head += struct.pack(">3i", *_D50)
    return head.ljust(128, b"\0") + table + b"".join(tags.values())


def _xyz(values: Sequence[int]) -> bytes:
    """X, Y and Z, in 1/65536, as a tag."""
    return struct.pack(">4s4x3i", b"XYZ ", *values)


def _text(words: str) -> bytes:
    """An even number of letters as a tag."""
    letters = words.encode("utf-16-be")
    return struct.pack(">4s4xII4sII", b"mluc", 1, 12, b"enUS", len(letters), 28) + letters
