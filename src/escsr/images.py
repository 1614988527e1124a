"""Picture files: pixels of any depth in, pixels out, with colour profile and metadata carried along."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from escsr import tiff_exif
from escsr.atomic import atomic_path
from escsr.errors import DataError, ImageError, NoPicturesError, OutputError

__all__ = ["READABLE", "WRITABLE", "Picture", "check_suffix", "find_images", "read", "read_size", "write"]

_LOADERS = ("jpeg", "png", "webp", "tiff", "heif", "gif")
READABLE = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".avif", ".gif")
WRITABLE: dict[str, dict[str, Any]] = {
    ".jpg": {"Q": 95, "subsample_mode": "off", "optimize_coding": True},
    ".jpeg": {"Q": 95, "subsample_mode": "off", "optimize_coding": True},
    ".png": {"compression": 6},
    ".webp": {"Q": 95, "smart_subsample": True},
    ".tif": {"compression": "deflate", "predictor": "horizontal"},
    ".tiff": {"compression": "deflate", "predictor": "horizontal"},
    ".avif": {"Q": 85, "compression": "av1", "subsample_mode": "off", "effort": 4},
}
"""Suffixes that can be written, with the encoder's settings."""

_SIXTEEN_BIT = (".png", ".tif", ".tiff", ".avif")
_TIFF = (".tif", ".tiff")
_WITHOUT_ALPHA = (".jpg", ".jpeg")
_CARRIED = ("exif-data", "icc-profile-data", "xmp-data", "iptc-data")
_GREY, _GREY_ALPHA, _RGB, _RGBA = 1, 2, 3, 4
_FIRST_TRANSPOSED = 5
"""EXIF orientations from here on swap width and height."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright, with what a file carries beside the pixels.

    Attributes:
        pixels: (H, W, C), uint8 or uint16; C is 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA, in the
            colour space of the profile.
        metadata: Blocks of the file as they were: "exif-data", "xmp-data", "iptc-data" and
            "icc-profile-data". The orientation in EXIF is already applied; it is written as upright.
        pixels_per_mm: Resolution for printing, or None.
    """

    pixels: NDArray[Any]
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    pixels_per_mm: tuple[float, float] | None = None

    @property
    def colour(self) -> NDArray[Any]:
        """Colour or grey channels only: (H, W, 3) or (H, W, 1)."""
        return self.pixels[..., : self.pixels.shape[2] - self.has_alpha]

    @property
    def alpha(self) -> NDArray[Any] | None:
        """(H, W, 1), or None."""
        return self.pixels[..., -1:] if self.has_alpha else None

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is opacity."""
        return self.pixels.shape[2] in (_GREY_ALPHA, _RGBA)


def read(path: str | os.PathLike[str]) -> Picture:
    """Reads a JPEG, PNG, WebP, TIFF, AVIF or GIF file (its first frame).

    The bit depth is the file's; EXIF orientation is applied once; palettes become RGB, CMYK is
    converted to sRGB through its profile.

    Args:
        path: The file.

    Returns:
        The picture.

    Raises:
        ImageError: The file is missing, damaged, truncated or not a picture of these formats.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"{path}: there is no such file." if not path.exists() else f"{path}: not a file.")
    try:
        image = pyvips.Image.new_from_file(str(path), fail_on="truncated", revalidate=True)
        loader = str(image.get("vips-loader"))
        if not loader.startswith(_LOADERS):
            raise ImageError(f"{path}: {loader} files are not supported; use {_names(READABLE)}.")
        image = _to_grey_or_rgb(image.autorot())
        metadata = _metadata(image)
        if loader.startswith("tiff") and (exif := tiff_exif.read_exif(path)):
            metadata["exif-data"] = exif
        pixels = image.numpy()
    except pyvips.Error as error:
        raise ImageError(
            f"{path}: not a readable picture ({_reason(error)}); supported are {_names(READABLE)}."
        ) from error
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{path}: {pixels.dtype} pixels are not supported; use 8 or 16 bits.")
    return Picture(
        pixels=pixels[..., None] if pixels.ndim == 2 else pixels,
        metadata=metadata,
        pixels_per_mm=(float(image.xres), float(image.yres)),
    )


