"""Pictures → files, which appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from escsr.errors import ConfigError, OutputError
from escsr.files import atomic_path, with_names
from escsr.images import heic, openimageio, tiff_exif
from escsr.images.colour import from_pixels, grey_as_rgb
from escsr.images.colour_tags import add_png_tags
from escsr.images.conversion import held_by
from escsr.images.exif_fitting import exif_resolution
from escsr.images.exif_names import PREFIX
from escsr.images.formats import VIPS_NAMES, Format, check_size, check_suffix
from escsr.images.iptc import wrapped_iptc
from escsr.images.jpeg_segments import add_jfif, add_xmp, change_jpeg_exif
from escsr.images.metadata import CARRIED, carried_by, fitted, held_blocks, is_of_pixels
from escsr.images.picture import Animation, Picture
from escsr.images.png_chunks import change_png_exif, without_png_resolution
from escsr.images.tiff import without_resolution
from escsr.images.unreadable import reason
from escsr.images.value_range import to_upper_bits
from escsr.images.webp_chunks import change_webp_exif
from escsr.runtime.choices import Subsampling, check_choice

__all__ = ["WriteOptions", "takes_quality", "write"]

_QUALITY = {"JPEG": 95, "WebP": 95, "AVIF": 85, "JPEG XL": 95, "HEIC": 90}
"""Where none is asked for."""

_CLASSIC_TIFF = 2**32 - 2**24
"""Bytes of pixels up to which a TIFF file needs no 64-bit offsets."""

_OVERHEAD = 2**20
"""Bytes of a file beside its pixels."""

_WITHOUT_RESOLUTION = {"PNG": without_png_resolution, "TIFF": without_resolution}
"""libvips puts a resolution into every file of these."""

_CHANGES_OF_EXIF = {"JPEG": change_jpeg_exif, "PNG": change_png_exif, "WebP": change_webp_exif}
"""libvips leaves out tags that it does not know; in AVIF they cannot be added, see `_move_avif_note`."""

_UNKNOWN_RESOLUTION = (72 / 25.4, 72 / 25.4)
"""As EXIF has it where none is known."""


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """How files are written; formats pass over what they do not know.

    Attributes:
        quality: 1 to 100 for JPEG, WebP, AVIF, JPEG XL and HEIC; None for 95, in AVIF 85, in HEIC 90.
        lossless: Pixels come back equal, where the format can (WebP, AVIF, JPEG XL).
        subsampling: See `Subsampling`; for JPEG, AVIF, HEIC and lossy WebP (which is always "420").
        strip: Leave out EXIF, XMP and IPTC; colour profile and tags stay, colours need them.

    Raises:
        ConfigError: A value is impossible, or without effect beside `lossless`.
    """

    quality: int | None = None
    lossless: bool = False
    subsampling: Subsampling = "444"
    strip: bool = False

    def __post_init__(self) -> None:
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ConfigError(f"quality must be 1 to 100, not {self.quality}.")
        check_choice("subsampling", self.subsampling, Subsampling)
        if self.lossless and (self.quality is not None or self.subsampling != "444"):
            raise ConfigError(
                "quality and subsampling have no effect on lossless files: leave them out, or --lossless."
            )


def takes_quality(path: str | os.PathLike[str]) -> bool:
    """Whether `WriteOptions.quality` has an effect on a file, by its ending.

    Raises:
        OutputError: The ending is unknown, or a package for it is missing.
    """
    return check_suffix(Path(path)).name in _QUALITY


def write(
    picture: Picture | Animation, path: str | os.PathLike[str], options: WriteOptions | None = None
) -> None:
    """Writes a picture, or an animation, in the format its suffix names.

    The file appears whole or not at all.
    Depth and values are brought to what the format holds, see `held_by`. EXIF and XMP are fitted to the
    picture's size. What the format has no room for is left out or cut; `read_for` notes it.

    Args:
        picture: The picture or animation.
        path: Target with one of the suffixes in `WRITABLE`.
        options: Quality and the like; None for the usual ones.

    Raises:
        OutputError: The suffix is unknown, the format cannot hold the picture, a package for it is
            missing, or writing fails.
    """
    path, options = Path(path), options or WriteOptions()
    animation = picture if isinstance(picture, Animation) else None
    frames = picture.pixels[None] if isinstance(picture, Picture) else picture.frames
    height, width, channels = frames.shape[1:]
    if isinstance(picture, Animation):
        if not check_suffix(path).is_animated:
            raise OutputError(f"{path}: its format holds no animation; choose .gif or .webp.")
        # one frame below the other, as libvips has them
        picture = Picture(picture.frames.reshape(-1, width, channels), picture.metadata)
    format = check_suffix(path, has_alpha=picture.has_alpha)
    check_size(path, width, height)
    kept = {
        name: block for name, block in picture.metadata.items() if is_of_pixels(name) or not options.strip
    }
    metadata, _ = held_blocks(fitted(kept, width, height), format.name)
    resolution = picture.pixels_per_mm or exif_resolution(metadata.get("exif-data", b""))
    picture = held_by(replace(picture, metadata=metadata, pixels_per_mm=resolution), format)
    quality = options.quality or _QUALITY.get(format.name, 100)
    with atomic_path(path) as temporary, _reasons(temporary, path, picture.pixels.nbytes):
        if format.name == "HEIC":
            heic.write(picture, temporary, format, quality, options.subsampling)
        elif format.extra is not None:
            openimageio.write(picture, temporary, format, 100 if options.lossless else min(quality, 99))
        else:
            settings = _encoder_settings(picture, format, options, quality) | {"page_height": height}
            _write_by_vips(picture, temporary, format, settings, animation)


@contextmanager
def _reasons(temporary: Path, path: Path, nbytes: int) -> Iterator[None]:
    """Errors of encoders, which hardly ever say that the disk is full, and some of which name their file.

    Args:
        temporary: The file as encoders know it.
        path: As people know it.
        nbytes: What the file takes at most, about; some encoders write it at once, and leave room then.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        if shutil.disk_usage(temporary.parent).free < nbytes + _OVERHEAD:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        said = with_names(error, {os.fspath(temporary): os.fspath(path)})
        raise OSError(said.rstrip(".")) from error


