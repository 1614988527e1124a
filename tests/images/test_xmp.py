"""XMP that tells of a video or a gain map behind the picture, which no result has."""

from __future__ import annotations

import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_images_golden import need

from escsr import images
from escsr.images import Picture
from escsr.images.xmp import fitted_xmp, truthful_xmp

NAMESPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "Item": "http://ns.google.com/photos/1.0/container/item/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpGImg": "http://ns.adobe.com/xap/1.0/g/img/",
}
NO_VIDEO, NO_GAIN_MAP = "the video of this motion photo is not kept", "its gain map (Ultra HDR) is not kept"
DIRECTORY = """<Container:Directory><rdf:Seq>
<rdf:li rdf:parseType="Resource"><Container:Item Item:Mime="image/jpeg" Item:Semantic="Primary"/></rdf:li>
<rdf:li rdf:parseType="Resource"><Container:Item Item:Mime="video/mp4" Item:Semantic="MotionPhoto"
 Item:Length="4000"/></rdf:li></rdf:Seq></Container:Directory>"""
THUMBNAILS = """<xmp:Thumbnails><rdf:Alt><rdf:li rdf:parseType="Resource">
<xmpGImg:image>/9j/4AAQ</xmpGImg:image></rdf:li></rdf:Alt></xmp:Thumbnails>"""
KEPT = """<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Version 1</rdf:li></rdf:Alt></dc:title>"""

CASES = {
    "nothing": ('xmp:Rating="3" GCamera:SpecialTypeID="5"', "", []),
    "no video": ('GCamera:MotionPhoto="0"', "", []),
    "a video": ("GCamera:MotionPhoto='1'\n GCamera:MotionPhotoVersion = \"1\"", DIRECTORY, [NO_VIDEO]),
    "an older video": ('GCamera:MicroVideo="1" GCamera:MicroVideoOffset="4000"', "", [NO_VIDEO]),
    "a gain map": ('hdrgm:Version="1.0"', DIRECTORY, [NO_GAIN_MAP]),
    "both": ('GCamera:MotionPhoto="1" hdrgm:Version="1.0"', DIRECTORY, [NO_VIDEO, NO_GAIN_MAP]),
    "elements": (
        "",
        "<GCamera:MotionPhoto>1</GCamera:MotionPhoto><GCamera:MotionPhotoVersion>1</GCamera:MotionPhotoVersion>"
        "<hdrgm:GainMapMax><rdf:Seq><rdf:li>1.2</rdf:li></rdf:Seq></hdrgm:GainMapMax><Container:Directory/>",
        [NO_VIDEO, NO_GAIN_MAP],
    ),
    "thumbnails": ('xmp:Rating="3"', THUMBNAILS, []),
}
LOST = ("Motion", "Micro", "hdrgm:", "Directory", "Item:", "Thumbnails", "/9j/")


def xmp(attributes: str, elements: str, prefixes: dict[str, str] | None = None) -> bytes:
    bound = " ".join(f'xmlns:{name}="{uri}"' for name, uri in NAMESPACES.items())
    text = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF {bound}><rdf:Description rdf:about="" {attributes} dc:format="a">{KEPT}{elements}'
        '</rdf:Description></rdf:RDF></x:xmpmeta>\n   <?xpacket end="w"?>'
    )
    for old, new in (prefixes or {}).items():
        text = text.replace(f"{old}:", f"{new}:").replace(f"xmlns:{old}=", f"xmlns:{new}=")
    return text.encode()


@pytest.mark.parametrize("prefixes", [{}, {"GCamera": "Camera", "hdrgm": "h.1"}], ids=["usual", "others"])
@pytest.mark.parametrize("case", CASES)
def test_what_is_lost_is_not_promised(case: str, prefixes: dict[str, str]) -> None:
    attributes, elements, notes = CASES[case]
    block, said = truthful_xmp(xmp(attributes, elements, prefixes))
    assert said == notes
    body = block.partition(b"<rdf:Description")[2].decode()
    for word in LOST:
        assert prefixes.get(word[:-1], word) not in body
    ElementTree.fromstring(block.decode())
    assert KEPT in body
    assert 'dc:format="a"' in body
    for kept in ('xmp:Rating="3"', 'SpecialTypeID="5"'):
        assert (kept in body) == (kept in attributes)
    assert truthful_xmp(block) == (block, [])


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif", ".jxl", ".heic"])
@pytest.mark.parametrize("source", [".jpg", ".heic", ".jxl"])
def test_a_motion_photo_becomes_a_photo(tmp_path: Path, source: str, suffix: str) -> None:
    need(images.WRITABLE[suffix])
    need(images.WRITABLE[source])
    block = xmp(*CASES["both"][:2])
    pixels = np.zeros((8, 8, 3), np.uint8)
    if source == ".jpg":
        Image.fromarray(pixels).save(tmp_path / "a.jpg", xmp=block)
        with open(tmp_path / "a.jpg", "ab") as file:
            file.write(b"\0\0\0\x18ftypmp42" + bytes(3988))
    else:
        images.write(Picture(pixels, {"xmp-data": block}), tmp_path / f"a{source}")
    picture = images.read_for(f"b{suffix}", tmp_path / f"a{source}")
    assert picture.notes == (NO_VIDEO, NO_GAIN_MAP)
    images.write(picture, tmp_path / f"b{suffix}")
    kept = (tmp_path / f"b{suffix}").read_bytes()
    assert b"ftypmp42" not in kept
    if suffix == ".png":  # where it is compressed
        with Image.open(tmp_path / "b.png") as seen:
            kept = seen.info["XML:com.adobe.xmp"].encode()
    assert b'dc:format="a"' in kept
    for lost in (b"MotionPhoto=", b"hdrgm:Version", b"<Container:Directory"):
        assert lost not in kept


def test_an_animation_is_treated_alike(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    block = xmp(*CASES["a video"][:2])
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], xmp=block)
    animation = images.read_animation(tmp_path / "a.webp")
    assert animation.notes == (NO_VIDEO,)
    assert b"MotionPhoto=" not in animation.metadata["xmp-data"]


@given(st.sampled_from(list(CASES)), st.integers(0, 2500), st.integers(0, 40), st.binary(max_size=8))
def test_damage_does_no_harm(case: str, place: int, length: int, junk: bytes) -> None:
    block = xmp(*CASES[case][:2])
    damaged = block[:place] + junk + block[place + length :]
    shorter, _ = truthful_xmp(damaged)
    assert len(shorter) <= len(damaged)
    assert truthful_xmp(block[:place])[0] == truthful_xmp(truthful_xmp(block[:place])[0])[0]


@pytest.mark.parametrize(
    "piece",
    [
        b"<GCamera:MotionPhoto>",
        b"<GCamera:MotionPhoto ",
        b' GCamera:MotionPhoto="',
        b" GCamera:MotionPhoto",
        b" ",
    ],
)
def test_hostile_blocks_take_no_time(piece: bytes) -> None:
    block = xmp("", "") + piece * (2_000_000 // len(piece))
    begin = time.process_time()
    truthful_xmp(block)
    fitted_xmp(block, 5, 5)
    assert time.process_time() - begin < 5
