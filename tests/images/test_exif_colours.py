"""Adobe RGB as cameras state it, in EXIF without a profile: what --to-srgb makes of it."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from escsr import images
from escsr.images import Picture
from escsr.images.exif_colours import exif_of_srgb, is_adobe_rgb
from escsr.images.icc import adobe_rgb_profile
from escsr.images.metadata import ICC

EXIF, INTEROPERABILITY, COLOR_SPACE, INDEX = 0x8769, 0xA005, 0xA001, 1


def block(order: str = "<", colour_space: int = 0xFFFF, index: bytes = b"R03\0") -> bytes:
    mark = b"II" if order == "<" else b"MM"
    below = struct.pack(order + "HHHI4sI", 1, INDEX, 2, len(index), index[:4].ljust(4, b"\0"), 0)
    inner = struct.pack(order + "H", 2)
    inner += struct.pack(order + "HHIHH", COLOR_SPACE, 3, 1, colour_space, 0)
    inner += struct.pack(order + "HHII", INTEROPERABILITY, 4, 1, 56) + bytes(4)
    first = struct.pack(order + "HHHIII", 1, EXIF, 4, 1, 26, 0)
    return b"Exif\0\0" + struct.pack(order + "2sHI", mark, 42, 8) + first + inner + below


def colours() -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (16, 16, 3), np.uint8)


def as_srgb(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """By another engine."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(adobe_rgb_profile()))
    target = ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    converted = ImageCms.profileToProfile(Image.fromarray(pixels), source, target, intent)
    return np.asarray(converted)


def by_definition(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Through XYZ of D65 by the matrices that Adobe and IEC 61966-2-1 print, no profile in between."""
    adobe = [[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]]
    srgb = [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
    light = (pixels / 255) ** (563 / 256) @ np.transpose(adobe) @ np.transpose(srgb)
    light = light.clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("order", ["<", ">"])
def test_what_exif_states(order: str) -> None:
    assert is_adobe_rgb(block(order))
    assert is_adobe_rgb(block(order)[6:])
    said = exif_of_srgb(block(order))
    assert said == block(order, 1, b"R98\0")
    assert not is_adobe_rgb(said)
    assert not is_adobe_rgb(block(order, 1)), "sRGB with the other index"
    assert not is_adobe_rgb(block(order, index=b"R98\0")), "another space"
    assert not is_adobe_rgb(b"")
    assert exif_of_srgb(block(order, index=b"THM\0")) == block(order, 1, b"THM\0"), (
        "says nothing of colours"
    )
    again = Image.Exif()
    again.load(said)
    assert again.get_ifd(EXIF)[COLOR_SPACE] == 1


@given(st.binary(max_size=96), st.integers(0, 96), st.integers(0, 96))
def test_damaged_exif(noise: bytes, start: int, length: int) -> None:
    damaged = block()[:start] + noise + block()[start + length :]
    is_adobe_rgb(damaged)
    assert len(exif_of_srgb(damaged)) == len(damaged)


def test_the_profile_means_adobe_rgb() -> None:
    pixels = colours()
    assert np.abs(as_srgb(pixels) - by_definition(pixels)).max() < 2.5


@pytest.mark.parametrize("ending", [".jpg", ".png", ".tif"])
def test_to_srgb(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    images.write(Picture(colours(), {"exif-data": block()}), path)
    kept = images.read(path)
    assert ICC not in kept.metadata, "as it is"
    assert is_adobe_rgb(kept.metadata["exif-data"])
    picture = images.read(path, to_srgb=True)
    assert np.abs(picture.pixels.astype(int) - as_srgb(kept.pixels)).max() <= 2
    assert np.abs(picture.pixels.astype(int) - kept.pixels).max() > 10
    assert ICC in picture.metadata
    assert not is_adobe_rgb(picture.metadata["exif-data"])


def test_a_profile_goes_before_exif(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    images.write(Picture(colours(), {"exif-data": block(), ICC: profile}), tmp_path / "a.png")
    picture = images.read(tmp_path / "a.png", to_srgb=True)
    assert np.abs(picture.pixels.astype(int) - colours()).max() <= 1
    assert not is_adobe_rgb(picture.metadata["exif-data"])


@pytest.mark.parametrize("pixels", [colours()[..., :1], colours().astype(np.float32) / 255])
def test_grey_and_floats_stay(tmp_path: Path, pixels: NDArray[np.generic]) -> None:
    images.write(Picture(pixels, {"exif-data": block()}), tmp_path / "a.tif")
    picture = images.read(tmp_path / "a.tif", to_srgb=True)
    assert np.array_equal(picture.pixels, pixels)
    assert is_adobe_rgb(picture.metadata["exif-data"])


def test_formats_without_profiles_get_srgb(tmp_path: Path) -> None:
    images.write(Picture(colours(), {"exif-data": block()}), tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as image:
        written = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(written - as_srgb(colours())).mean() < np.abs(written - colours()).mean()