def _write_by_vips(
    picture: Picture, path: Path, format: Format, settings: dict[str, Any], animation: Animation | None
) -> None:
    if "exif-data" not in picture.metadata:
        settings["keep"] = "xmp|iptc|icc|other"  # else libvips makes up an EXIF block
    try:
        pixels = picture.pixels
        if "bitdepth" in settings and pixels.dtype == np.uint16:
            pixels = to_upper_bits(pixels, settings["bitdepth"])
        across, down = picture.pixels_per_mm or _UNKNOWN_RESOLUTION
        image = from_pixels(pixels).copy(xres=across, yres=down)
        for name, block in _for_vips(picture.metadata, format).items():
            image.set_type(pyvips.GValue.blob_type, name, block)
        if picture.is_grey and not format.has_grey:
            image = grey_as_rgb(image)
        if animation is not None:
            shown = animation.delays_ms
            delays = _in_hundredths(shown) if format.name == "GIF" else list(shown)
            image.set_type(pyvips.GValue.array_int_type, "delay", delays)
            image.set_type(pyvips.GValue.gint_type, "loop", animation.loops)
        with open(path, "w+b") as file:
            target = pyvips.Target.new_to_descriptor(file.fileno())
            getattr(image, f"{VIPS_NAMES[format.name]}save_target")(target, **settings)
        _complete(picture, path, format)
    except pyvips.Error as error:
        raise OSError(reason(error)) from error


def _in_hundredths(delays_ms: Sequence[int]) -> list[int]:
    """Delays of frames (ms) in whole hundredths of a second, as GIF has them, that take as long together.

    Those of a fiftieth are the shortest, as browsers take shorter ones for a tenth; the following make up
    for it. Where all are hundredths they stay as they are.
    """
    if not any(delay % 10 for delay in delays_ms):
        return list(delays_ms)
    rounded, shown = [], 0
    for end in accumulate(delays_ms):
        rounded.append(max(20, 10 * round((end - shown) / 10)))
        shown += rounded[-1]
    return rounded


def _for_vips(metadata: Mapping[str, bytes], format: Format) -> dict[str, bytes]:
    """The blocks that libvips writes as they should be; see `_complete` for others."""
    blocks = {name: metadata[name] for name in CARRIED if name in metadata}
    if format.name == "JPEG":
        blocks.pop("xmp-data", None)
    iptc = blocks.pop("iptc-data", None)
    return blocks | ({"iptc-data": wrapped_iptc(iptc)} if iptc and format.name == "JPEG" else {})


def _complete(picture: Picture, path: Path, format: Format) -> None:
    """Adds to a file what libvips did not write, or not as it should be."""
    metadata, resolution = picture.metadata, picture.pixels_per_mm
    if "exif-data" in metadata and format.name in _CHANGES_OF_EXIF:
        complete = partial(tiff_exif.completed_exif, own=metadata["exif-data"])
        _CHANGES_OF_EXIF[format.name](path, complete)
    elif "exif-data" in metadata and format.name == "AVIF":
        _move_avif_note(path, metadata["exif-data"])
    if resolution is None and format.name in _WITHOUT_RESOLUTION:
        _WITHOUT_RESOLUTION[format.name](path)
    if format.name == "JPEG":
        if resolution and "exif-data" not in metadata:
            add_jfif(path, resolution)
        if "xmp-data" in metadata:
            add_xmp(path, metadata["xmp-data"])
    elif format.name == "TIFF":
        tiff_exif.write_exif(path, metadata.get("exif-data", b""), metadata.get("iptc-data", b""))
    elif format.name == "PNG":
        add_png_tags(path, metadata)


def _move_avif_note(path: Path, own: bytes) -> None:
    """Adjusts the MakerNote in an AVIF file, whose EXIF stands in one piece and keeps its length."""
    data = path.read_bytes()
    exif = carried_by(pyvips.Image.heifload_buffer(data)).get("exif-data", b"").removeprefix(PREFIX)
    if (moved := tiff_exif.with_moved_note(exif, own)) != exif:
        path.write_bytes(data.replace(exif, moved, 1))


def _encoder_settings(
    picture: Picture, format: Format, options: WriteOptions, quality: int
) -> dict[str, Any]:
    depth = picture.pixels.dtype
    full = options.subsampling == "444" or options.lossless
    subsample = "off" if full else "on"
    lossy = {"Q": quality}
    settings: dict[str, dict[str, Any]] = {
        "PNG": {"compression": 6},
        "JPEG": lossy | {"subsample_mode": subsample, "optimize_coding": True},
        "WebP": {"lossless": True, "exact": True}
        if options.lossless
        else lossy | {"smart_subsample": full},
        "AVIF": ({"lossless": True} if options.lossless else lossy)
        | {"compression": "av1", "effort": 4, "subsample_mode": subsample}
        | {"bitdepth": (picture.bits or 12) if depth == np.uint16 else 8},
        "TIFF": {"compression": "deflate", "bigtiff": picture.pixels.nbytes > _CLASSIC_TIFF}
        | {"predictor": "float" if depth.kind == "f" else "horizontal"},
        "GIF": {},
    }
    return settings[format.name]
