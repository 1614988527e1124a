"""What the format of the result has no room for: written as far as it can be, and a note on the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_images_golden import need

from escsr import images
from escsr.errors import ConfigError
from escsr.images import Picture, WriteOptions
from escsr.images.icc import grey_profile
from escsr.images.jpeg_segments import MOST_XMP

PIXELS = np.zeros((8, 8, 3), np.uint8)
IPTC = b"\x1c\x02\x05\x00\x04name"


def exif(size: int) -> bytes:
    block = Image.Exif()
    block[0x010F] = "Maker"
    block.get_ifd(0x8769)[0x927C] = b"M" * size
    return b"Exif\0\0" + block.tobytes().removeprefix(b"Exif\0\0")


def xmp(size: int) -> bytes:
    return b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'.ljust(size)


def source(folder: Path, metadata: dict[str, bytes]) -> Path:
    images.write(Picture(PIXELS, metadata), folder / "a.tif")
    return folder / "a.tif"


@pytest.mark.parametrize("beside", [{}, {"exif-data": exif(10)}], ids=["alone", "beside EXIF"])
@pytest.mark.parametrize("size", [59_000, 60_001, MOST_XMP])
def test_large_xmp_fits_into_jpeg(tmp_path: Path, size: int, beside: dict[str, bytes]) -> None:
    path = source(tmp_path, {"xmp-data": xmp(size), **beside})
    picture = images.read_for("b.jpg", path)
    assert picture.notes == ()
    images.write(picture, tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as result:
        assert result.info["xmp"] == xmp(size)
        assert result.getexif().get(0x010F) == ("Maker" if beside else None)
    assert images.read(tmp_path / "b.jpg").metadata["xmp-data"] == xmp(size)


@pytest.mark.parametrize(
    ("name", "block", "words"),
    [("xmp-data", xmp(MOST_XMP + 1), "XMP"), ("iptc-data", IPTC * 7300, "IPTC")],
)
def test_what_is_too_large_for_jpeg(tmp_path: Path, name: str, block: bytes, words: str) -> None:
    path = source(tmp_path, {name: block})
    picture = images.read_for("b.jpg", path)
    assert picture.notes == (f"its {words} is too large for JPEG (above 64 KB) and is dropped",)
    images.write(picture, tmp_path / "b.jpg")
    assert name not in images.read(tmp_path / "b.jpg").metadata
    assert images.read_for("b.tif", path).notes == ()


def test_the_largest_iptc_of_jpeg(tmp_path: Path) -> None:
    records = b"\x1c" + bytes(65_533 - 26 - 2)
    picture = images.read_for("b.jpg", source(tmp_path, {"iptc-data": records}))
    assert picture.notes == ()
    images.write(picture, tmp_path / "b.jpg")
    assert images.read(tmp_path / "b.jpg").metadata["iptc-data"] == records


@pytest.mark.parametrize("size", [64_000, 70_000])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".tif"])
def test_large_exif(tmp_path: Path, suffix: str, size: int) -> None:
    """A note, if and only if something is lost."""
    picture = images.read_for(f"b{suffix}", source(tmp_path, {"exif-data": exif(size)}))
    images.write(picture, tmp_path / f"b{suffix}")
    kept = b"M" * size in images.read(tmp_path / f"b{suffix}").metadata["exif-data"]
    assert kept == (size == 64_000 or suffix not in (".jpg", ".avif"))
    assert bool(picture.notes) != kept
    assert all("its EXIF is too large for" in note for note in picture.notes)


@pytest.mark.parametrize(
    ("suffix", "is_lost"), [(".png", False), (".gif", True), (".tif", False), (".jxl", True)]
)
def test_profile_of_floats(tmp_path: Path, suffix: str, is_lost: bool) -> None:
    """Whole numbers would be converted to sRGB where a format has no profiles, or no grey with alpha."""
    need(images.WRITABLE[suffix])
    grey = Picture(np.full((4, 4, 2), 0.5, np.float32), {"icc-profile-data": grey_profile()})
    images.write(grey, tmp_path / "a.tif")
    note = "values are floating: its profile is dropped, not converted to sRGB"
    assert images.read_for(f"b{suffix}", tmp_path / "a.tif").notes == ((note,) if is_lost else ())


@pytest.mark.parametrize(("suffix", "is_cut"), [(".png", True), (".jpg", True), (".tif", False)])
def test_values_above_white(tmp_path: Path, suffix: str, is_cut: bool) -> None:
    images.write(Picture(np.full((4, 4, 3), 300, np.float32)), tmp_path / "a.tif")
    notes = images.read_for(f"b{suffix}", tmp_path / "a.tif").notes
    assert any("values above 1 are cut to white" in note for note in notes) == is_cut
    images.write(Picture(np.ones((4, 4, 3), np.float32)), tmp_path / "a.tif")
    assert images.read_for(f"b{suffix}", tmp_path / "a.tif").notes == ()


@pytest.mark.parametrize("how", [{"quality": 50}, {"subsampling": "420"}])
def test_what_lossless_files_do_not_heed_is_refused(how: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="no effect on lossless files"):
        WriteOptions(lossless=True, **how)
