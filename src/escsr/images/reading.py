"""Files → pictures: the content decides the format, the header the depth."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from escsr.errors import ImageError
from escsr.images import camera_raw, colour, heic, openimageio, tiff_exif
from escsr.images.auxiliary import auxiliary_losses
from escsr.images.colour_tags import avif_tags, png_tags
from escsr.images.conversion import in_srgb, losses
from escsr.images.exif_fitting import exif_orientation
from escsr.images.formats import VIPS_NAMES, Format, check_suffix, recognise
from escsr.images.iptc import bare_iptc
from escsr.images.jpeg_segments import read_xmp
from escsr.images.metadata import ICC, carried_by, number, with_sound_profile, with_truthful_xmp
from escsr.images.picture import Animation, Picture
from escsr.images.png_chunks import late_blocks, png_chunks, states_resolution
from escsr.images.tiff import check_checksums, extra_channels, lab8_as_rgb, unsupported_space
from escsr.images.unreadable import damaged, reason, unreadable
from escsr.images.value_range import from_upper_bits
from escsr.runtime.fork import claim_process

__all__ = ["Header", "read", "read_animation", "read_for", "read_header", "read_size"]

_USUAL_DELAY_MS = 100
_MOST_PIXELS_PER_MM = 10_000
_MOST_PADDING = 1 << 24
"""Bytes by which tiles may reach beyond a small picture."""

_LOST_PROFILE = "its colour profile is damaged or does not fit its pixels, and is dropped"
"""Of a PNG, whose decoder does not say why."""

_DEPTHS = {"uchar": "uint8", "ushort": "uint16", "float": "float32", "double": "float32"}


@dataclass(frozen=True)
class Header:
    """What a file says before it is decoded.

    Attributes:
        format: Its format, by its content.
        width: Pixels of the upright picture.
        height: Pixels of the upright picture.
        channels: 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha.
        frames: Frames of an animation, else 1.
        depth: Type of the pixel values that `read` gives, such as "uint8"; None where decoding alone tells.
    """

    format: Format
    width: int
    height: int
    channels: int
    frames: int = 1
    depth: str | None = None


def read_header(path: str | os.PathLike[str]) -> Header:
    """Reads what a file says of its picture, without decoding it.

    Args:
        path: The file.

    Returns:
        The header.

    Raises:
        ImageError: The file is missing or not a picture.
    """
    format = recognise(path)
    with _refused(path):
        if format.extra is not None:
            return Header(format, *_reader_of(format).read_header(path, format))
        image = _opened(path, format)
        frames = number(image, "n-pages", 1) if format.is_animated else 1
        image, _ = _in_grey_or_rgb(image, path, format)
    return Header(format, image.width, image.height, image.bands, frames, _DEPTHS.get(image.format))


def read_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of the upright picture, from the file's header, without decoding it.

    Raises:
        ImageError: The file is missing or not a picture.
    """
    header = read_header(path)
    return header.width, header.height


def read(path: str | os.PathLike[str], *, to_srgb: bool = False) -> Picture:
    """Reads a picture file; of several pages or frames the first.

    The bit depth is the file's; EXIF orientation is applied once; palettes become RGB, CMYK is
    converted to sRGB through its profile.

    Args:
        path: The file, of one of `FORMATS`.
        to_srgb: Convert the colours from the file's profile to sRGB.

    Returns:
        The picture.

    Raises:
        ImageError: The file is missing, damaged, truncated or of another kind, or its format requires a
            package that is not installed.
    """
    format = recognise(path)
    with _refused(path):
        if format.extra is None:
            picture = _read_by_vips(path, format)
        else:
            picture = _reader_of(format).read(path, format)
            metadata, notes = with_sound_profile(picture.metadata)
            picture = replace(picture, metadata=metadata, notes=(*picture.notes, *notes))
        picture = in_srgb(picture) if to_srgb else picture
        lost = auxiliary_losses(path, format)
    metadata, notes = with_truthful_xmp(picture.metadata)
    notes += [note for note in lost if note not in notes]
    return replace(
        picture, pixels=_finite(picture.pixels), metadata=metadata, notes=(*picture.notes, *notes)
    )


