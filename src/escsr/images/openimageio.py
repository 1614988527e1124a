"""OpenEXR, Radiance HDR and JPEG XL, through OpenImageIO."""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from escsr.images.colour import dropped_channels
from escsr.images.colour_tags import PRIMARIES, primaries_tags
from escsr.images.conversion import as_colour, in_srgb
from escsr.images.formats import Format, package_of
from escsr.images.icc import grey_profile, profile_space
from escsr.images.jxl_boxes import read_boxes, write_boxes
from escsr.images.metadata import ICC, PIXEL_ASPECT, aspect_of, aspect_tags, fitted, without_profile
from escsr.images.picture import Picture
from escsr.images.unreadable import damaged, reason, unreadable

__all__ = ["read", "read_header", "write"]

_KINDS = ("uint8", "uint16", "half", "float")
"""Types of values that come as they are; others become float."""

_MOST_STORED = 16
"""Times more pixels than are shown that a file may hold: film has some beyond its edges."""

_WITH_COLOUR = (("R", "G", "B", "A"), ("R", "G", "B"), ("Y", "A"), ("Y",))
"""Channels of a layer that are a picture, the best first."""

_MAIN_LAYERS = ("", "combined", "beauty", "rgba", "color")
"""What renderers call the finished picture, beside which they store its parts."""

_TURNED = (5, 6, 7, 8)
"""Orientations with width and height exchanged."""

_RADIANCE_ORDER = re.compile(rb"\n\r?\n([+-][XY])\s+\d+\s+([+-][XY])\s+\d+")
_RADIANCE_ORDERS = {
    b"-Y+X": 1,
    b"-Y-X": 2,
    b"+Y-X": 3,
    b"+Y+X": 4,
    b"+X-Y": 5,
    b"-X-Y": 6,
    b"-X+Y": 7,
    b"+X+Y": 8,
}
"""Orientations by the axes of rows and of pixels in them; Y goes up."""

_MOST_HEADER = 1 << 16
"""Bytes that are searched for it."""

_CHROMATICITIES, _ASPECT = "chromaticities", "PixelAspectRatio"

_NAMES = {1: ("Y",), 2: ("Y", "A"), 3: ("R", "G", "B"), 4: ("R", "G", "B", "A")}


def read_header(path: str | os.PathLike[str], format: Format) -> tuple[int, int, int]:
    """Width, height and number of channels.

    Raises:
        ImageError: The file is damaged or hides far more than it shows, or the package is not installed.
        UnicodeDecodeError: Text in it, which OpenImageIO takes for UTF-8, is not.
    """
    with closing(_opened(path, format)) as source:
        spec = source.spec()
    if spec.image_pixels() > _MOST_STORED * spec.full_width * spec.full_height:
        stored, shown = f"{spec.width}×{spec.height}", f"{spec.full_width}×{spec.full_height}"
        raise unreadable(path, f"it stores {stored} pixels but shows {shown}")
    sides = spec.full_width, spec.full_height
    width, height = sides[::-1] if _orientation(spec, path, format) in _TURNED else sides
    return width, height, len(_channels(spec, format)[0])


def read(path: str | os.PathLike[str], format: Format) -> Picture:
    """Reads a picture; of an EXR file with many channels those of colour and alpha.

    Raises:
        ImageError: The file is damaged, or the package is not installed.
        UnicodeDecodeError: Text in it, which OpenImageIO takes for UTF-8, is not.
    """
    with closing(_opened(path, format)) as source:
        spec = source.spec()
        kind = str(spec.format) if str(spec.format) in _KINDS else "float"
        pixels = source.read_image(0, 0, 0, spec.nchannels, kind)
        if pixels is None or source.has_error:
            raise damaged(path, reason(source.geterror()))
    if spec.roi != spec.roi_full:  # EXR may store less or more than what is shown: black where nothing is
        window = package_of(format, path).ImageBuf(spec)
        window.set_pixels(spec.roi, pixels)
        pixels = window.get_pixels(kind, spec.roi_full)
    wanted, layer = _channels(spec, format)
    pixels = pixels.reshape(spec.full_height, spec.full_width, spec.nchannels)[..., wanted]
    left_out = spec.nchannels - len(wanted)
    notes = [f"its colours are those of the layer {layer}"] if layer else []
    notes += [dropped_channels(left_out)] if left_out else []
    orientation = _orientation(spec, path, format)
    profile = spec.getattribute("ICCProfile")
    block = b"" if profile is None else np.asarray(profile, np.uint8).tobytes()
    metadata = {ICC: block} if profile_space(block) == ("GRAY" if len(wanted) < 3 else "RGB") else {}
    if format.name == "OpenEXR":
        metadata |= _exr_tags(spec, is_turned=orientation in _TURNED)
    if format.name == "JPEG XL":
        metadata |= fitted(read_boxes(path), spec.full_width, spec.full_height)
    return Picture(
        np.ascontiguousarray(_upright(pixels, orientation)),
        metadata,
        linear=format.is_linear,
        premultiplied=format.is_linear and len(wanted) in (2, 4),
        notes=tuple(notes),
    )


def write(picture: Picture, path: Path, format: Format, quality: int) -> None:
    """Writes a picture that the format can hold.

    Args:
        picture: Of a depth and form of the format.
        path: The file.
        format: JPEG XL, OpenEXR or Radiance HDR.
        quality: 1 to 99, for JPEG XL; 100 for lossless.

    Raises:
        OSError: Writing fails.
    """
    if picture.is_grey and (not format.has_grey or (format.name == "JPEG XL" and picture.has_alpha)):
        picture = as_colour(picture)  # OpenImageIO writes no grey with alpha to JPEG XL
    try:
        _encode(picture, path, format, quality)
    except OSError:
        if ICC not in picture.metadata:
            raise
        with suppress(pyvips.Error):  # JPEG XL's encoder refuses profiles that others take
            picture = in_srgb(picture)
        picture = replace(picture, metadata=without_profile(picture.metadata))
        _encode(picture, path, format, quality)
    if format.name == "JPEG XL":
        write_boxes(path, picture.metadata)


