"""Profiles that say what colours are, those that do not, and those that one encoder refuses."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from test_images_golden import need, noise

from escsr import images
from escsr.errors import OutputError
from escsr.images import Picture
from escsr.images.icc import grey_profile, profile_space, sound_profile
from escsr.images.metadata import DAMAGED_PROFILE, ICC

Tags = Mapping[bytes, bytes]

D50 = (0.9642, 1.0, 0.8249)


def xyz(*values: float) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(65536 * value) for value in values))


def gamma(exponent: float) -> bytes:
    return struct.pack(">4s4xIHxx", b"curv", 1, round(256 * exponent))


def table(inks: int) -> bytes:
    """Lightness in CIELAB as the mean of all channels, in a table of two entries a side."""
    nodes = [(round(sum(node) / inks * 65280), 32768, 32768) for node in product((0, 1), repeat=inks)]
    matrix = struct.pack(">9i", *(65536 * (place % 4 == 0) for place in range(9)))
    ends = struct.pack(">2H", 0, 65535)
    points = b"".join(struct.pack(">3H", *node) for node in nodes)
    head = struct.pack(">4s4x4B", b"mft2", inks, 3, 2, 0) + matrix + struct.pack(">2H", 2, 2)
    whole = head + inks * ends + points + 3 * ends
    return whole + bytes(-len(whole) % 4)


def profile(space: bytes, tags: Tags, *, connection: bytes = b"XYZ ", version: int = 2) -> bytes:
    place, entries = 132 + 12 * len(tags), b""
    for name, content in tags.items():
        entries += struct.pack(">4sII", name, place, len(content))
        place += len(content)
    head = struct.pack(">I4xI4s4s4s12x4s28x", place, version << 24, b"mntr", space, connection, b"acsp")
    head = (head + xyz(*D50)[8:]).ljust(128, b"\0")
    return head + struct.pack(">I", len(tags)) + entries + b"".join(tags.values())


WHITE = {b"wtpt": xyz(*D50)}
MATRIX = {
    b"rXYZ": xyz(0.436, 0.2225, 0.0139),
    b"gXYZ": xyz(0.385, 0.7169, 0.0971),
    b"bXYZ": xyz(0.143, 0.0606, 0.7141),
}
CURVES = {name: gamma(1.8) for name in (b"rTRC", b"gTRC", b"bTRC")}

SOUND = {
    "matrix": profile(b"RGB ", WHITE | MATRIX | CURVES),
    "matrix v4": profile(b"RGB ", WHITE | MATRIX | CURVES, version=4),
    "table": profile(b"RGB ", WHITE | {b"A2B0": table(3)}, connection=b"Lab "),
    "table v4": profile(b"RGB ", WHITE | {b"A2B0": table(3)}, connection=b"Lab ", version=4),
    "table of one intent": profile(b"RGB ", WHITE | {b"A2B1": table(3)}, connection=b"Lab "),
    "grey": profile(b"GRAY", WHITE | {b"kTRC": gamma(1.8)}),
    "grey table": profile(b"GRAY", WHITE | {b"A2B0": table(1)}, connection=b"Lab "),
    "own grey": grey_profile(),
}
UNUSABLE = {
    "no curves": profile(b"RGB ", WHITE | MATRIX),
    "no matrix": profile(b"RGB ", WHITE | CURVES),
    "two curves": profile(b"RGB ", WHITE | MATRIX | dict(list(CURVES.items())[:2])),
    "no grey curve": profile(b"GRAY", WHITE),
}
REFUSED_BY_JXL = {
    "no white": profile(b"RGB ", MATRIX | CURVES),
    "version 5": profile(b"RGB ", WHITE | MATRIX | CURVES, version=5),
}


def pixels_for(block: bytes) -> np.ndarray:
    return noise(1 if profile_space(block) == "GRAY" else 3, "uint8", height=16, width=16)


@pytest.mark.parametrize("kind", SOUND)
def test_what_a_colour_engine_can_use_is_kept(tmp_path: Path, kind: str) -> None:
    block = SOUND[kind]
    pixels = pixels_for(block)
    source = ImageCms.ImageCmsProfile(io.BytesIO(block))
    mode = "RGB" if pixels.shape[2] == 3 else "L"
    ImageCms.buildTransform(
        source, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    assert sound_profile(block) == block
    for suffix in (".png", ".jpg", ".tif"):
        images.write(Picture(pixels, {ICC: block}), tmp_path / f"a{suffix}")
        picture = images.read(tmp_path / f"a{suffix}")
        assert (picture.metadata[ICC], picture.notes) == (block, ())


def test_profiles_of_cmyk(tmp_path: Path) -> None:
    inks = Image.fromarray(noise(4, "uint8"), "CMYK")
    for name, words in ((b"A2B0", "its profile"), (b"none", "a usual profile, as it has none")):
        block = profile(b"CMYK", WHITE | {name: table(4)}, connection=b"Lab ")
        inks.save(tmp_path / "a.tif", icc_profile=block)
        assert images.read(tmp_path / "a.tif").notes[-1] == f"CMYK, converted to sRGB through {words}"


@pytest.mark.parametrize("kind", UNUSABLE)
@pytest.mark.parametrize("source", [".png", ".jpg", ".tif", ".webp", ".heic"])
def test_what_says_no_colours_is_dropped_with_a_note(tmp_path: Path, source: str, kind: str) -> None:
    """Written by Pillow, which takes any profile."""
    need(images.WRITABLE[source])
    block = UNUSABLE[kind]
    pixels = pixels_for(block)
    if pixels.shape[2] == 1 and source in (".webp", ".heic"):
        pytest.skip("holds no grey")
    if source == ".heic":
        images.write(Picture(pixels, {ICC: block}), tmp_path / "a.heic")
    else:
        shown = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        shown.save(tmp_path / f"a{source}", icc_profile=block)
    for target in (".jxl", ".png", ".gif"):
        need(images.WRITABLE[target])
        picture = images.read_for(f"b{target}", tmp_path / f"a{source}", to_srgb=True)
        assert ICC not in picture.metadata
        assert [note[:29] for note in picture.notes] == [DAMAGED_PROFILE[:29]]
        images.write(picture, tmp_path / f"b{target}")


@pytest.mark.parametrize("depth", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("kind", [*REFUSED_BY_JXL, *UNUSABLE])
def test_what_the_encoder_of_jxl_refuses_ends_nothing(tmp_path: Path, kind: str, depth: str) -> None:
    """Colours are converted where they can be."""
    need(images.WRITABLE[".jxl"])
    block = (REFUSED_BY_JXL | UNUSABLE)[kind]
    flat = np.full((16, 16, pixels_for(block).shape[2]), 0.25 if depth == "float32" else 1, depth)
    flat = flat if depth == "float32" else flat * (np.iinfo(depth).max // 4)
    images.write(Picture(flat, {ICC: block, "xmp-data": b"<x/>"}), tmp_path / "a.jxl")
    picture = images.read(tmp_path / "a.jxl", to_srgb=True)
    assert picture.metadata["xmp-data"] == b"<x/>"
    share = picture.pixels.mean() / (1 if depth == "float32" else np.iinfo(depth).max)
    is_converted = kind in REFUSED_BY_JXL and depth != "float32"
    assert share == pytest.approx(0.31 if is_converted else 0.25, abs=0.02)


def test_a_full_disk_is_no_matter_of_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need(images.WRITABLE[".jxl"])
    from escsr.images import openimageio

    def fail(*arguments: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(openimageio, "_encode", fail)
    for metadata in ({}, {ICC: SOUND["matrix"]}):
        with pytest.raises(OutputError, match="no space left"):
            images.write(Picture(noise(3, "uint8"), metadata), tmp_path / "a.jxl")