def read_for(
    target: str | os.PathLike[str], path: str | os.PathLike[str], *, to_srgb: bool = False
) -> Picture | Animation:
    """Reads what of a file another can hold: an animation where both formats have them, else a picture.

    Args:
        target: The file to be written later; its ending decides.
        path: The file to read.
        to_srgb: As for `read`.

    Returns:
        An animation, where the file has several frames and the target can hold them; else a picture,
        without its alpha where that is opaque throughout and the target knows none. Its notes also say
        what the target cannot hold.

    Raises:
        ImageError: As for `read`.
        OutputError: The target's ending is none of `WRITABLE`, or it cannot hold the transparency.
    """
    format = check_suffix(Path(target))
    if format.is_animated and read_header(path).frames > 1:
        animation = read_animation(path, to_srgb=to_srgb)
        return replace(animation, notes=(*animation.notes, *losses(animation, format)))
    picture = read(path, to_srgb=to_srgb)
    if not format.has_alpha and picture.is_opaque:
        picture = replace(picture, pixels=np.ascontiguousarray(picture.colour), premultiplied=False)
    check_suffix(Path(target), has_alpha=picture.has_alpha)
    return replace(picture, notes=(*picture.notes, *losses(picture, format)))


def read_animation(path: str | os.PathLike[str], *, to_srgb: bool = False) -> Animation:
    """Reads all frames of a GIF or WebP file, each as it is seen.

    Args:
        path: The file.
        to_srgb: Convert the colours from the file's profile to sRGB.

    Returns:
        The animation; of one frame, where the file is a still picture.

    Raises:
        ImageError: The file is missing, damaged or holds no animations by its kind.
    """
    format = recognise(path)
    if not format.is_animated:
        raise ImageError(f"{path}: {format.name} files hold no animation; GIF and WebP do.")
    with _refused(path):
        image = _opened(path, format, n=-1)
        image, notes = colour.to_grey_or_rgb(image)
        image, unusable = colour.to_srgb(image) if to_srgb else (image, [])
        notes += unusable
        if image.bands < 3:
            image = colour.grey_as_rgb(image)
        delays = list(image.get("delay")) if image.get_typeof("delay") else []
        pages = [page.autorot() for page in image.pagesplit()]
        frames = pyvips.Image.arrayjoin(pages, across=1).numpy()
        frames = frames.reshape(len(pages), pages[0].height, pages[0].width, image.bands)
    delays += [_USUAL_DELAY_MS] * len(frames)
    loops, (metadata, lost) = number(image, "loop", 0), with_truthful_xmp(carried_by(image))
    return Animation(frames, tuple(delays[: len(frames)]), loops, metadata, (*notes, *lost))


def _reader_of(format: Format) -> ModuleType:
    """The module that reads a format of an extra."""
    return {"HEIC": heic, "Camera raw": camera_raw}.get(format.name, openimageio)


def _read_by_vips(path: str | os.PathLike[str], format: Format) -> Picture:
    image = _opened(path, format)
    bits, pages = number(image, "bits-per-sample", 0), number(image, "n-pages", 1)
    lost_profile = format.name == "PNG" and not image.get_typeof(ICC) and b"iCCP" in png_chunks(path)
    image, notes = _in_grey_or_rgb(image, path, format)
    notes += [_LOST_PROFILE] if lost_profile else []
    if image.format not in _DEPTHS:
        raise ImageError(f"{path}: pixels of type {image.format} are not supported; use 8, 16 or float32.")
    metadata = carried_by(image) | _beside(path, format, has_profile=bool(image.get_typeof(ICC)))
    metadata["iptc-data"] = bare_iptc(metadata.get("iptc-data", b""))
    pixels = image.numpy().astype(_DEPTHS[image.format], copy=False)
    if format.name == "TIFF":
        check_checksums(path, 2 * pixels.nbytes + _MOST_PADDING)
    if pages > 1:
        notes.append(f"the first of {pages} {'frames' if format.is_animated else 'pages'}")
    elif _moves(path, format):
        notes.append("the first frame of an animation")
    if format.name == "AVIF" and pixels.dtype == np.uint16 and bits:
        pixels = from_upper_bits(pixels, bits)
    return Picture(
        pixels=pixels[..., None] if pixels.ndim == 2 else pixels,
        metadata={name: block for name, block in metadata.items() if block},
        pixels_per_mm=_resolution(image, path, format),
        bits=bits or None if format.name == "AVIF" else None,
        notes=tuple(notes),
    )


