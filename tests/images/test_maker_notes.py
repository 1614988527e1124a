"""MakerNotes and UTF-16 in EXIF, which depend on their place and byte order: right in each result."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from test_tiff_exif import EXIF, Values, packed, picture, tiff

from escsr import images
from escsr.images import Picture
from escsr.images.exif_values import is_bound_to_order, moved_note
from escsr.images.tiff_exif import loses_maker_note, write_exif

NOTE, COMMENT, RATING = 0x927C, 0x9286, 0x4746
PIXELS = np.zeros((8, 8, 3), np.uint8)
TEXT = "Ångström €"
HEADS = {"Canon": b"", "Sony": b"SONY DSC \0\0\0", "Fuji": b"FUJIFILM\x0c\0\0\0"}
FIRMWARE = b"Firmware 1.0\0\0"


def maker_note(maker: str, order: str, start: int) -> bytes:
    """A number and a text, whose offset counts from the start of EXIF, with Fuji from that of the note."""
    head = HEADS[maker]
    base = len(head) + (0 if maker == "Fuji" else start)
    note = head + packed({1: (3, [7]), 2: (2, FIRMWARE)}, order, base)
    footer = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, start)
    return note + (footer if maker == "Canon" else b"")


def exif(note: bytes, order: str, *, maker: str = "Maker", rating: bool = True) -> bytes:
    encoded = TEXT.encode("utf-16-le" if order == "<" else "utf-16-be")
    values: Values = {
        0x010F: (2, maker.encode() + b"\0"),
        EXIF: (4, {NOTE: (7, note), COMMENT: (7, b"UNICODE\0" + encoded)}),
    }
    return tiff(values | ({RATING: (3, [4])} if rating else {}), order)


def with_note(maker: str, order: str, *, rating: bool = True) -> bytes:
    dummy = maker_note(maker, order, 0)
    start = exif(dummy, order, maker=maker, rating=rating).index(dummy)
    return b"Exif\0\0" + exif(maker_note(maker, order, start), order, maker=maker, rating=rating)


def below(block: bytes) -> tuple[str, dict[int, tuple[int, bytes]]]:
    """Byte order, and the place and bytes of long values of the Exif IFD, without the code under test."""
    data = block.removeprefix(b"Exif\0\0")
    order = "<" if data[:2] == b"II" else ">"

    def table(start: int) -> dict[int, tuple[int, int]]:
        (count,) = struct.unpack_from(order + "H", data, start)
        entries = [struct.unpack_from(order + "HHII", data, start + 2 + 12 * n) for n in range(count)]
        return {tag: (items, value) for tag, _, items, value in entries}

    values = table(table(struct.unpack_from(order + "I", data, 4)[0])[EXIF][1])
    return order, {tag: (place, data[place : place + count]) for tag, (count, place) in values.items()}


def check(block: bytes, maker: str) -> None:
    """That the note's text stands where its offset leads, and that the comment is what it was."""
    order, values = below(block)
    start, note = values[NOTE]
    assert note.startswith(maker_note(maker, order, start)[: len(note) - 8])
    if maker == "Canon" and len(note) == len(maker_note(maker, order, start)):  # libexif leaves out the end
        assert note == maker_note(maker, order, start)
    comment = values[COMMENT][1].removeprefix(b"UNICODE\0")
    assert comment.decode("utf-16-le" if order == "<" else "utf-16-be") == TEXT


@pytest.mark.parametrize("rating", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif"])
@pytest.mark.parametrize("maker", ["Canon", "Sony", "Fuji"])
def test_offsets_lead_to_their_values(
    tmp_path: Path, maker: str, suffix: str, order: str, rating: bool
) -> None:
    block = with_note(maker, order, rating=rating)
    check(block, maker)
    path = tmp_path / f"a{suffix}"
    images.write(Picture(PIXELS, {"exif-data": block}), path)
    written = images.read(path).metadata["exif-data"]
    assert below(written)[0] == order
    check(written, maker)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_note_beside_a_large_preview_in_the_file(order: str) -> None:
    """As Sony's: an entry of more bytes than the note leads behind EXIF, and those beside it count."""
    head, start, to = HEADS["Sony"], 100, 1000
    entries: Values = {1: (3, [7]), 2: (2, FIRMWARE), 3: (3, [1]), 0x2001: (4, [200_000])}

    def note_at(place: int) -> bytes:
        note = bytearray(head + packed(entries, order, len(head) + place))
        struct.pack_into(order + "HHI", note, len(head) + 2 + 12 * 3, 0x2001, 7, 131_383)
        return bytes(note)

    assert moved_note(note_at(start), order, start, to) == note_at(to)
    assert is_bound_to_order(note_at(start), order)


@pytest.mark.parametrize("maker", ["Canon", "Sony", "Fuji"])
def test_into_tiff_and_back(tmp_path: Path, maker: str) -> None:
    images.write(Picture(PIXELS, {"exif-data": with_note(maker, "<")}), tmp_path / "a.tif")
    check((tmp_path / "a.tif").read_bytes(), maker)
    read = images.read(tmp_path / "a.tif")
    check(read.metadata["exif-data"], maker)
    images.write(read, tmp_path / "b.jpg")
    check(images.read(tmp_path / "b.jpg").metadata["exif-data"], maker)


@pytest.mark.parametrize("maker", ["Canon", "Sony"])
def test_tiff_of_the_other_byte_order(tmp_path: Path, maker: str) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(picture(">"))
    write_exif(path, with_note(maker, ">"))
    check(path.read_bytes(), maker)
    metadata = images.read(path).metadata
    assert below(metadata["exif-data"])[0] == ">"
    check(metadata["exif-data"], maker)


def test_a_note_that_tiff_cannot_keep(tmp_path: Path) -> None:
    images.write(Picture(PIXELS, {"exif-data": with_note("Canon", ">")}), tmp_path / "a.png")
    read = images.read_for("b.tif", tmp_path / "a.png")
    assert read.notes == ("its MakerNote depends on another byte order and is not kept in TIFF",)
    images.write(read, tmp_path / "b.tif")
    order, values = below((tmp_path / "b.tif").read_bytes())
    assert order == "<"
    assert NOTE not in values
    assert values[COMMENT][1] == b"UNICODE\0" + TEXT.encode("utf-16-le")
    assert images.read_for("b.jpg", tmp_path / "a.png").notes == ()


@pytest.mark.parametrize(
    "note",
    [
        b"Apple iOS\0\0\1MM" + packed({1: (4, [5, 6])}, ">", 14),
        b"Nikon\0\2\x10\0\0" + tiff({1: (4, [5, 6])}, ">"),
        b'{"json": "of a phone"}',
    ],
    ids=["order stated", "header of its own", "no table"],
)
def test_notes_that_stand_alone_are_kept(tmp_path: Path, note: bytes) -> None:
    """Of those, libexif knows and changes some, so no other format stands before TIFF here."""
    block = b"Exif\0\0" + exif(note, ">")
    assert not loses_maker_note(block)
    images.write(Picture(PIXELS, {"exif-data": block}), tmp_path / "b.tif")
    assert below((tmp_path / "b.tif").read_bytes())[1][NOTE][1] == note
