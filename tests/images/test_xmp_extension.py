"""XMP above 64 KB, which JPEG holds in further segments: the main packet is kept, and says so."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from escsr import images

GUID = b"A" * 32
MAIN = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" '
    b'dc:rights="me" xmlns:xmpNote="http://ns.adobe.com/xmp/note/"%b/></x:xmpmeta>'
)


@pytest.mark.parametrize("is_first", [True, False], ids=["extension first", "main first"])
def test_the_main_packet_is_taken(tmp_path: Path, is_first: bool) -> None:
    path = tmp_path / "a.jpg"
    xmp = MAIN % (b' xmpNote:HasExtendedXMP="' + GUID + b'"')
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path, xmp=xmp)
    content = b"http://ns.adobe.com/xmp/extension/\0" + GUID + struct.pack(">II", 4, 0) + b"<x/>"
    segment = struct.pack(">HH", 0xFFE1, 2 + len(content)) + content
    data = path.read_bytes()
    place = 2 if is_first else data.index(b"\xff\xdb")
    path.write_bytes(data[:place] + segment + data[place:])
    picture = images.read(path)
    assert picture.metadata["xmp-data"] == MAIN % b""
    assert picture.notes == ("the extension of its XMP (what is above 64 KB) is not kept",)
