"""TIFF of other writers, and damaged: read or refused, never a picture that is partly black."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms

from escsr import images
from escsr.errors import ImageError
from escsr.images import Picture
from escsr.images.tiff import check_checksums, without_resolution
from samples import flowers

COMPRESSIONS = {"raw": None, "lzw": "tiff_lzw", "deflate": "tiff_adobe_deflate"}


def photo() -> np.ndarray:
    return flowers()[:256, :256]


def first_ifd_in_front(strips: list[bytes], compression: int, *, rows: int, photometric: int = 2) -> bytes:
    """A file of three 8-bit channels, 64 pixels wide, whose tables come before its pixels."""
    count = len(strips)
    behind = 8 + 2 + 12 * 9 + 4
    data = behind + 6 + 8 * count
    starts = [data + sum(map(len, strips[:index])) for index in range(count)]
    one = count == 1
    entries = [
        (256, 3, 1, 64),
        (257, 3, 1, rows),
        (258, 3, 3, behind),
        (259, 3, 1, compression),
        (262, 3, 1, photometric),
        (273, 4, count, starts[0] if one else behind + 6),
        (277, 3, 1, 3),
        (278, 3, 1, rows // count),
        (279, 4, count, len(strips[0]) if one else behind + 6 + 4 * count),
    ]
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    lengths = [len(strip) for strip in strips]
    numbers = struct.pack(f"<3H{2 * count}I", 8, 8, 8, *starts, *lengths)
    return struct.pack("<2sHIH", b"II", 42, 8, 9) + table + bytes(4) + numbers + b"".join(strips)


def strips_of(pixels: np.ndarray, *, deflated: bool) -> list[bytes]:
    strips = [part.tobytes() for part in np.split(pixels, 4)]
    return [zlib.compress(strip) for strip in strips] if deflated else strips


@pytest.mark.parametrize("deflated", [False, True])
def test_a_file_that_ends_early_is_refused(tmp_path: Path, deflated: bool) -> None:
    pixels = photo()[:64, :64]
    strips = strips_of(pixels, deflated=deflated)
    whole = first_ifd_in_front(strips, 8 if deflated else 1, rows=64)
    path = tmp_path / "a.tif"
    path.write_bytes(whole)
    assert np.array_equal(images.read(path).pixels, pixels)
    for cut in (len(whole) // 2, len(whole) - len(strips[-1]) // 2, len(whole) - 10):
        path.write_bytes(whole[:cut])
        with pytest.raises(ImageError, match="not a readable picture"):
            images.read(path)


def test_a_strip_outside_the_file_is_refused(tmp_path: Path) -> None:
    pixels = photo()[:64, :64]
    data = bytearray(first_ifd_in_front([pixels.tobytes()], 1, rows=64))
    place = data.index(struct.pack("<HHI", 273, 4, 1)) + 8
    struct.pack_into("<I", data, place, len(data) + 1000)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ImageError, match="not a readable picture"):
        images.read(tmp_path / "a.tif")


def test_the_case_that_was_half_black(shared: Path) -> None:
    with pytest.raises(ImageError, match="not a readable picture"):
        images.read(shared / "cases" / "half.tif")


@pytest.mark.parametrize("writer", ["ours", "lzw", "deflate", "one strip"])
def test_damaged_compressed_data_is_refused(tmp_path: Path, writer: str) -> None:
    pixels, path = photo(), tmp_path / "a.tif"
    if writer == "ours":
        images.write(Picture(pixels), path)
    else:
        one_strip: dict[str, Any] = {"tiffinfo": {278: 256}} if writer == "one strip" else {}
        Image.fromarray(pixels).save(
            path, compression=COMPRESSIONS.get(writer, "tiff_adobe_deflate"), **one_strip
        )
    whole = path.read_bytes()
    assert np.array_equal(images.read(path).pixels, pixels)
    for place in np.random.default_rng(0).integers(500, len(whole) - 2000, 12):
        path.write_bytes(whole[:place] + bytes(64) + whole[place + 64 :])
        with pytest.raises(ImageError, match="not a readable picture"):
            images.read(path)


def test_what_inflates_to_more_than_the_picture_costs_little(tmp_path: Path) -> None:
    """100 MB of zeros behind one strip's pixels, and a strip that thousands of entries share."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    huge = zlib.compressobj(9)
    strip = b"".join(huge.compress(bytes(1 << 20)) for _ in range(100)) + huge.flush()
    path = tmp_path / "a.tif"
    path.write_bytes(first_ifd_in_front([strip[:-4] + b"none"], 8, rows=64))
    check_checksums(path, 1 << 20)  # given up before its wrong checksum
    assert np.array_equal(images.read(path).pixels, pixels)
    with pytest.raises(zlib.error):
        check_checksums(path, 1 << 30)