def read_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of the upright picture, from the file's header, without decoding it.

    Raises:
        ImageError: The file is missing or not a picture.
    """
    if not Path(path).is_file():
        raise ImageError(f"{path}: there is no such file.")
    try:
        image = pyvips.Image.new_from_file(os.fspath(path), revalidate=True)
    except pyvips.Error as error:
        raise ImageError(
            f"{path}: not a readable picture ({_reason(error)}); supported are {_names(READABLE)}."
        ) from error
    turned = image.get_typeof("orientation") and image.get("orientation") >= _FIRST_TRANSPOSED
    return (image.height, image.width) if turned else (image.width, image.height)


def write(picture: Picture, path: str | os.PathLike[str]) -> None:
    """Writes a picture in the format its suffix names; the file appears whole or not at all.

    16-bit pixels are rounded to 8 where the format has no more (JPEG, WebP).

    Args:
        picture: The picture.
        path: Target with one of the suffixes in `WRITABLE`.

    Raises:
        OutputError: The suffix is unknown, JPEG is asked to hold transparency, or writing fails.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    check_suffix(path, has_alpha=picture.has_alpha)
    pixels = picture.pixels
    if pixels.dtype == np.uint16 and suffix not in _SIXTEEN_BIT:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    options: dict[str, Any] = dict(WRITABLE[suffix])
    if suffix == ".avif":
        options["bitdepth"] = 12 if pixels.dtype == np.uint16 else 8
    if "exif-data" not in picture.metadata:
        options["keep"] = "xmp|iptc|icc|other"  # else libvips makes up an EXIF block
    image = _with_metadata(_from_pixels(pixels), picture)
    with atomic_path(path) as temporary:
        try:
            image.write_to_file(str(temporary), **options)
            if suffix in _TIFF and "exif-data" in picture.metadata:
                tiff_exif.write_exif(temporary, picture.metadata["exif-data"])
        except pyvips.Error as error:
            raise OutputError(f"Cannot write {path}: {_reason(error)}.") from error


def check_suffix(path: Path, *, has_alpha: bool = False) -> None:
    """Raises `OutputError` where a file of this suffix cannot be written, or cannot hold transparency."""
    if path.suffix.lower() not in WRITABLE:
        raise OutputError(f"Cannot write {path.name}: its ending must be one of {_names(WRITABLE)}.")
    if has_alpha and path.suffix.lower() in _WITHOUT_ALPHA:
        raise OutputError(f"{path}: JPEG cannot hold transparency; choose .png, .webp, .tif or .avif.")


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """All files below a folder that bear a picture's suffix, sorted by path.

    Args:
        folder: The folder; hidden files and folders are passed over.

    Returns:
        The files.

    Raises:
        DataError: It is not a folder.
        NoPicturesError: It holds no pictures.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder.")
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in READABLE
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not found:
        raise NoPicturesError(f"{folder}: no pictures in it; looked for {_names(READABLE)}.")
    return found


def _to_grey_or_rgb(image: pyvips.Image) -> pyvips.Image:
    """CMYK, Lab and other spaces to sRGB; one or three colour bands as they are."""
    if image.interpretation == "cmyk" and image.get_typeof("icc-profile-data"):
        image = image.icc_transform("srgb", embedded=True, intent="relative")
    elif image.interpretation not in ("srgb", "rgb16", "b-w", "grey16", "rgb", "multiband"):
        image = image.colourspace("srgb")
    if image.bands > _RGBA:
        image = image[:_RGBA]
    return image


def _metadata(image: pyvips.Image) -> dict[str, bytes]:
    return {name: bytes(image.get(name)) for name in _CARRIED if image.get_typeof(name)}


def _from_pixels(pixels: NDArray[Any]) -> pyvips.Image:
    height, width, bands = pixels.shape
    wide = pixels.dtype == np.uint16
    image = pyvips.Image.new_from_memory(
        np.ascontiguousarray(pixels).data, width, height, bands, "ushort" if wide else "uchar"
    )
    grey = bands in (_GREY, _GREY_ALPHA)
    interpretation = ("grey16" if grey else "rgb16") if wide else ("b-w" if grey else "srgb")
    return image.copy(interpretation=interpretation)


def _with_metadata(image: pyvips.Image, picture: Picture) -> pyvips.Image:
    if picture.pixels_per_mm is not None:
        image = image.copy(xres=picture.pixels_per_mm[0], yres=picture.pixels_per_mm[1])
    for name, block in picture.metadata.items():
        image.set_type(pyvips.GValue.blob_type, name, block)
    # The EXIF block set above brought its own orientation and thumbnail.
    image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    image.remove("jpeg-thumbnail-data")
    return image


def _reason(error: pyvips.Error) -> str:
    """The first line libvips gave, or the error itself."""
    lines = str(error.detail or error.message or error).strip().splitlines()
    return lines[0].strip() if lines else "unknown error"


def _names(suffixes: Any) -> str:
    return ", ".join(suffixes)
