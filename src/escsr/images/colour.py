"""Colour spaces: whatever a file holds becomes grey or RGB, through profiles where it has them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from escsr.images.icc import profile_space
from escsr.images.metadata import DAMAGED_PROFILE, ICC, carried_by, number, with_sound_profile

__all__ = [
    "UNFIT_PROFILE",
    "cmyk_as_srgb",
    "dropped_channels",
    "from_lab",
    "from_pixels",
    "grey_as_rgb",
    "to_grey_or_rgb",
    "to_srgb",
    "with_opacity_only",
    "with_profile",
]

UNFIT_PROFILE = "its colour profile does not fit its pixels and is dropped"

_SPACES = {"uint8": ("b-w", "srgb"), "uint16": ("grey16", "rgb16"), "float32": ("b-w", "scrgb")}
_MULTIPLIED, _DIVIDED = 1, 2
"""How TIFF numbers channels of opacity, by what it did to the colours."""

_GREY_SPACES = ("b-w", "grey16")
_PLAIN = (*_GREY_SPACES, "srgb", "rgb16", "rgb", "scrgb", "multiband")


def from_pixels(pixels: NDArray[Any]) -> pyvips.Image:
    """(H, W, C), uint8, uint16 or float32 → an image of libvips."""
    space = _SPACES[pixels.dtype.name][pixels.shape[2] >= 3]
    return pyvips.Image.new_from_array(pixels, interpretation=space)


def with_profile(image: pyvips.Image, profile: bytes | None) -> pyvips.Image:
    """A copy of an image with another profile, or without one."""
    image = image.copy()
    image.remove(ICC)
    if profile:
        image.set_type(pyvips.GValue.blob_type, ICC, profile)
    return image


def from_lab(image: pyvips.Image) -> pyvips.Image:
    """Bytes as TIFF keeps CIELAB (L from 0 to 255 for 100, a and b signed) → an image of libvips in Lab."""
    lab = [image[0] * (100 / 255), *((image[band] + 128) % 256 - 128 for band in (1, 2))]
    return lab[0].bandjoin([*lab[1:], *image.bandsplit()[3:]]).copy(interpretation="lab")


def cmyk_as_srgb(pixels: NDArray[np.uint8], profile: bytes | None) -> tuple[NDArray[np.uint8], bytes]:
    """CMYK, (H, W, 4) with 0 for no ink, → sRGB, (H, W, 3), and its profile.

    Args:
        pixels: The inks.
        profile: What they mean; a usual one where it is None, damaged or of another space.
    """
    image = from_pixels(pixels).copy(interpretation="cmyk")
    try:
        rgb, _ = to_grey_or_rgb(with_profile(image, profile))
        return rgb.numpy(), bytes(rgb.get(ICC))
    except pyvips.Error:  # a profile nobody can use is as good as none
        if profile is None:
            raise
        return cmyk_as_srgb(pixels, None)


def with_opacity_only(image: pyvips.Image, kinds: Sequence[int]) -> tuple[pyvips.Image, list[str]]:
    """The colours of a TIFF and its first channel of opacity; near-infrared and others are none.

    Args:
        image: As libvips loads it, its colours already divided by opacity.
        kinds: See `extra_channels`; without any, the image stays as it is.

    Returns:
        The image, and a note on what is dropped.
    """
    colours = image.bands - len(kinds)
    if not kinds or colours < 1:
        return image, []
    if image.format == "float" and image.interpretation in _GREY_SPACES and _MULTIPLIED in kinds:
        image = (image[:colours] / 255).bandjoin(image[colours:])  # libvips takes grey for one up to 255
    opacity = [place for place, kind in enumerate(kinds, colours) if kind in (_MULTIPLIED, _DIVIDED)][:1]
    kept = image[:colours]
    for place in opacity:
        kept = kept.bandjoin(image[place])
    dropped = len(kinds) - len(opacity)
    return kept, [dropped_channels(dropped)] if dropped else []


def to_grey_or_rgb(image: pyvips.Image) -> tuple[pyvips.Image, list[str]]:
    """CMYK, Lab and other spaces to sRGB; grey and RGB as they are, with at most one band of alpha.

    Args:
        image: As a file was loaded.

    Returns:
        Image of 1 to 4 bands, with a profile only where it fits them, and notes on what was changed.
    """
    metadata, notes = with_sound_profile(carried_by(image))
    image = with_profile(image, metadata.get(ICC))
    space = image.interpretation
    if space == "cmyk":
        image, dropped = _with_bands(image, 5)
        image, converted = _cmyk_to_srgb(image)
        notes += dropped + converted
    elif space not in _PLAIN:
        image = with_profile(_by_space(image), None)
        notes.append(f"{space}, converted to sRGB")
    grey = image.interpretation in _GREY_SPACES or image.bands < 3
    image, dropped = _with_bands(image, 2 if grey else 4)
    notes += dropped
    if image.get_typeof(ICC) and not _profile_is_for(image, "GRAY" if grey else "RGB"):
        notes.append(UNFIT_PROFILE)
        image = with_profile(image, None)
    return image, notes


def _cmyk_to_srgb(image: pyvips.Image) -> tuple[pyvips.Image, list[str]]:
    """CMYK, with or without alpha, through its profile where that can be used, else through a usual one."""
    unusable: list[str] = []
    if _profile_is_for(image, "CMYK"):
        try:
            return _through_profile(image, 4), ["CMYK, converted to sRGB through its profile"]
        except pyvips.Error:  # sound by its tables, but not by what they hold
            unusable = [DAMAGED_PROFILE]
    note = "CMYK, converted to sRGB through a usual profile, as it has none"
    return _through_profile(image, 4, "cmyk"), [*unusable, note]


def dropped_channels(count: int) -> str:
    """The note on channels, at least one, that no result has."""
    noun, verb = ("channel", "is") if count == 1 else ("channels", "are")
    return f"{count} {noun} beside colour and alpha {verb} dropped"


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
    try:
        converted = _through_profile(image, 3 if image.bands >= 3 else 1)
    except pyvips.Error:  # sound by its tables, but not by what they hold
        return with_profile(image, None), [DAMAGED_PROFILE]
    if image.bands >= 3:
        return converted, []
    grey = converted[0] if image.bands == 1 else converted[0].bandjoin(image[1])
    return with_profile(grey.copy(interpretation=image.interpretation), None), []


def grey_as_rgb(image: pyvips.Image) -> pyvips.Image:
    """Grey in three bands, in sRGB, for formats that know colour only."""
    if image.get_typeof(ICC):
        with suppress(pyvips.Error):  # a damaged profile is as good as none
            return _through_profile(image, 1)
        image = with_profile(image, None)
    rgb = image[0].bandjoin([image[0], *image.bandsplit()])
    return rgb.copy(interpretation="rgb16" if image.format == "ushort" else "srgb")


def _through_profile(image: pyvips.Image, colours: int, input_profile: str | None = None) -> pyvips.Image:
    """The first bands to sRGB at the same depth; the next, alpha, is carried along.

    Args:
        image: The image.
        colours: Number of its bands without alpha.
        input_profile: What its colours mean; None for its own profile.
    """
    source = {"input_profile": input_profile} if input_profile else {"embedded": True}
    depth = 16 if image.format == "ushort" else 8
    converted = image[:colours].icc_transform(
        "srgb", depth=depth, intent="relative", black_point_compensation=True, **source
    )
    return converted.bandjoin(image[colours]) if image.bands > colours else converted


def _by_space(image: pyvips.Image) -> pyvips.Image:
    """Lab and other spaces that libvips knows to sRGB."""
    deep = image.format in ("ushort", "short", "float") and number(image, "bits-per-sample", 0) != 8
    space = "rgb16" if deep else "srgb"
    if image.interpretation not in ("lab", "labs"):
        return image.colourspace(space)
    beside = image[3:] if image.bands > 3 else None
    if beside is not None and image.interpretation == "labs":
        beside = ((beside.cast("int") + 65536) % 65536).cast("ushort")  # opacity has no sign
    elif beside is not None and deep:
        beside = (beside * 65535).rint()  # floating opacity goes up to 1
    # Files count from the white of D50, as profiles do; `colourspace` would from that of D65.
    lab = image[:3].colourspace("lab")
    rgb = lab.icc_export(
        output_profile="srgb", depth=16 if deep else 8, intent="relative", black_point_compensation=True
    ).copy(interpretation=space)
    return rgb if beside is None else rgb.bandjoin(beside.cast(rgb.format))


def _with_bands(image: pyvips.Image, most: int) -> tuple[pyvips.Image, list[str]]:
    """The first bands of an image, and a note where it has more."""
    return (image[:most], [dropped_channels(image.bands - most)]) if image.bands > most else (image, [])


def _profile_is_for(image: pyvips.Image, space: str) -> bool:
    return bool(image.get_typeof(ICC)) and profile_space(bytes(image.get(ICC))) == space
