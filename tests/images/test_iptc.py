"""IPTC between TIFF and JPEG; Pillow is the independent witness."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, IptcImagePlugin
from test_tiff_exif import Values, tiff

from escsr import images
from escsr.images import Picture
from escsr.images.iptc import bare_iptc, wrapped_iptc

PIXELS = np.zeros((3, 4, 1), np.uint8)


def record(number: int, text: bytes) -> bytes:
    return struct.pack(">BBBH", 0x1C, 2, number, len(text)) + text


KEYWORDS = [f"keyword {index}".encode() for index in range(20)]
RECORDS = b"".join(record(25, keyword) for keyword in KEYWORDS) + record(80, b"The author")
RECORDS += record(120, b"caption".ljust(-(len(RECORDS) + 5) % 4 + 8))
"""Of a length that four divides: TIFF may call them numbers of four bytes."""


def tiff_with(kind: int, order: str) -> bytes:
    """A grey TIFF of 4×3 pixels with IPTC of a TIFF type."""
    items = list(struct.unpack(f"{order}{len(RECORDS) // 4}I", RECORDS)) if kind == 4 else RECORDS
    shape = {0x0100: 4, 0x0101: 3, 0x0102: 8, 0x0103: 1, 0x0106: 1, 0x0115: 1, 0x0116: 3, 0x0117: 12}
    values: Values = {tag: (4, [value]) for tag, value in shape.items()} | {0x0111: (4, [0])}
    values[0x83BB] = (kind, items)
    values[0x0111] = (4, [len(tiff(values, order))])
    return tiff(values, order) + bytes(12)


def jpeg_with(path: Path, resources: bytes) -> bytes:
    """A grey JPEG with Photoshop's resources."""
    Image.fromarray(PIXELS[..., 0]).save(path)
    content = b"Photoshop 3.0\0" + resources
    data = path.read_bytes()
    return data[:2] + struct.pack(">HH", 0xFFED, len(content) + 2) + content + data[2:]


def iptc_of(path: Path) -> dict[tuple[int, int], bytes | list[bytes]]:
    with Image.open(path) as image:
        return IptcImagePlugin.getiptcinfo(image) or {}


@pytest.mark.parametrize("target", [".tif", ".jpg"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [1, 4, 7])
def test_of_a_tiff(tmp_path: Path, kind: int, order: str, target: str) -> None:
    (tmp_path / "a.tif").write_bytes(tiff_with(kind, order))
    picture = images.read(tmp_path / "a.tif")
    assert picture.metadata["iptc-data"] == RECORDS
    images.write(picture, tmp_path / f"b{target}")
    found = iptc_of(tmp_path / f"b{target}")
    assert (found[2, 25], found[2, 80]) == (KEYWORDS, b"The author")
    assert images.read(tmp_path / f"b{target}").metadata["iptc-data"] == RECORDS


@pytest.mark.parametrize("target", [".tif", ".jpg"])
def test_of_a_jpeg(tmp_path: Path, target: str) -> None:
    other = b"8BIM\x03\xe8\x04name\0" + struct.pack(">I", 3) + b"odd\0"
    wrapped = wrapped_iptc(RECORDS).removeprefix(b"Photoshop 3.0\0")
    (tmp_path / "a.jpg").write_bytes(jpeg_with(tmp_path / "a.jpg", other + wrapped))
    assert iptc_of(tmp_path / "a.jpg")[2, 25] == KEYWORDS
    images.write(images.read(tmp_path / "a.jpg"), tmp_path / f"b{target}")
    found = iptc_of(tmp_path / f"b{target}")
    assert (found[2, 25], found[2, 80]) == (KEYWORDS, b"The author")


def test_beside_exif_in_tiff(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    metadata = {"exif-data": b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0"), "iptc-data": RECORDS}
    images.write(Picture(PIXELS, metadata), tmp_path / "a.tif")
    assert iptc_of(tmp_path / "a.tif")[2, 25] == KEYWORDS
    with Image.open(tmp_path / "a.tif") as image:
        assert image.getexif()[0x010F] == "Maker"
        assert np.array_equal(np.asarray(image), PIXELS[..., 0])


def test_wrapped_and_bare() -> None:
    for records in (RECORDS, RECORDS + record(90, b"odd")):
        assert bare_iptc(wrapped_iptc(records)) == bare_iptc(records) == records
    whole = wrapped_iptc(RECORDS)
    for damaged in (b"", b"other", whole[:-1], whole[:20], b"Photoshop 3.0\0" + b"8BIM"):
        assert bare_iptc(damaged) == b""