def test_other_files_have_no_checksums(tmp_path: Path) -> None:
    Image.fromarray(photo()).save(tmp_path / "a.tif")
    Image.fromarray(photo()).save(tmp_path / "a.png")
    (tmp_path / "empty").write_bytes(b"")
    for name in ("a.tif", "a.png", "empty"):
        before = (tmp_path / name).read_bytes()
        check_checksums(tmp_path / name, 1 << 30)
        without_resolution(tmp_path / name)
        assert name == "a.tif" or (tmp_path / name).read_bytes() == before


def test_lab_of_8_bits(tmp_path: Path) -> None:
    """Greys have one place in every Lab; the white points of colours differ between readers."""
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    grey = np.arange(4096, dtype=np.uint32).reshape(64, 64, 1) // 17
    pixels = np.repeat(grey, 3, 2).clip(0, 255).astype(np.uint8)
    values = ImageCms.applyTransform(
        Image.fromarray(pixels), ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    )
    path = tmp_path / "a.tif"
    assert values is not None
    values.save(path)
    picture = images.read(path)
    assert picture.pixels.dtype.name == "uint8"
    assert picture.notes == ("lab, converted to sRGB",)
    assert np.abs(picture.pixels.astype(int) - pixels).max() <= 3
    assert images.read_header(path).channels == 3


def test_lab_counts_from_the_white_of_profiles(tmp_path: Path) -> None:
    """Colours as Photoshop and others show them; from the white of D65, pure green had a red of 60."""
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    levels = np.linspace(0, 255, 6).astype(np.uint8)
    pixels = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(12, 18, 3)
    values = ImageCms.applyTransform(
        Image.fromarray(pixels), ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    )
    assert values is not None
    values.save(tmp_path / "a.tif")
    off = np.abs(images.read(tmp_path / "a.tif").pixels.astype(int) - pixels)
    assert off.mean() < 1.5
    assert off.max() <= 25, "8 bits of Lab are coarse where sRGB is dark"


def test_lab_has_signs(tmp_path: Path) -> None:
    values = np.zeros((64, 64, 3), np.uint8)
    values[...] = (128, 60, 256 - 60)  # L 50, a 60, b -60: purple
    path = tmp_path / "a.tif"
    path.write_bytes(first_ifd_in_front([values.tobytes()], 1, rows=64, photometric=8))
    red, green, blue = images.read(path).pixels[0, 0].astype(int)
    assert green < red < blue


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_lab_keeps_its_opacity(tmp_path: Path, depth: type) -> None:
    """The values of a picture that libvips writes as RGB with alpha, called CIELAB."""
    scale = np.iinfo(depth).max // 255
    values: np.ndarray = np.full((4, 4, 4), 50 * scale, depth)
    values[..., 3] = np.arange(16).reshape(4, 4) * 17 * scale
    path = tmp_path / "a.tif"
    images.write(Picture(values), path)
    data = path.read_bytes()
    space = struct.pack("<HHI", 262, 3, 1)
    assert data.count(space + b"\2\0") == 1
    path.write_bytes(data.replace(space + b"\2\0", space + b"\x08\0"))
    picture = images.read(path)
    assert picture.pixels.dtype == depth
    assert np.array_equal(picture.pixels[..., 3], values[..., 3])


@pytest.mark.parametrize(
    ("photometric", "name"),
    [(6, "YCbCr without JPEG compression"), (9, "ICCLab"), (10, "ITULab"), (32844, "LogL"), (1000, "1000")],
)
def test_spaces_that_would_pass_for_rgb_are_refused(tmp_path: Path, photometric: int, name: str) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(first_ifd_in_front([photo()[:64, :64].tobytes()], 1, rows=64, photometric=photometric))
    for read in (images.read, images.read_header):
        with pytest.raises(ImageError, match=rf"its colour space, .*{name}.*, is not supported; save it"):
            read(path)


def test_spaces_that_libtiff_converts_are_read(tmp_path: Path) -> None:
    pixels = np.full((16, 16, 3), (200, 60, 30), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression="jpeg")  # YCbCr
    assert np.abs(images.read(tmp_path / "a.tif").pixels.astype(int) - pixels).max() < 5
    xyz = pyvips.Image.new_from_array(pixels, interpretation="srgb").colourspace("xyz")
    xyz.tiffsave(str(tmp_path / "b.tif"))  # LogLuv
    assert np.abs(images.read(tmp_path / "b.tif").pixels / 257.0 - pixels).max() < 8
