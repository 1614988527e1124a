"""EXIF and XMP in JPEG XL; pillow-jxl-plugin is the independent witness where it is installed."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from escsr import images
from escsr.images import Picture, WriteOptions
from escsr.images.jxl_boxes import read_boxes, write_boxes
from escsr.models.saving import save_network
from escsr.upscaling.upscaler import Upscaler
from samples import nearest_network

SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"
FILE_TYPE = b"\0\0\0\x14ftypjxl \0\0\0\0jxl "
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
BARE = b"\xff\x0a" + bytes(range(200))


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def exif(orientation: int = 6) -> bytes:
    block = Image.Exif()
    block[0x0112], block[0x010F] = orientation, "Maker"
    block.get_ifd(0x8769).update({0xA002: 30, 0xA003: 20, 0x9003: "2021:02:03 04:05:06"})
    return b"Exif\0\0" + block.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize(
    "whole",
    [
        BARE,
        SIGNATURE + FILE_TYPE + box(b"jxlc", BARE),
        SIGNATURE + FILE_TYPE + box(b"jxll", b"\x0a") + box(b"jxlp", BARE) + box(b"jxlp", BARE),
        SIGNATURE + FILE_TYPE + b"\0\0\0\0jxlc" + BARE,
        SIGNATURE + FILE_TYPE + struct.pack(">I4sQ", 1, b"jxlc", 16 + len(BARE)) + BARE,
    ],
    ids=["bare", "box", "level and parts", "to the end", "long"],
)
def test_what_is_written_is_read(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "a.jxl"
    path.write_bytes(whole)
    assert read_boxes(path) == {}
    write_boxes(path, {"icc-profile-data": b"x"})
    assert path.read_bytes() == whole
    write_boxes(path, {"exif-data": exif(), "xmp-data": XMP})
    assert read_boxes(path) == {"exif-data": exif(), "xmp-data": XMP}
    data = path.read_bytes()
    assert data.endswith(whole[-len(BARE) :])
    assert data.index(b"Exif") < data.index(BARE)
    if b"jxll" in data:
        assert data.index(b"jxll") < data.index(b"Exif")


def test_offsets_and_what_others_write(tmp_path: Path) -> None:
    path = tmp_path / "a.jxl"
    head, tiff = SIGNATURE + FILE_TYPE, exif().removeprefix(b"Exif\0\0")
    for content in (bytes(4) + tiff, b"\0\0\0\x03abc" + tiff, exif()):
        path.write_bytes(head + box(b"jxlc", BARE) + box(b"Exif", content) + box(b"brob", b"Exif..."))
        assert read_boxes(path) == {"exif-data": exif()}


@given(st.binary(max_size=200), st.integers(0, 300))
def test_damage_does_no_harm(tmp_path_factory: pytest.TempPathFactory, data: bytes, cut: int) -> None:
    path = tmp_path_factory.mktemp("jxl") / "a.jxl"
    whole = SIGNATURE + FILE_TYPE + box(b"Exif", bytes(4) + exif()) + box(b"xml ", XMP)
    for content in (data, SIGNATURE + data, whole[:cut] + data, data + whole):
        path.write_bytes(content)
        assert read_boxes(path).keys() <= {"exif-data", "xmp-data"}


@pytest.mark.parametrize("depth", ["uint8", "uint16", "float32"])
def test_through_the_upscaler(tmp_path: Path, depth: str) -> None:
    pytest.importorskip("OpenImageIO", reason='needs pip install "escsr[jxl]"')
    save_network(nearest_network(), tmp_path / "nearest.safetensors")
    upscaler = Upscaler(tmp_path / "nearest.safetensors", device="cpu", precision="float32")
    pixels = np.random.default_rng(0).random((20, 30, 3))
    pixels = (pixels * (1 if depth == "float32" else np.iinfo(depth).max)).astype(depth)
    lossless = WriteOptions(lossless=True)
    images.write(Picture(pixels, {"exif-data": exif(), "xmp-data": XMP}), tmp_path / "a.jxl", lossless)
    target = upscaler.upscale_file(tmp_path / "a.jxl", tmp_path / "b.jxl", write_options=lossless)
    picture = images.read(target)
    assert np.array_equal(picture.pixels, pixels.repeat(2, 0).repeat(2, 1))
    assert b'tiff:Orientation="1"' in picture.metadata["xmp-data"]
    images.write(picture, tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as seen:
        tags = seen.getexif()
        assert (tags[0x0112], tags[0x010F]) == (1, "Maker")
        assert (tags.get_ifd(0x8769)[0xA002], tags.get_ifd(0x8769)[0xA003]) == (60, 40)
    upscaler.upscale_file(
        tmp_path / "a.jxl", tmp_path / "s.jxl", write_options=WriteOptions(lossless=True, strip=True)
    )
    assert set(images.read(tmp_path / "s.jxl").metadata) <= {"icc-profile-data"}


@pytest.mark.parametrize("metadata", [{}, {"xmp-data": XMP}], ids=["bare", "with XMP"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_is_small_can_be_read(tmp_path: Path, channels: int, metadata: dict[str, bytes]) -> None:
    pytest.importorskip("OpenImageIO", reason='needs pip install "escsr[jxl]"')
    for side in (1, 64):
        pixels = np.full((side, side, channels), 255, np.uint8)
        images.write(Picture(pixels, metadata), tmp_path / "a.jxl", WriteOptions(lossless=True))
        assert images.read_size(tmp_path / "a.jxl") == (side, side)
        picture = images.read(tmp_path / "a.jxl")
        assert np.array_equal(picture.pixels, pixels)
        assert ("xmp-data" in picture.metadata) == bool(metadata)


def test_others_read_it_too(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl", reason="the witness is not installed")
    pytest.importorskip("OpenImageIO", reason='needs pip install "escsr[jxl]"')
    for metadata in ({}, {"exif-data": exif(1)}):
        images.write(Picture(np.zeros((20, 30, 3), np.uint8), metadata), tmp_path / "a.jxl")
        with Image.open(tmp_path / "a.jxl") as seen:
            seen.load()
            assert seen.size == (30, 20)
            assert seen.getexif().get(0x010F) == ("Maker" if metadata else None)
