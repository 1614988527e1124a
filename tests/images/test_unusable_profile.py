"""A profile that is sound by its tables but holds nothing to convert colours by: dropped, with a note."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from escsr import images
from escsr.images import Animation
from escsr.images.metadata import DAMAGED_PROFILE

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def unusable(space: bytes = b"RGB ") -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    end = 132 + 12 * struct.unpack_from(">I", profile, 128)[0]
    profile[end:] = b"U" * (len(profile) - end)
    profile[16:20] = space
    if space == b"CMYK":
        profile[132:136] = b"A2B0"
    return bytes(profile)


def test_to_srgb(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png", icc_profile=unusable())
    picture = images.read(tmp_path / "a.png", to_srgb=True)
    assert np.array_equal(picture.pixels, PIXELS)
    assert picture.notes == (DAMAGED_PROFILE,)
    assert picture.metadata == {}


def test_an_animation_to_srgb(tmp_path: Path) -> None:
    frames = np.stack([PIXELS, PIXELS[::-1]])
    images.write(Animation(frames, (50, 50), 0, {"icc-profile-data": unusable()}), tmp_path / "a.webp")
    animation = images.read_animation(tmp_path / "a.webp", to_srgb=True)
    assert len(animation.frames) == 2
    assert DAMAGED_PROFILE in animation.notes


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk(tmp_path: Path, suffix: str) -> None:
    """As it would be without a profile."""
    inks = Image.fromarray(PIXELS).convert("CMYK")
    inks.save(tmp_path / f"a{suffix}", icc_profile=unusable(b"CMYK"))
    inks.save(tmp_path / f"b{suffix}")
    picture, expected = (images.read(tmp_path / f"{name}{suffix}") for name in "ab")
    assert np.array_equal(picture.pixels, expected.pixels)
    assert picture.notes == (DAMAGED_PROFILE, *expected.notes)


def test_grey_for_a_format_of_colour(tmp_path: Path) -> None:
    picture = images.Picture(PIXELS[..., :1], {"icc-profile-data": unusable(b"GRAY")})
    images.write(picture, tmp_path / "a.webp")
    assert images.read(tmp_path / "a.webp").pixels.shape == (8, 8, 3)
