"""Formats of picture files: what each can hold, and how a file shows which it is."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from escsr.errors import ImageError, OutputError
from escsr.images.tiff import is_camera_raw
from escsr.images.unreadable import reason, unreadable, what_it_is
from escsr.runtime.extras import install_line

__all__ = [
    "CAMERA_RAW",
    "FORMATS",
    "FORMAT_OF",
    "READABLE",
    "VIPS_NAMES",
    "WRITABLE",
    "Format",
    "check_size",
    "check_suffix",
    "is_installed",
    "package_of",
    "recognise",
]


@dataclass(frozen=True)
class Format:
    """What a format can hold.

    Attributes:
        name: As people write it.
        suffixes: Endings of its files, the usual one first.
        depths: Types of pixel values, as numpy names them.
        lossless: Whether pixels come back equal: always, never, or where `WriteOptions` asks for it.
        max_side: Most pixels of width and of height.
        has_alpha: Whether it holds opacity.
        has_grey: Whether grey stays one channel.
        is_animated: Whether it holds frames with their timing.
        is_linear: Whether its values are proportional to light.
        keeps: Which of ICC, EXIF and XMP it holds.
        extra: The extra of escsr that it requires, see `install_line`.
        is_written: Whether results can be written in it.
    """

    name: str
    suffixes: tuple[str, ...]
    depths: tuple[str, ...]
    lossless: Literal["always", "option", "never"]
    max_side: int
    has_alpha: bool = True
    has_grey: bool = True
    is_animated: bool = False
    is_linear: bool = False
    keeps: tuple[str, ...] = ("ICC", "EXIF", "XMP")
    extra: str | None = None
    is_written: bool = True


_PACKAGES = {"jxl": "OpenImageIO", "exr": "OpenImageIO", "heic": "pillow_heif", "raw": "rawpy"}
"""What each extra installs."""

_MOST = 2**30
_FLOATS = ("float16", "float32")
_EXR = Format("OpenEXR", (".exr",), _FLOATS, "always", _MOST, is_linear=True, keeps=(), extra="exr")
_COLOUR_OF_LIGHT = replace(_EXR, has_alpha=False, has_grey=False)

FORMATS = (
    Format("PNG", (".png",), ("uint8", "uint16"), "always", 10_000_000),
    Format("JPEG", (".jpg", ".jpeg", ".jfif"), ("uint8",), "never", 65_500, has_alpha=False),
    Format("WebP", (".webp",), ("uint8",), "option", 16_383, has_grey=False, is_animated=True),
    Format("AVIF", (".avif",), ("uint8", "uint16"), "option", 16_384, has_grey=False),
    Format("TIFF", (".tif", ".tiff"), ("uint8", "uint16", "float32"), "always", 10_000_000),
    Format("GIF", (".gif",), ("uint8",), "never", 65_535, has_grey=False, is_animated=True, keeps=()),
    Format("JPEG XL", (".jxl",), ("uint8", "uint16", *_FLOATS), "option", _MOST, extra="jxl"),
    _EXR,
    replace(
        _COLOUR_OF_LIGHT, name="Radiance HDR", suffixes=(".hdr",), depths=("float32",), lossless="never"
    ),
    Format("HEIC", (".heic", ".heif"), ("uint8", "uint16"), "never", 16_384, has_grey=False, extra="heic"),
    Format(
        "Camera raw",
        (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"),
        ("uint16",),
        "never",
        _MOST,
        has_alpha=False,
        has_grey=False,
        keeps=(),
        extra="raw",
        is_written=False,
    ),
)
"""All formats that can be read, and which of them can be written."""

FORMAT_OF = {suffix: format for format in FORMATS for suffix in format.suffixes}
"""Formats by the endings of their files."""

READABLE = tuple(FORMAT_OF)
"""Endings of files that can be read."""

WRITABLE = {suffix: format for suffix, format in FORMAT_OF.items() if format.is_written}
"""Endings of files that can be written, with their format."""

_LARGE = (".png", ".tif")
"""Endings to choose where another format holds too few pixels a side."""

VIPS_NAMES = {"PNG": "png", "JPEG": "jpeg", "WebP": "webp", "AVIF": "heif", "TIFF": "tiff", "GIF": "gif"}
"""Formats that libvips reads and writes, as its functions call them."""

CAMERA_RAW = FORMATS[-1]
"""Of most cameras TIFF files, see `recognise`."""

_SIGNATURES = {
    "Camera raw": rb"II\*\0.{4}CR|FUJIFILMCCD-RAW|IIR[OS]|MMOR|IIU\0|.{4}ftypcrx",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "WebP": rb".{8}WEBP",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "GIF": rb"GIF8",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
    "OpenEXR": rb"\x76\x2f\x31\x01",
    "Radiance HDR": rb"#\?RADIANCE|#\?RGBE",
    "AVIF": rb".{4}ftyp(.{8}(.{4})*?)?avi[fs]",
    "HEIC": rb".{4}ftyp((.{8}(.{4})*?)?(hei[cxms]|hev[cx])|mif1|msf1)",
}
"""Patterns of files' first bytes. Brands of AVIF and HEIC stand first or behind the version; mif1 and msf1
say nothing of the codec, those that follow do."""


def recognise(path: str | os.PathLike[str]) -> Format:
    """Tells a file's format from its content; its ending only tells some camera raw from TIFF.

    Args:
        path: The file.

    Returns:
        One of `FORMATS`.

    Raises:
        ImageError: The file is missing, empty, cannot be opened or is of another kind.
    """
    path = Path(path)
    try:
        if not path.is_file():
            there = path.exists() or path.is_symlink()
            raise ImageError(f"{path}: not a file." if there else f"{path}: there is no such file.")
        with open(path, "rb") as file:
            head = file.read(64)
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: cannot be opened ({reason(error)}).") from error
    if head[4:8] == b"ftyp":
        head = head[: max(16, int.from_bytes(head[:4], "big"))]  # brands end with their box
    matches = (name for name, mark in _SIGNATURES.items() if re.match(mark, head, re.DOTALL))
    if (name := next(matches, None)) is None:
        raise unreadable(path, what_it_is(head))
    if name == "TIFF" and (path.suffix.lower() in CAMERA_RAW.suffixes or _is_raw(path)):
        return CAMERA_RAW  # of which a TIFF reader sees the thumbnail
    return next(format for format in FORMATS if format.name == name)


def _is_raw(path: Path) -> bool:
    try:
        return is_camera_raw(path)
    except OSError as error:
        raise ImageError(f"{path}: cannot be opened ({reason(error)}).") from error


def check_suffix(path: Path, *, has_alpha: bool = False) -> Format:
    """The format of a file to be written.

    Args:
        path: The file; its ending decides.
        has_alpha: Whether the picture has opacity.

    Raises:
        OutputError: The ending is none of `WRITABLE`, the package for its format is not installed, or
            the format cannot hold transparency.
    """
    format = WRITABLE.get(path.suffix.lower())
    if format is None:
        only_read = (
            " Camera raw files can only be read." if path.suffix.lower() in CAMERA_RAW.suffixes else ""
        )
        raise OutputError(
            f"Cannot write {path.name}: its ending must be one of {', '.join(WRITABLE)}.{only_read}"
        )
    if not is_installed(format):
        raise OutputError(_missing_extra(path, format))
    if has_alpha and not format.has_alpha:
        raise OutputError(
            f"{path}: {format.name} cannot hold transparency; choose .png, .webp, .tif or .avif."
        )
    return format


def check_size(path: Path, width: int, height: int) -> None:
    """Refuses a result that its format cannot hold.

    Args:
        path: File to be written, with an ending of `WRITABLE`.
        width: Pixels of the result.
        height: Pixels of the result.

    Raises:
        OutputError: A side is too long for the format.
    """
    format, side = check_suffix(path), max(width, height)
    if side > format.max_side:
        larger = " or ".join(suffix for suffix in _LARGE if FORMAT_OF[suffix].max_side >= side)
        raise OutputError(
            f"{path}: {format.name} holds up to {format.max_side} pixels a side, not {width}×{height}; "
            f"choose {larger}{', or ' if larger else ''}a smaller size."
        )


def package_of(format: Format, path: str | os.PathLike[str]) -> Any:
    """The package that reads and writes a format of an extra.

    Raises:
        ImageError: It is not installed, with the line that installs it.
    """
    try:
        return import_module(_PACKAGES[format.extra or ""])
    except ImportError as error:
        raise ImageError(_missing_extra(path, format)) from error


def is_installed(format: Format) -> bool:
    """Whether the package of a format is there; formats without one always are."""
    return format.extra is None or find_spec(_PACKAGES[format.extra]) is not None


def _missing_extra(path: str | os.PathLike[str], format: Format) -> str:
    return f"{path}: {format.name} requires a package: {install_line(format.extra or '')}"
