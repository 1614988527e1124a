"""Colour spaces: whatever a file holds becomes grey or RGB, through profiles where it has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from escsr.images.metadata import ICC, profile_space, sound_profile

__all__ = [
    "DAMAGED_PROFILE",
    "cmyk_as_srgb",
    "from_lab",
    "from_pixels",
    "grey_as_rgb",
    "to_grey_or_rgb",
    "to_srgb",
]

DAMAGED_PROFILE = "its colour profile is damaged and left out"

_TYPES = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}
_GREY_SPACES = ("b-w", "grey16")
_PLAIN = (*_GREY_SPACES, "srgb", "rgb16", "rgb", "scrgb", "multiband")


def from_pixels(pixels: NDArray[Any]) -> pyvips.Image:
    """(H, W, C), uint8, uint16 or float32 → an image of libvips."""
    height, width, bands = pixels.shape
    kind = _TYPES[pixels.dtype.name]
    image = pyvips.Image.new_from_memory(np.ascontiguousarray(pixels).data, width, height, bands, kind)
    grey = bands < 3
    colours = {"uchar": "srgb", "ushort": "rgb16", "float": "scrgb"}
    greys = {"uchar": "b-w", "ushort": "grey16", "float": "b-w"}
    return image.copy(interpretation=(greys if grey else colours)[kind])


def from_lab(image: pyvips.Image) -> pyvips.Image:
    """Bytes as TIFF keeps CIELAB (L from 0 to 255 for 100, a and b signed) → an image of libvips in Lab."""
    lab = [image[0] * (100 / 255), *((image[band] + 128) % 256 - 128 for band in (1, 2))]
    return lab[0].bandjoin(lab[1:]).copy(interpretation="lab")


def cmyk_as_srgb(pixels: NDArray[np.uint8], profile: bytes | None) -> tuple[NDArray[np.uint8], bytes]:
    """CMYK, (H, W, 4) with 0 for no ink, → sRGB, (H, W, 3), and its profile.

    Args:
        pixels: The inks.
        profile: What they mean; a usual one where it is None, damaged or of another space.
    """
    image = from_pixels(pixels).copy(interpretation="cmyk")
    if profile:
        image.set_type(pyvips.GValue.blob_type, ICC, profile)
    try:
        rgb, _ = to_grey_or_rgb(image)
        return rgb.numpy(), bytes(rgb.get(ICC))
    except pyvips.Error:  # a profile nobody can use is as good as none
        if profile is None:
            raise
        return cmyk_as_srgb(pixels, None)


def to_grey_or_rgb(image: pyvips.Image) -> tuple[pyvips.Image, list[str]]:
    """CMYK, Lab and other spaces to sRGB; grey and RGB as they are, with at most one band of alpha.

    Args:
        image: As a file was loaded.

    Returns:
        Image of 1 to 4 bands, with a profile only where it fits them, and notes on what was changed.
    """
    image, notes = _with_sound_profile(image)
    space = image.interpretation
    if space == "cmyk":
        own = _profile_is_for(image, "CMYK")
        image = _through_profile(image, 4, "relative", own=own)
        through = "its profile" if own else "a usual profile, as it has none"
        notes.append(f"CMYK, converted to sRGB through {through}")
    elif space not in _PLAIN:
        eight_bits = bool(image.get_typeof("bits-per-sample")) and image.get("bits-per-sample") == 8
        deep = image.format in ("ushort", "short", "float") and not eight_bits
        image = image.colourspace("rgb16" if deep else "srgb")
        notes.append(f"{space}, converted to sRGB")
    grey = image.interpretation in _GREY_SPACES or image.bands < 3
    most = 2 if grey else 4
    if image.bands > most:
        notes.append(f"{image.bands - most} channels beside colour and alpha left out")
        image = image[:most]
    if not _profile_is_for(image, "GRAY" if grey else "RGB") and image.get_typeof(ICC):
        image = image.copy()
        image.remove(ICC)
    return image, notes


def to_srgb(image: pyvips.Image) -> tuple[pyvips.Image, list[str]]:
    """Colours from the picture's profile to sRGB; pictures without a profile are taken for sRGB.

    Args:
        image: 1 to 4 bands of 8 or 16 bits; of floats, it is left as it is.

    Returns:
        The image, grey where it was, and notes.
    """
    if not image.get_typeof(ICC):
        return image, []
    if image.format == "float":
        return image, ["values are floating: its profile is kept, not converted to sRGB"]
    colours = 1 if image.bands < 3 else 3
    converted = _through_profile(image, colours, "relative", own=True)
    if colours == 1:
        converted = converted[0] if image.bands == 1 else converted[0].bandjoin(image[1])
        converted = converted.copy(interpretation=image.interpretation)
        converted.remove(ICC)
    return converted, []


def grey_as_rgb(image: pyvips.Image) -> pyvips.Image:
    """Grey in three bands, in sRGB, for formats that know colour only."""
    if image.get_typeof(ICC):
        return _through_profile(image, 1, "relative", own=True)
    wide = image.format == "ushort"
    rgb = image[0].bandjoin([image[0], image[0], *([image[1]] if image.bands == 2 else [])])
    return rgb.copy(interpretation="rgb16" if wide else "srgb")


def _through_profile(image: pyvips.Image, colours: int, intent: str, *, own: bool) -> pyvips.Image:
    """The first bands to sRGB at the same depth; the next, alpha, is carried along."""
    alpha = image[colours] if image.bands > colours else None
    depth = 16 if image.format == "ushort" else 8
    options = {"embedded": True} if own else {"input_profile": "cmyk"}
    plain = image[:colours] if alpha is not None else image
    converted = plain.icc_transform(
        "srgb", depth=depth, intent=intent, black_point_compensation=True, **options
    )
    return converted if alpha is None else converted.bandjoin(alpha)


def _with_sound_profile(image: pyvips.Image) -> tuple[pyvips.Image, list[str]]:
    own = bytes(image.get(ICC)) if image.get_typeof(ICC) else None
    sound = None if own is None else sound_profile(own)
    if sound == own:
        return image, []
    image = image.copy()
    image.remove(ICC)
    if sound is None:
        return image, [DAMAGED_PROFILE]
    image.set_type(pyvips.GValue.blob_type, ICC, sound)
    return image, []


def _profile_is_for(image: pyvips.Image, space: str) -> bool:
    return bool(image.get_typeof(ICC)) and profile_space(bytes(image.get(ICC))) == space
