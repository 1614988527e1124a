"""EXIF and XMP of PNG behind the pixels, where the format allows them as well."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from escsr import images
from escsr.images.png_chunks import chunk

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
KEYWORD = b"XML:com.adobe.xmp\0"
TEXTS = {"plain": b"\0\0\0\0" + XMP, "deflated": b"\1\0\0\0" + zlib.compress(XMP)}


def exif() -> bytes:
    block = Image.Exif()
    block[0x0112], block[0x010F] = 6, "Maker"
    return block.tobytes().removeprefix(b"Exif\0\0")


def with_chunks(folder: Path, added: bytes, *, late: bool) -> Path:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    path = folder / f"{'late' if late else 'early'}.png"
    Image.fromarray(pixels).save(path)
    data = path.read_bytes()
    place = data.index(b"IEND") - 4 if late else 33
    path.write_bytes(data[:place] + added + data[place:])
    return path


@pytest.mark.parametrize("text", TEXTS)
def test_blocks_behind_the_pixels(tmp_path: Path, text: str) -> None:
    """The same picture, sides and metadata as where they stand before the pixels."""
    added = chunk(b"iTXt", KEYWORD + TEXTS[text]) + chunk(b"eXIf", exif())
    early, late = (with_chunks(tmp_path, added, late=late) for late in (False, True))
    assert images.read_size(late) == images.read_size(early) == (4, 6)
    expected, picture = images.read(early), images.read(late)
    assert np.array_equal(picture.pixels, expected.pixels)
    assert picture.metadata == expected.metadata
    assert picture.metadata["xmp-data"] == XMP
    images.write(picture, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as result:
        assert result.size == (4, 6)
        assert result.getexif()[0x0112] == 1


def test_damaged_blocks_behind_the_pixels_are_passed_over(tmp_path: Path) -> None:
    whole = chunk(b"eXIf", exif())
    texts = (KEYWORD, KEYWORD + b"\1\0\0\0none", b"Comment\0\0\0\0\0words")
    added = whole[:-1] + b"?" + b"".join(chunk(b"iTXt", text) for text in texts)
    path = with_chunks(tmp_path, added, late=True)
    assert images.read_size(path) == (6, 4)
    assert images.read(path).metadata == {}
