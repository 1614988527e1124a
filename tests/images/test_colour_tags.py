"""Colours that tags describe instead of a profile: kept, or a note says that they are not."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_images_golden import need

from escsr import images
from escsr.images import Picture
from escsr.images.png_chunks import chunk, png_chunks

PIXELS = np.full((8, 8, 3), (200, 60, 30), np.uint8)
PQ, P3 = bytes([9, 16, 0, 1]), bytes([12, 13, 0, 1])
SRGB_PRIMARIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
P3_PRIMARIES = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


def gamma(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def primaries(values: tuple[int, ...]) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *values))


def png_with(path: Path, chunks: bytes) -> Path:
    Image.fromarray(PIXELS).save(path)
    data = path.read_bytes()
    path.write_bytes(data[:33] + chunks + data[33:])
    return path


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        (chunk(b"cICP", PQ), "BT.2020, PQ"),
        (chunk(b"cICP", P3), "Display P3"),
        (gamma(100_000), "gamma or primaries"),
        (gamma(45_455) + primaries(P3_PRIMARIES), "gamma or primaries"),
    ],
)
def test_tags_of_png(tmp_path: Path, chunks: bytes, words: str) -> None:
    source = png_with(tmp_path / "a.png", chunks)
    picture = images.read_for("b.png", source)
    assert picture.notes == ()
    images.write(picture, tmp_path / "b.png", images.WriteOptions(strip=True))
    data = (tmp_path / "b.png").read_bytes()
    assert data[33 : 33 + len(chunks)] == chunks
    assert np.array_equal(images.read(tmp_path / "b.png").pixels, PIXELS)
    for target in ("b.jpg", "b.avif", "b.tif", "b.gif"):
        (note,) = images.read_for(target, source).notes
        assert f"its colour tags ({words}) are not kept" in note
        images.write(images.read_for(target, source), tmp_path / target)
    (note,) = images.read(source, to_srgb=True).notes
    assert note == f"its colour tags ({words}) are not converted to sRGB"


@pytest.mark.parametrize(
    "chunks",
    [
        gamma(45_455) + primaries(SRGB_PRIMARIES),
        gamma(45_000),
        chunk(b"sRGB", b"\0") + gamma(100_000),
        chunk(b"cICP", bytes([1, 13, 0, 1])),
        chunk(b"cICP", b"\x09"),
        chunk(b"gAMA", b""),
    ],
)
def test_srgb_and_damaged_tags_are_none(tmp_path: Path, chunks: bytes) -> None:
    source = png_with(tmp_path / "a.png", chunks)
    picture = images.read_for("b.jpg", source)
    assert (picture.metadata, picture.notes) == ({}, ())
    images.write(picture, tmp_path / "b.png")
    assert not png_chunks(tmp_path / "b.png").keys() & {b"cICP", b"gAMA", b"cHRM"}


@pytest.mark.parametrize(("cicp", "peak"), [(PQ, 255), (P3, 65535)])
def test_tags_of_heic(tmp_path: Path, cicp: bytes, peak: int) -> None:
    need(images.WRITABLE[".heic"])
    pixels = (PIXELS / 255 * peak).astype(np.uint8 if peak == 255 else np.uint16)
    images.write(Picture(pixels, {"cicp-data": cicp}), tmp_path / "a.heic")
    assert images.read_for("b.png", tmp_path / "a.heic").notes == ()
    picture = images.read(tmp_path / "a.heic")
    assert picture.metadata == {"cicp-data": cicp}
    assert np.abs(picture.pixels / peak * 255 - PIXELS).max() < 3
    (note,) = images.read_for("b.webp", tmp_path / "a.heic").notes
    assert "not kept in WebP" in note


def test_tags_of_avif(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    Image.fromarray(PIXELS).save(path)
    assert images.read_for("b.jpg", path).notes == ()
    data = bytearray(path.read_bytes())
    struct.pack_into(">HH", data, data.index(b"colrnclx") + 8, 9, 16)
    path.write_bytes(data)
    (note,) = images.read_for("b.avif", path).notes
    assert note == "its colour tags (BT.2020, PQ) are not kept in AVIF, so colours may look different"
    images.write(images.read_for("b.png", path), tmp_path / "b.png")
    assert chunk(b"cICP", PQ) in (tmp_path / "b.png").read_bytes()