def _encode(picture: Picture, path: Path, format: Format, quality: int) -> None:
    """Writes the pixels with what says their colours."""
    oiio, pixels = package_of(format, path), picture.pixels
    height, width, channels = pixels.shape
    kind = {"float16": "half", "float32": "float"}.get(pixels.dtype.name, pixels.dtype.name)
    spec = oiio.ImageSpec(width, height, channels, kind)
    spec.channelnames = _NAMES[channels]
    spec.alpha_channel = channels - 1 if channels in (2, 4) else -1
    if format.name == "JPEG XL":
        spec.attribute("Compression", f"jpegxl:{quality}")
        spec.attribute("oiio:UnassociatedAlpha", 1)
    if format.name == "OpenEXR":
        _state_exr_tags(spec, picture.metadata)
    profile = picture.metadata.get(ICC) if "ICC" in format.keeps else None
    for_display = pixels.dtype.kind == "f" and not (picture.linear or profile)
    if format.name == "JPEG XL" and for_display:  # floats are else taken for linear light
        if picture.is_grey:
            profile = grey_profile()
        else:
            spec.attribute("oiio:ColorSpace", "sRGB")
    if profile:
        spec.attribute("ICCProfile", f"uint8[{len(profile)}]", np.frombuffer(profile, np.uint8))
    name = _in_utf8(path)
    if (target := oiio.ImageOutput.create(name)) is None:
        raise OSError(reason(oiio.geterror()))
    written = target.open(name, spec) and target.write_image(np.ascontiguousarray(pixels))
    if not (target.close() and written):
        raise OSError(reason(target.geterror()))


def _opened(path: str | os.PathLike[str], format: Format) -> Any:
    oiio = package_of(format, path)
    settings = oiio.ImageSpec()
    if not format.is_linear:
        settings.attribute("oiio:UnassociatedAlpha", 1)
    source = oiio.ImageInput.open(_in_utf8(path), settings)
    if source is None:
        raise damaged(path, reason(oiio.geterror()))
    return source


def _in_utf8(path: str | os.PathLike[str]) -> str:
    """A path as OpenImageIO takes it; on Linux a name may be any bytes."""
    try:
        return os.fspath(path).encode().decode()
    except UnicodeEncodeError as error:
        raise OSError("OpenImageIO needs names in UTF-8; rename it") from error


def _channels(spec: Any, format: Format) -> tuple[list[int], str]:
    """Where colour and alpha are: RGB or Y of one layer, else the first channels; and the layer's name.

    Y is luminance, unless it stands beside X: there it is a direction.
    """
    layers: dict[str, dict[str, int]] = {}
    for place, name in enumerate(spec.channelnames):
        layer, _, channel = name.rpartition(".")
        layers.setdefault(layer, {})[channel.upper()] = place
    found = {
        layer: [places[name] for name in names]
        for layer, places in layers.items()
        for names in reversed(_WITH_COLOUR)
        if all(name in places for name in names) and not ("Y" in names and "X" in places)
    }
    if found:
        layer = min(found, key=lambda name: _rank(name, len(found[name])))
        return found[layer], layer
    if format.is_linear:  # what is not called alpha is none
        return list(range(3 if spec.nchannels >= 3 else 1)), ""
    return list(range(min(spec.nchannels, 4))), ""


def _rank(layer: str, channels: int) -> tuple[bool, bool, int]:
    """Lower for a layer that is rather the finished picture."""
    return layer != "", layer.rpartition(".")[2].lower() not in _MAIN_LAYERS, -channels


def _orientation(spec: Any, path: str | os.PathLike[str], format: Format) -> int:
    """How the stored picture is to be turned, by the numbers of EXIF.

    The decoder of JPEG XL turns it by itself. OpenImageIO takes two orders of Radiance for each other, so
    these are read here.
    """
    if format.name == "Radiance HDR":
        with open(path, "rb") as file:
            order = _RADIANCE_ORDER.search(file.read(_MOST_HEADER))
        return _RADIANCE_ORDERS.get(b"".join(order.groups()), 1) if order else 1
    stated = spec.getattribute("Orientation") if format.name == "OpenEXR" else 1
    return int(stated) if stated in range(1, 9) else 1


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """(H, W, C) as it is to be seen."""
    pixels = pixels.swapaxes(0, 1) if orientation in _TURNED else pixels
    flip = (orientation - 1) % 4
    pixels = pixels[:, ::-1] if flip in (1, 2) else pixels
    return pixels[::-1] if flip in (2, 3) else pixels


def _exr_tags(spec: Any, *, is_turned: bool) -> dict[str, bytes]:
    """Blocks of primaries that are not those of sRGB, and of the shape of pixels that are not square."""
    tags = primaries_tags(spec.getattribute(_CHROMATICITIES) or ())
    aspect = float(spec.getattribute(_ASPECT) or 1)
    if aspect != 1 and 0 < aspect < math.inf:
        tags |= aspect_tags(1 / aspect if is_turned else aspect)
    return tags


def _state_exr_tags(spec: Any, metadata: Mapping[str, bytes]) -> None:
    """Puts the blocks of `_exr_tags` into what a file says of itself."""
    if PRIMARIES in metadata:
        spec.attribute(_CHROMATICITIES, "float[8]", struct.unpack("<8f", metadata[PRIMARIES]))
    if PIXEL_ASPECT in metadata:
        spec.attribute(_ASPECT, aspect_of(metadata))
