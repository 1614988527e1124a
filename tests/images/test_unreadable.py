"""What is told of files that are no readable pictures: what they are, or what happened to them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import pyvips

from escsr import images
from escsr.errors import ImageError
from escsr.images import Picture, WriteOptions


def told(path: Path) -> str:
    with pytest.raises(ImageError) as error:
        images.read(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert ".jpeg, .jfif" not in message, "no list of endings"
    return message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (bytes(3000), "holds nothing but zeros"),
        (b"hello, this is text", "it is text"),
        (b"<!DOCTYPE html><html></html>", "it is a web page"),
        (b"%PDF-1.7 ", "a PDF document"),
        (b"BM\x36\x10\0\0\0\0\0\0\x36\0", "a BMP file, which is not supported; save"),
        (b"8BPS\0\1", "a Photoshop file"),
        (b'<?xml version="1.0"?><svg/>', "an SVG drawing"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2", "it is a video"),
        (b"PK\3\4\x14\0", "it is an archive"),
        (b"ID3\4\0", "it is a sound file"),
        (b"\x93\xff\x81", "it is damaged, or of a kind"),
    ],
)
def test_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert words in told(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".gif", ".avif"])
def test_files_that_end_early(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    path = tmp_path / f"a{suffix}"
    images.write(Picture(pixels), path)
    whole = path.read_bytes()
    for share in (0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        assert "the file ends too early" in told(path)


def test_damage_within_is_told_apart(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    images.write(Picture(pixels), path, WriteOptions())
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    path.write_bytes(content)
    assert "the file is damaged" in told(path)


@pytest.mark.parametrize("kind", ["double", "complex", "zstd", "12 bits"])
def test_whole_files_of_a_kind_that_is_not_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tif"
    image = pyvips.Image.black(64, 64, bands=1 if kind == "12 bits" else 3)
    image.cast(kind if kind in ("double", "complex") else "uchar").tiffsave(str(path))
    tag, old, new = {"zstd": (259, 1, 50000), "12 bits": (258, 8, 12)}.get(kind, (259, 1, 1))
    entry = struct.pack("<HHIH", tag, 3, 1, old)
    assert entry in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(entry, struct.pack("<HHIH", tag, 3, 1, new)))
    words = told(path)
    assert "damaged" not in words
    assert "this kind of TIFF is not supported" in words
    assert "save it with LZW or deflate compression, in 8 or 16 bits" in words