def _in_grey_or_rgb(
    image: pyvips.Image, path: str | os.PathLike[str], format: Format
) -> tuple[pyvips.Image, list[str]]:
    """An image as it was loaded, upright, in grey or RGB with at most one channel beside it; and notes."""
    kinds = extra_channels(path) if format.name == "TIFF" else []
    image, dropped = colour.with_opacity_only(image.autorot(), kinds)
    image, notes = colour.to_grey_or_rgb(image)
    return image, dropped + notes


def _beside(path: str | os.PathLike[str], format: Format, *, has_profile: bool) -> dict[str, bytes]:
    """Blocks of a file that libvips passes over."""
    if format.name == "TIFF":
        blocks = {"exif-data": tiff_exif.read_exif(path), "iptc-data": tiff_exif.read_iptc(path)}
        return {name: block for name, block in blocks.items() if block}
    if format.name == "PNG":
        return png_tags(path)
    if format.name == "JPEG":
        return {"xmp-data": xmp} if (xmp := read_xmp(path)) else {}
    return avif_tags(path) if format.name == "AVIF" and not has_profile else {}


def _opened(path: str | os.PathLike[str], format: Format, **options: Any) -> pyvips.Image:
    """Through a descriptor: libvips takes names in UTF-8 only, and may give one thread's to another."""
    claim_process()
    tiff = format.name == "TIFF"
    if tiff and (space := unsupported_space(path)) is not None:
        raise unreadable(path, f"its colour space, {space}, is not supported; save it as RGB")
    options["fail_on"] = "error" if tiff else "truncated"  # a TIFF reader leaves black what it cannot read
    if tiff and (lab := lab8_as_rgb(path)) is not None:
        return colour.from_lab(pyvips.Image.tiffload_buffer(lab, **options))
    with open(path, "rb") as file:
        source = pyvips.Source.new_from_descriptor(file.fileno())
        image = getattr(pyvips.Image, f"{VIPS_NAMES[format.name]}load_source")(source, **options)
    return _with_late_blocks(image, path) if format.name == "PNG" else image


def _with_late_blocks(image: pyvips.Image, path: str | os.PathLike[str]) -> pyvips.Image:
    """A PNG's EXIF, with the orientation in it, and XMP also where they stand behind the pixels."""
    blocks = late_blocks(path) if {"exif-data", "xmp-data"} - set(image.get_fields()) else {}
    image = image.copy() if blocks else image
    for name in blocks.keys() - set(image.get_fields()):
        image.set_type(pyvips.GValue.blob_type, name, blocks[name])
        if name == "exif-data":
            orientation = exif_orientation(blocks[name])
            image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return image


def _moves(path: str | os.PathLike[str], format: Format) -> bool:
    """Whether a PNG or AVIF file holds further frames, which are not read."""
    if format.name == "PNG":
        return b"acTL" in png_chunks(path)
    with open(path, "rb") as file:
        return format.name == "AVIF" and file.read(12)[8:] == b"avis"


def _resolution(
    image: pyvips.Image, path: str | os.PathLike[str], format: Format
) -> tuple[float, float] | None:
    """Pixels per mm; None for what no print has, and for what libvips puts where the file says nothing."""
    across, down = float(image.xres), float(image.yres)
    known = 0 < across < _MOST_PIXELS_PER_MM and 0 < down < _MOST_PIXELS_PER_MM
    if format.name == "PNG":
        known = known and states_resolution(path)
    else:
        known = known and format.name in ("JPEG", "TIFF") and bool(image.get_typeof("resolution-unit"))
    return (across, down) if known else None


def _finite(pixels: NDArray[Any]) -> NDArray[Any]:
    """Floating pixels without infinities and NaN, which renderers leave: the greatest value, and 0."""
    if pixels.dtype.kind != "f" or np.isfinite(pixels).all():
        return pixels
    greatest = pixels.max(initial=0, where=np.isfinite(pixels))
    return np.nan_to_num(pixels, nan=0.0, posinf=greatest, neginf=0.0)


@contextmanager
def _refused(path: str | os.PathLike[str]) -> Iterator[None]:
    """What decoders and the system give as their reason becomes an `ImageError`."""
    try:
        yield
    except UnicodeDecodeError as error:  # names of channels and messages come from the file
        raise unreadable(path, "text in it is not UTF-8") from error
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({reason(error)}).") from error
    except (pyvips.Error, zlib.error) as error:
        raise damaged(path, reason(error)) from error
