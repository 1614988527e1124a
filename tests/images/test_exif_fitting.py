"""EXIF fitted to its picture, whatever its pointers say: upright, of its size, and never for long."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_images_golden import need

from escsr import images
from escsr.images import FORMATS, Format, Picture
from escsr.images.exif_fitting import exif_resolution, fitted_exif
from escsr.images.metadata import fitted

EXIF, ORIENTATION, WIDTH, PIXEL_WIDTH = 0x8769, 0x0112, 0x0100, 0xA002
ENDINGS = [".png", ".jpg", ".webp", ".tif"]
PIXELS = np.zeros((8, 8, 3), np.uint8)


def ifd(order: str, *entries: tuple[int, int, int, int]) -> bytes:
    table = b"".join(
        struct.pack(order + "HHIHH", tag, kind, count, value, 0)
        if kind == 3
        else struct.pack(order + "HHII", tag, kind, count, value)
        for tag, kind, count, value in entries
    )
    return struct.pack(order + "H", len(entries)) + table + bytes(4)


def block(order: str, *tables: bytes) -> bytes:
    mark = b"II" if order == "<" else b"MM"
    return b"Exif\0\0" + struct.pack(order + "2sHI", mark, 42, 8) + b"".join(tables)


def bomb(levels: int, pointers: int) -> bytes:
    """IFDs below each other, each pointing to the next several times: pointers ** levels ways down."""
    size = 2 + 12 * pointers + 4
    starts = [8 + size * level for level in range(levels)]
    tables = [ifd("<", *[(EXIF, 4, 1, start + size)] * pointers) for start in starts]
    return block("<", *tables, ifd("<", (ORIENTATION, 3, 1, 6)))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_orientation_sizes_and_thumbnail(order: str, prefix: bytes) -> None:
    first = ifd(order, (WIDTH, 3, 1, 10), (ORIENTATION, 3, 1, 6), (EXIF, 4, 1, 50))
    first = first[:-4] + struct.pack(order + "I", 80)
    inner = ifd(order, (PIXEL_WIDTH, 4, 1, 10), (PIXEL_WIDTH + 1, 3, 2, 9))
    exif = block(order, first, inner)
    result = prefix + fitted_exif(prefix + exif[6:], 70_000, 3)[len(prefix) :]
    again = Image.Exif()
    again.load(b"Exif\0\0" + result[len(prefix) :])
    assert dict(again) == {WIDTH: 70_000, ORIENTATION: 1, EXIF: 50}
    assert again.get_ifd(EXIF)[PIXEL_WIDTH] == 70_000
    assert result[len(prefix) + 46 :][:4] == bytes(4), "no second IFD"
    assert result[-12:] == exif[-12:], "two numbers are no size"
    assert fitted({"exif-data": prefix + exif[6:]}, 70_000, 3) == {"exif-data": result}


PICTURE = b"\xff\xd8" + bytes(range(1, 256)) * 8


def with_thumbnail(
    order: str, *entries: tuple[int, int, int, int], start: int | None = None, length: int = len(PICTURE)
) -> bytes:
    """An IFD of some entries, one behind it of a small picture, and that picture, which ends the block."""
    second = 8 + 2 + 12 * len(entries) + 4
    third = second + 2 + 12 * 3 + 4
    place = third if start is None else start
    tags = [(0x0103, 3, 1, 6), (0x0201, 4, 1, place), (0x0202, 4, 1, length)]
    first = ifd(order, *entries)[:-4] + struct.pack(order + "I", second)
    return block(order, first, ifd(order, *tags), PICTURE)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
@pytest.mark.parametrize("length", [len(PICTURE), len(PICTURE) + 5000])
def test_nothing_is_left_of_the_thumbnail(order: str, prefix: bytes, length: int) -> None:
    exif = with_thumbnail(order, (WIDTH, 3, 1, 10), length=length)
    result = fitted_exif(prefix + exif[6:], 5, 7)
    assert result.endswith(bytes(len(PICTURE)))
    assert len(result) == len(prefix + exif[6:])
    again = Image.Exif()
    again.load(b"Exif\0\0" + result.removeprefix(b"Exif\0\0"))
    assert dict(again) == {WIDTH: 5}


def test_nothing_is_left_of_a_thumbnail_in_strips() -> None:
    strips = 8 + 2 + 12 + 4
    pixels = strips + 2 + 12 * 2 + 4 + 16
    first = ifd("<", (WIDTH, 3, 1, 10))[:-4] + struct.pack("<I", strips)
    second = ifd("<", (0x0111, 4, 2, pixels - 16), (0x0117, 4, 2, pixels - 8))
    values = struct.pack("<4I", pixels, pixels + 100, 60, 50)
    exif = block("<", first, second, values, b"a" * 200)
    assert fitted_exif(exif, 5, 7)[-200:] == bytes(60) + b"a" * 40 + bytes(50) + b"a" * 50


def test_other_values_stay_where_a_thumbnail_is_said_to_be() -> None:
    """Damage must not cost what the block holds beside it."""
    entries = [(0x010F, 2, 6, 0), (EXIF, 4, 1, 0)]
    empty = with_thumbnail("<", *entries)[6:]
    maker = len(empty)
    inner = maker + 6
    entries = [(0x010F, 2, 6, maker), (EXIF, 4, 1, inner)]
    for start, length in ((0, 1 << 31), (8, 60), (maker, 4000), (1 << 31, 10)):
        exif = with_thumbnail("<", *entries, start=start, length=length)
        exif += b"Maker\0" + ifd("<", (PIXEL_WIDTH, 4, 1, 10), (0x9003, 2, 20, 0))
        result = fitted_exif(exif, 70, 3)
        again = Image.Exif()
        again.load(result)
        assert again[0x010F] == "Maker"
        assert again.get_ifd(EXIF)[PIXEL_WIDTH] == 70
        assert result[:14] == exif[:14]


@pytest.mark.parametrize("format", [f for f in FORMATS if f.is_written], ids=lambda f: f.name)
def test_no_format_keeps_the_thumbnail(tmp_path: Path, format: Format) -> None:
    need(format)
    suffix = format.suffixes[0]
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=with_thumbnail("<", (0x0110, 2, 4, 0x00333231)))
    assert PICTURE[50:250] in (tmp_path / "a.jpg").read_bytes()
    images.write(images.read_for(f"b{suffix}", tmp_path / "a.jpg"), tmp_path / f"b{suffix}")
    assert PICTURE[50:250] not in (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("pointers", [1, 2, 40])
@pytest.mark.parametrize("levels", [40, 3000])
def test_bombs_are_looked_at_once(levels: int, pointers: int) -> None:
    exif = bomb(levels, pointers)
    assert fitted_exif(exif, 5, 5) == exif, "orientation stands where EXIF has none"


@pytest.mark.parametrize("pointer", [8, 0, 60_000, 0xFFFFFFFF])
def test_a_pointer_that_leads_nowhere_keeps_nothing_else_from_fitting(pointer: int) -> None:
    exif = block("<", ifd("<", (ORIENTATION, 3, 1, 6), (EXIF, 4, 1, pointer)))
    assert fitted_exif(exif, 5, 5) == block("<", ifd("<", (ORIENTATION, 3, 1, 1), (EXIF, 4, 1, pointer)))


@pytest.mark.parametrize("suffix", ENDINGS)
@pytest.mark.parametrize("exif", [bomb(40, 2), bomb(2000, 1)], ids=["fan", "chain"])
def test_pictures_with_bombs(tmp_path: Path, suffix: str, exif: bytes) -> None:
    """Written by Pillow, which keeps the block as it is."""
    source = tmp_path / f"a{suffix}"
    Image.fromarray(PIXELS).save(source, exif=b"" if suffix == ".tif" else exif)
    metadata = dict(images.read(source).metadata)
    for target in (*ENDINGS, ".avif"):
        images.write(Picture(PIXELS, metadata | {"exif-data": exif}), tmp_path / f"b{target}")
        assert images.read(tmp_path / f"b{target}").pixels.shape == PIXELS.shape


@pytest.mark.parametrize("suffix", [".heic", ".jxl"])
def test_bombs_in_formats_of_extras(tmp_path: Path, suffix: str) -> None:
    need(images.WRITABLE[suffix])
    images.write(Picture(PIXELS, {"exif-data": bomb(40, 2)}), tmp_path / f"a{suffix}")
    assert images.read(tmp_path / f"a{suffix}").metadata["exif-data"]


def test_the_cases_that_hung(shared: Path, tmp_path: Path) -> None:
    for path in sorted((shared / "cases").glob("exif-*")):
        images.write(images.read(path), tmp_path / path.name)
        assert images.read_size(tmp_path / path.name) == images.read_size(path)


@given(
    st.lists(st.tuples(st.sampled_from([EXIF, 0x8825, 0xA005, ORIENTATION, 0x011A]), st.integers(0, 90))),
    st.data(),
)
def test_random_pointers(entries: list[tuple[int, int]], data: st.DataObject) -> None:
    tables = [ifd("<", *((tag, 4, 1, place) for tag, place in entries[part::3])) for part in range(3)]
    exif = block("<", *tables)
    exif = exif[: data.draw(st.integers(0, len(exif)))]
    assert len(fitted_exif(exif, 5, 7)) == len(exif)
    exif_resolution(exif)


@pytest.mark.parametrize(("unit", "dpi"), [(None, 300), (2, 300), (3, 762), (1, None)])
def test_resolution(unit: int | None, dpi: float | None) -> None:
    units = [] if unit is None else [(0x0128, 3, 1, unit)]
    places = [8 + 2 + 12 * (2 + len(units)) + 4] * 2
    entries = [(tag, 5, 1, place) for tag, place in zip((0x011A, 0x011B), places, strict=True)]
    exif = block("<", ifd("<", *entries, *units), struct.pack("<II", 600, 2))
    resolution = exif_resolution(exif)
    assert resolution == (None if dpi is None else pytest.approx((dpi / 25.4, dpi / 25.4)))
    assert exif_resolution(exif[:-8] + bytes(8)) is None, "divided by 0"
    assert exif_resolution(block("<", ifd("<"))) is None
