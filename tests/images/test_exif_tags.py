"""Tags of EXIF that libexif does not know: kept, or a note says that they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from escsr import images
from escsr.images import Picture
from escsr.images.tiff_exif import completed_exif

EXIF, GPS = 0x8769, 0x8825
FIRST = {0x010F: "Maker", 0x013C: "host", 0x4746: 4, 0x4749: 75, 0x9C9E: b"k\0e\0\0\0", 0x0112: 1}
BELOW = {0x9400: "20", 0xA436: "title", 0xA43C: "editor", 0xFDE8: "owner", 0x829D: 2.8}
PLACE = {0: b"\2\3\0\0", 1: "N"}


def exif() -> bytes:
    block = Image.Exif()
    block.update(FIRST)
    block.get_ifd(EXIF).update(BELOW)
    block.get_ifd(GPS).update(PLACE)
    return b"Exif\0\0" + block.tobytes().removeprefix(b"Exif\0\0")


def tags(path: Path) -> dict[str, dict[int, Any]]:
    """As an independent reader finds them."""
    with Image.open(path) as image:
        block = image.getexif()
        return {"first": dict(block), "below": block.get_ifd(EXIF), "place": block.get_ifd(GPS)}


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_every_tag_is_kept(tmp_path: Path, suffix: str, channels: int) -> None:
    pixels = np.zeros((8, 8, min(channels, 3) if suffix == ".jpg" else channels), np.uint8)
    path = tmp_path / f"a{suffix}"
    images.write(Picture(pixels, {"exif-data": exif(), "xmp-data": b"<x/>"}, pixels_per_mm=(10, 10)), path)
    found = tags(path)
    if suffix != ".tif":  # which has the tag for its own pixels, or not at all
        assert found["first"].items() >= {0x0112: 1}.items()
    assert found["first"].items() >= {tag: value for tag, value in FIRST.items() if tag != 0x0112}.items()
    assert found["below"].items() >= BELOW.items()
    assert found["place"].items() >= PLACE.items()
    picture = images.read_for(f"b{suffix}", path)
    assert isinstance(picture, Picture)
    assert picture.notes == ()
    assert picture.pixels.shape[:2] == (8, 8)
    assert picture.metadata["xmp-data"] == b"<x/>"
    images.write(picture, tmp_path / f"b{suffix}")
    assert tags(tmp_path / f"b{suffix}")["below"].items() >= BELOW.items()


def test_a_note_on_what_avif_lacks(tmp_path: Path) -> None:
    images.write(Picture(np.zeros((8, 8, 3), np.uint8), {"exif-data": exif()}), tmp_path / "a.png")
    (note,) = images.read_for("b.avif", tmp_path / "a.png").notes
    assert note.startswith("some of its EXIF is not kept in AVIF: HostComputer, Rating, RatingPercent")
    plain = Image.Exif()
    plain[0x010F] = "Maker"
    images.write(Picture(np.zeros((8, 8, 3), np.uint8), {"exif-data": plain.tobytes()}), tmp_path / "a.png")
    assert images.read_for("b.avif", tmp_path / "a.png").notes == ()


def test_a_block_that_lacks_nothing_stays() -> None:
    assert completed_exif(exif(), exif()) == exif()
    assert completed_exif(exif(), b"Exif\0\0damaged") == exif()
    assert completed_exif(b"damaged", exif()) == b"damaged"
