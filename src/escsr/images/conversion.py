"""Pictures brought to what a format can hold: depth, light or display values, form of alpha, colours."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from escsr.images.colour import from_pixels, grey_as_rgb, to_srgb, with_profile
from escsr.images.colour_tags import in_words
from escsr.images.exif_colours import exif_of_srgb, is_adobe_rgb
from escsr.images.formats import Format
from escsr.images.icc import adobe_rgb_profile
from escsr.images.metadata import ICC, carried_by, held_blocks, without_profile
from escsr.images.picture import Animation, Picture
from escsr.images.value_range import ValueRange, srgb_decoded, srgb_encoded

__all__ = ["as_colour", "held_by", "in_srgb", "losses"]

_DEEPEST_FIRST = ("float32", "uint16", "uint8")


def held_by(picture: Picture, format: Format) -> Picture:
    """The picture as a format can hold it.

    Floating values stay the same numbers in every format of floats. Linear light becomes integers by
    the curve of sRGB, cut at white, and integers become linear light by its inverse. 16 bits are
    rounded to 8 where a format has no more. Colours become sRGB where it has no profiles.

    Args:
        picture: Any picture.
        format: Where it is to go.

    Returns:
        The same picture where nothing has to change.
    """
    if "ICC" not in format.keeps:
        with suppress(pyvips.Error):  # a damaged profile is as good as none, and the work is done
            picture = in_srgb(picture)
        picture = replace(picture, metadata=without_profile(picture.metadata))
    picture = _associated(picture, premultiplied=format.is_linear)
    depth = picture.pixels.dtype.name
    if depth in format.depths:
        return picture
    floating = picture.pixels.dtype.kind == "f"
    target = next(name for name in _DEEPEST_FIRST if name in format.depths)
    if floating and target.startswith("float"):
        return replace(picture, pixels=picture.pixels.astype(target))
    alpha = None if picture.alpha is None else _converted(picture.alpha, target)
    colour = picture.colour
    if floating and picture.linear:
        colour = srgb_encoded(colour.astype(np.float32))
    colour = _converted(colour, target)
    if target.startswith("float"):
        colour = srgb_decoded(colour)
    pixels = colour if alpha is None else np.concatenate([colour, alpha], 2)
    done = replace(picture, pixels=pixels, bits=None, linear=format.is_linear, premultiplied=False)
    return _associated(done, premultiplied=format.is_linear)


def losses(picture: Picture | Animation, format: Format) -> list[str]:
    """Notes on what a format cannot hold of a picture, which `write` leaves out or cuts without a word."""
    _, notes = held_blocks(picture.metadata, format.name)
    holds_floats = any(depth.startswith("float") for depth in format.depths)
    if isinstance(picture, Picture) and picture.pixels.dtype.kind == "f" and not holds_floats:
        bright = picture.colour.max(initial=0) > 1
        notes += [f"values above 1 are cut to white, {format.name} holds none"] if bright else []
    if isinstance(picture, Picture) and _loses_profile_of_floats(picture, format):
        notes.append("values are floating: its profile is dropped, not converted to sRGB")
    return notes


def _loses_profile_of_floats(picture: Picture, format: Format) -> bool:
    """Whether a profile goes that would be converted, were the values whole numbers."""
    becomes_colour = format.name == "JPEG XL" and picture.is_grey and picture.has_alpha
    goes = "ICC" not in format.keeps or becomes_colour
    return goes and ICC in picture.metadata and picture.pixels.dtype.kind == "f"


def as_colour(picture: Picture) -> Picture:
    """Grey in three bands, for formats that know colour only: in sRGB, where it has a profile.

    Args:
        picture: A grey picture; floating values stay as they are.

    Returns:
        The picture, without the profile, which is for grey.
    """
    metadata = without_profile(picture.metadata)
    if ICC in picture.metadata and picture.pixels.dtype.kind == "u":
        with suppress(pyvips.Error):  # a damaged profile is as good as none, and the work is done
            image = grey_as_rgb(with_profile(from_pixels(picture.pixels), picture.metadata[ICC]))
            return replace(picture, pixels=image.numpy(), metadata=metadata | carried_by(image))
    pixels = picture.pixels[..., [0, 0, 0, 1][: 3 + picture.has_alpha]]
    return replace(picture, pixels=pixels, metadata=metadata)


def in_srgb(picture: Picture) -> Picture:
    """The picture with its colours converted from its profile to sRGB; without a profile, as it is.

    What EXIF calls Adobe RGB is taken for that where there is no profile.

    Args:
        picture: Any picture; floating values stay as they are, with a note, and so do those whose profile
            turns out to be unusable.

    Raises:
        pyvips.Error: The profile fails while pixels are converted.
    """
    if tags := in_words(picture.metadata):
        note = f"its colour tags ({tags}) are not converted to sRGB"
        return replace(picture, notes=(*picture.notes, note))
    floating = picture.pixels.dtype.kind == "f"
    exif = picture.metadata.get("exif-data", b"")
    if ICC not in picture.metadata:
        if floating or picture.is_grey or not is_adobe_rgb(exif):
            return picture
        picture = replace(picture, metadata={**picture.metadata, ICC: adobe_rgb_profile()})
    image = from_pixels(picture.pixels.astype(np.float32) if floating else picture.pixels)
    image, notes = to_srgb(with_profile(image, picture.metadata[ICC]))
    pixels = picture.pixels if floating else image.numpy().reshape(picture.pixels.shape)
    metadata = without_profile(picture.metadata) | carried_by(image)
    if exif and not floating and ICC in metadata:
        metadata["exif-data"] = exif_of_srgb(exif)
    return replace(picture, pixels=pixels, metadata=metadata, notes=(*picture.notes, *notes))


def _converted(values: NDArray[Any], depth: str) -> NDArray[Any]:
    """Values of one depth, floating ones in [0, 1], to another."""
    share = ValueRange.of(values[..., :0]).encode(values)
    return ValueRange.of(np.zeros(0, depth)).decode(np.minimum(share, np.float32(1)))


def _associated(picture: Picture, *, premultiplied: bool) -> Picture:
    """Floating colours multiplied by alpha, or divided by it where it is above 0."""
    alpha = picture.alpha
    if alpha is None or picture.premultiplied == premultiplied or picture.pixels.dtype.kind != "f":
        return picture
    share = alpha.astype(np.float32)
    factor = share if premultiplied else 1 / np.where(share > 0, share, 1)
    pixels = np.concatenate([(picture.colour * factor).astype(picture.pixels.dtype), alpha], 2)
    return replace(picture, pixels=pixels, premultiplied=premultiplied)
