"""Pictures beside the picture, told by segments and boxes; for what XMP tells see test_xmp.py."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_images_golden import need

from escsr import images
from escsr.images import Picture
from escsr.images.auxiliary import NO_DEPTH_MAP, NO_GAIN_MAP, NO_MATTES, auxiliary_losses
from escsr.images.formats import FORMATS, Format

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x01\0\0\0\0\0\0"
DEPTH = b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth\0"
MATTES = (
    b"urn:com:apple:photo:2018:aux:portraiteffectsmatte\0urn:com:apple:photo:2019:aux:semantichairmatte\0"
)
ISO = b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"
HEIC, AVIF = (next(format for format in FORMATS if format.name == name) for name in ("HEIC", "AVIF"))


def written(path: Path, exif: bytes = EXIF) -> bytes:
    images.write(Picture(PIXELS, {"exif-data": exif}), path)
    return path.read_bytes()


def notes(path: Path, data: bytes) -> tuple[str, ...]:
    path.write_bytes(data)
    return images.read(path).notes


def test_jpeg_of_a_new_telephone(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    data = written(path)
    segment = struct.pack(">HH", 0xFFE2, 2 + len(ISO)) + ISO
    assert NO_GAIN_MAP not in notes(path, data)
    assert notes(path, data[:2] + segment + data[2:]) == (NO_GAIN_MAP,)
    assert NO_GAIN_MAP not in notes(path, data + segment), "behind the pixels"
    images.write(Picture(PIXELS), path)
    assert b"21496" not in path.read_bytes()


@pytest.mark.parametrize("format", [HEIC, AVIF], ids=lambda format: format.name)
def test_items_of_heif(format: Format, tmp_path: Path) -> None:
    need(format)
    path = tmp_path / f"a{format.suffixes[0]}"
    data = written(path)
    kind = data.index(b"Exif\0", data.index(b"infe"))  # of the item, which stands before the pixels
    assert notes(path, data) == ()
    assert notes(path, data[:kind] + b"tmap" + data[kind + 4 :]) == (NO_GAIN_MAP,)


@pytest.mark.parametrize(
    ("boxes", "lost"),
    [
        ([(b"ftyp", b"heic"), (b"meta", b"....infe\2" + bytes(7) + b"tmap")], [NO_GAIN_MAP]),
        ([(b"ftyp", b"heic"), (b"meta", b"....infe\3" + b"\n" * 9 + b"tmap")], [NO_GAIN_MAP]),
        ([(b"ftyp", b"heic"), (b"meta", b"....infe\2" + bytes(7) + b"hvc1tmap")], []),
        ([(b"ftyp", b"tmap"), (b"meta", b"...."), (b"mdat", b"infe\2" + bytes(7) + b"tmap")], []),
        ([(b"meta", b"....auxC" + bytes(4) + b"urn:com:apple:photo:2020:aux:hdrgainmap\0")], [NO_GAIN_MAP]),
        ([(b"meta", b"....auxC" + bytes(4) + b"urn:mpeg:hevc:2015:auxid:1\0")], []),
        ([(b"meta", b"....auxC" + bytes(4) + b"urn:mpeg:hevc:2015:auxid:2\0")], [NO_DEPTH_MAP]),
        ([(b"meta", b"....auxC" + bytes(4) + DEPTH + MATTES)], [NO_DEPTH_MAP, NO_MATTES]),
        ([(b"mdat", b"1")], []),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_boxes(boxes: list[tuple[bytes, bytes]], lost: list[str], large: bool, tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("wb") as file:
        for name, body in boxes:
            if large:
                file.write(struct.pack(">I4sQ", 1, name, 16 + len(body)) + body)
            else:
                file.write(struct.pack(">I4s", 8 + len(body), name) + body)
    assert auxiliary_losses(path, AVIF) == lost


PIECES = [b"\0", b"\1", b"\xff", b"meta", b"infe", b"tmap", bytes(7)]


@given(data=st.lists(st.sampled_from(PIECES)).map(b"".join))
def test_damaged_boxes_end(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("boxes", numbered=True) / "a"
    path.write_bytes(data)
    assert auxiliary_losses(path, AVIF) in ([], [NO_GAIN_MAP])
