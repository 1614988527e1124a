"""OpenEXR, Radiance HDR and JPEG XL, through OpenImageIO."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from escsr.images.colour import dropped_channels
from escsr.images.conversion import as_colour, in_srgb
from escsr.images.formats import Format, package_of
from escsr.images.icc import grey_profile, profile_space
from escsr.images.jxl_boxes import read_boxes, write_boxes
from escsr.images.metadata import ICC, fitted, without_profile
from escsr.images.picture import Picture
from escsr.images.unreadable import damaged, reason, unreadable

__all__ = ["read", "read_header", "write"]

_KINDS = ("uint8", "uint16", "half", "float")
"""Types of values that come as they are; others become float."""

_MOST_STORED = 16
"""Times more pixels than are shown that a file may hold: film has some beyond its edges."""

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
    return spec.full_width, spec.full_height, len(_channels(spec))


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
    wanted = _channels(spec)
    pixels = pixels.reshape(spec.full_height, spec.full_width, spec.nchannels)[..., wanted]
    left_out = spec.nchannels - len(wanted)
    notes = (dropped_channels(left_out),) if left_out else ()
    profile = spec.getattribute("ICCProfile")
    block = b"" if profile is None else np.asarray(profile, np.uint8).tobytes()
    metadata = {ICC: block} if profile_space(block) == ("GRAY" if len(wanted) < 3 else "RGB") else {}
    if format.name == "JPEG XL":
        metadata |= fitted(read_boxes(path), spec.full_width, spec.full_height)
    return Picture(
        np.ascontiguousarray(pixels),
        metadata,
        linear=format.is_linear,
        premultiplied=format.is_linear and len(wanted) in (2, 4),
        notes=notes,
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


def _channels(spec: Any) -> list[int]:
    """Where colour and alpha are: RGB or Y by name, else the first channels."""
    places = {name.upper(): place for place, name in enumerate(spec.channelnames)}
    for wanted in (("R", "G", "B", "A"), ("R", "G", "B"), ("Y", "A"), ("Y",)):
        if all(name in places for name in wanted):
            return [places[name] for name in wanted]
    return list(range(min(spec.nchannels, 4)))
