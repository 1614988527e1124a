"""EXIF into and out of TIFF files; Pillow and libvips are the independent witnesses."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from escsr.images.tiff_exif import read_exif, write_exif

EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
WIDTH, HEIGHT = 35, 20
MAKER_NOTE = bytes(range(256)) * 300 + b"!"
PIXELS = {
    "rgb": np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8),
    "grey16": np.random.default_rng(1).integers(0, 65536, (HEIGHT, WIDTH, 1), np.uint16),
}
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

Values = dict[int, tuple[int, Any]]
"""By tag, a TIFF type and what `packed` takes for it: bytes, numbers, or the values of a sub-IFD."""

LETTERS = {1: "B", 3: "H", 4: "I", 5: "I", 6: "b", 8: "h", 9: "i", 10: "i", 11: "f", 12: "d", 13: "I"}
EVERY_TYPE: Values = {
    0x829A: (5, [1, 250]),
    0x9000: (7, b"0232"),
    0x9003: (2, b"2021:02:03 04:05:06\0"),
    0x9101: (1, [1, 2, 3, 0, 4]),
    0x9204: (10, [-2, 3]),
    0x8827: (3, [100, 65535, 7]),
    0x8830: (3, [2]),
    0x9214: (6, [-1, 2]),
    0x9215: (8, [-300, 300]),
    0x9216: (9, [-70000]),
    0x9217: (4, [70000, 3]),
    0x9218: (11, [0.5, -1.25]),
    0x9219: (12, [1e-300]),
    0x927C: (7, MAKER_NOTE),
    0xA002: (4, [4000]),
    0xA003: (4, [3000]),
    INTEROPERABILITY: (4, {1: (2, b"R98\0"), 2: (7, b"0100")}),
}
BLOCK: Values = {
    0x010E: (2, b"a ship in the harbour\0"),
    0x010F: (2, b"Maker\0"),
    0x0110: (2, b"M1\0"),
    0x0112: (3, [6]),
    0x011A: (5, [72, 1]),
    0x0131: (2, b"Software 1.0\0"),
    0x0132: (2, b"2022:01:01 00:00:00\0"),
    0x013B: (2, "Åsa\0".encode()),
    0x013C: (2, b"host\0"),
    0x8298: (2, b"photographer\0editor\0"),
    EXIF: (4, EVERY_TYPE),
    GPS: (13, {1: (2, b"N\0"), 2: (5, [59, 1, 19, 1, 3012, 100]), 5: (1, [0])}),
}


def packed(values: Values, order: str, start: int = 8) -> bytes:
    """An IFD and what it points to, for an offset, written without the code under test."""
    table, data = b"", b""
    behind = start + 2 + 12 * len(values) + 4
    for tag, (kind, value) in sorted(values.items()):
        if isinstance(value, dict):
            count, raw = 1, struct.pack(order + "I", behind + len(data))
            data += packed(value, order, behind + len(data))
        elif isinstance(value, bytes):
            count, raw = len(value), value
        else:
            count = len(value) // (2 if kind in (5, 10) else 1)
            raw = struct.pack(f"{order}{len(value)}{LETTERS[kind]}", *value)
        if len(raw) > 4:
            offset = struct.pack(order + "I", behind + len(data))
            data += raw + bytes(len(raw) % 2)
            raw = offset
        table += struct.pack(order + "HHI4s", tag, kind, count, raw)
    return struct.pack(order + "H", len(values)) + table + bytes(4) + data


def tiff(values: Values, order: str = "<") -> bytes:
    return struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8) + packed(values, order)


def block(values: Values = BLOCK, order: str = "<") -> bytes:
    return b"Exif\0\0" + tiff(values, order)


def picture(order: str) -> bytes:
    """A grey TIFF of one strip, with a description, an orientation and a resolution."""
    values: Values = {
        0x0100: (3, [4]),
        0x0101: (3, [3]),
        0x0102: (3, [8]),
        0x0103: (3, [1]),
        0x0106: (3, [1]),
        0x010E: (2, b"an older description\0"),
        0x0111: (4, [0]),
        0x0112: (3, [1]),
        0x0115: (3, [1]),
        0x0116: (3, [3]),
        0x0117: (4, [12]),
        0x011A: (5, [300, 1]),
    }
    values[0x0111] = (4, [len(tiff(values, order))])
    return tiff(values, order) + bytes(range(12))


def save(path: Path, name: str = "rgb", **options: Any) -> Path:
    array = PIXELS[name]
    kind = "uchar" if array.dtype == np.uint8 else "ushort"
    image = pyvips.Image.new_from_memory(array.data, WIDTH, HEIGHT, array.shape[2], kind)
    image = image.copy(interpretation="srgb" if name == "rgb" else "grey16", xres=11.8, yres=11.8)
    if options.pop("icc", False):
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", PROFILE)
    image.tiffsave(str(path), **options)
    return path


def pixels(data: bytes) -> np.ndarray:
    return np.atleast_3d(pyvips.Image.new_from_buffer(data, "", fail_on="truncated").numpy())


def plain(exif: Image.Exif) -> dict[int, Any]:
    """All of an EXIF block as Pillow reads it, without what tells where its parts lie."""
    values = {tag: value for tag, value in exif.items() if tag not in (EXIF, GPS)}
    for ifd in (EXIF, GPS):
        values |= {(ifd << 16) + tag: value for tag, value in exif.get_ifd(ifd).items()}
    values.pop((EXIF << 16) + INTEROPERABILITY, None)
    return values | {(INTEROPERABILITY << 16) + t: v for t, v in exif.get_ifd(INTEROPERABILITY).items()}


def parsed(data: bytes | None) -> dict[int, Any]:
    assert data is not None
    exif = Image.Exif()
    exif.load(data)
    return plain(exif)


def opened(path: Path) -> dict[int, Any]:
    with Image.open(path) as image:
        return plain(image.getexif())


def expected(width: int = WIDTH, height: int = HEIGHT) -> dict[int, Any]:
    """What of the block belongs into a TIFF file."""
    own = {(EXIF << 16) + 0xA002: width, (EXIF << 16) + 0xA003: height}
    return {tag: value for tag, value in parsed(block()).items() if tag not in (0x0112, 0x011A)} | own


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("icc", [False, True])
@pytest.mark.parametrize("compression", ["none", "deflate"])
@pytest.mark.parametrize("name", ["rgb", "grey16"])
def test_round_trip(tmp_path: Path, name: str, compression: str, icc: bool, order: str) -> None:
    path = save(tmp_path / "a.tif", name, compression=compression, icc=icc)
    before = opened(path)
    write_exif(path, block(order=order))
    assert opened(path) == before | expected()
    assert parsed(read_exif(path)) == expected()
    assert np.array_equal(pixels(path.read_bytes()), PIXELS[name])
    with Image.open(path) as image:
        assert image.info.get("icc_profile") == (PROFILE if icc and name == "rgb" else None)
        assert image.getexif().get_ifd(EXIF)[0x927C] == MAKER_NOTE
        assert image.getexif().get_ifd(GPS)[2] == (59, 19, 30.12)
        assert image.getexif().get_ifd(INTEROPERABILITY)[1] == "R98"


def test_the_block_read_is_the_block_written(tmp_path: Path) -> None:
    values = {tag: value for tag, value in BLOCK.items() if tag not in (0x0112, 0x011A)}
    values[GPS] = (4, BLOCK[GPS][1])
    values[EXIF] = (4, EVERY_TYPE | {0xA002: (3, [WIDTH]), 0xA003: (3, [HEIGHT])})
    path = save(tmp_path / "a.tif")
    for order in "<>":
        write_exif(path, block(order=order))
        assert read_exif(path) == block(values)


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("file_order", ["<", ">"])
def test_byte_orders(tmp_path: Path, file_order: str, order: str, prefix: bytes) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(picture(file_order))
    assert parsed(read_exif(path)) == {0x010E: "an older description"}
    before = opened(path)
    write_exif(path, prefix + tiff(BLOCK, order))
    assert parsed(read_exif(path)) == expected(4, 3)
    assert opened(path) == before | expected(4, 3)
    assert pixels(path.read_bytes()).ravel().tolist() == list(range(12))
    assert path.read_bytes()[8 : len(picture(file_order))] == picture(file_order)[8:]


def test_the_first_ifd_is_sorted_aligned_and_linked_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    frames = [Image.fromarray(PIXELS["rgb"][:, :, channel]) for channel in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    path.write_bytes(path.read_bytes() + b"\0" * (1 - path.stat().st_size % 2))
    write_exif(path, block())
    data = path.read_bytes()
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    tags = [struct.unpack_from("<H", data, start + 2 + 12 * entry)[0] for entry in range(count)]
    assert start % 2 == 0
    assert tags == sorted(set(tags))
    with Image.open(path) as image:
        for channel in range(3):
            image.seek(channel)
            assert np.array_equal(np.asarray(image), PIXELS["rgb"][:, :, channel])


def test_what_pillow_writes_is_read(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 6
    exif.get_ifd(EXIF).update({0x9003: "2021:02:03 04:05:06", 0x829A: 0.004, 0x927C: MAKER_NOTE})
    exif.get_ifd(GPS).update({1: "S", 2: (1.0, 2.0, 3.5)})
    path = tmp_path / "a.tif"
    Image.fromarray(PIXELS["rgb"]).save(path, exif=exif.tobytes())
    found = parsed(read_exif(path))
    assert found.pop((EXIF << 16) + 0x829A) == pytest.approx(0.004)
    assert found == {
        0x010F: "Maker",
        (EXIF << 16) + 0x9003: "2021:02:03 04:05:06",
        (EXIF << 16) + 0x927C: MAKER_NOTE,
        (GPS << 16) + 1: "S",
        (GPS << 16) + 2: (1.0, 2.0, 3.5),
    }


def test_written_twice_is_written_once(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif")
    write_exif(path, block())
    once, seen = read_exif(path), opened(path)
    write_exif(path, block())
    assert read_exif(path) == once
    assert opened(path) == seen
    assert once is not None
    write_exif(path, once)
    assert read_exif(path) == once


def test_what_the_block_lacks_stays(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif")
    write_exif(path, block())
    write_exif(path, block({0x010F: (2, b"Another\0"), GPS: (4, {1: (2, b"S\0")})}))
    kept = {tag: value for tag, value in expected().items() if tag >> 16 != GPS}
    assert parsed(read_exif(path)) == kept | {0x010F: "Another", (GPS << 16) + 1: "S"}


@pytest.mark.parametrize("kind", [1, 3, 5, 7, 12, 129])
def test_a_description_of_another_type_harms_nothing(tmp_path: Path, kind: int) -> None:
    path = save(tmp_path / "a.tif")
    value = b"odd\0" if kind in (7, 129) else [1, 2, 3, 4]
    write_exif(path, block(dict.fromkeys((0x010E, 0x0131, 0x8298), (kind, value))))
    assert read_exif(path) is not None
    assert np.array_equal(pixels(path.read_bytes()), PIXELS["rgb"])


def test_nothing_to_read_or_write(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif")
    before = path.read_bytes()
    assert read_exif(path) is None
    of_no_use: Values = {
        0x0112: (3, [6]),
        0x011A: (5, [72, 1]),
        EXIF: (4, {}),
        0x010F: (2, b""),
        0x0110: (99, b"M"),
    }
    for exif in (block(of_no_use), block({}), b"", b"Exif\0\0", b"not a block", before[:8]):
        write_exif(path, exif)
        assert path.read_bytes() == before


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    big = save(tmp_path / "big.tif", bigtiff=True)
    Image.fromarray(PIXELS["rgb"]).save(tmp_path / "a.png")
    (tmp_path / "empty.tif").write_bytes(b"")
    for path in (big, tmp_path / "a.png", tmp_path / "empty.tif"):
        before = path.read_bytes()
        write_exif(path, block())
        assert path.read_bytes() == before
        assert read_exif(path) is None
    with pytest.raises(FileNotFoundError):
        read_exif(tmp_path / "no.tif")
    with pytest.raises(FileNotFoundError):
        write_exif(tmp_path / "no.tif", block())


@pytest.mark.parametrize("order", ["<", ">"])
def test_of_bigtiff(tmp_path: Path, order: str) -> None:
    def table(start: int, *entries: tuple[int, int, int, bytes]) -> bytes:
        packed = [struct.pack(order + "HHQ8s", *entry) for entry in entries]
        data = struct.pack(order + "Q", len(entries)) + b"".join(packed) + bytes(8)
        return data.ljust(start, b"\0")

    head = struct.pack(order + "2s3HQ", b"II" if order == "<" else b"MM", 43, 8, 0, 16)
    below, text = (struct.pack(order + "Q", place) for place in (116, 216))
    first = table(100, (0x010F, 2, 8, b"Eightth\0"), (0x0110, 2, 20, text), (EXIF, 18, 1, below))
    exif = table(100, (0xA002, 16, 1, text), (0x9204, 8, 2, struct.pack(order + "2h", -2, 3)))
    (tmp_path / "a.tif").write_bytes(head + first + exif + b"a model's long name\0")
    found = parsed(read_exif(tmp_path / "a.tif"))
    assert found == {0x010F: "Eightth", 0x0110: "a model's long name", (EXIF << 16) + 0x9204: (-2, 3)}


@pytest.mark.parametrize("room", [0, 1000, 10_000_000])
def test_a_file_beyond_four_gib_is_left_alone(tmp_path: Path, room: int) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(picture("<"))
    size = (1 << 32) - room
    with open(path, "r+b") as file:
        file.truncate(size)
    write_exif(path, block())
    assert (path.stat().st_size > size) == (room > 1000)
    assert parsed(read_exif(path)) == (expected(4, 3) if room > 1000 else {0x010E: "an older description"})


def entry(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack("<HHII", tag, kind, count, value)


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([entry(0x010F, 2, 100, 60_000)], id="a value outside of the file"),
        pytest.param([entry(0x010F, 12, 0xFFFFFFFF, 8)], id="an absurd count"),
        pytest.param([entry(EXIF, 4, 1, 60_000)], id="a sub-IFD outside of the file"),
        pytest.param([entry(EXIF, 4, 1, 8)], id="a sub-IFD that is the first IFD"),
        pytest.param([entry(EXIF, 4, 1, 100), entry(GPS, 4, 1, 100)], id="one sub-IFD for two"),
        pytest.param([entry(EXIF, 4, 2, 100)], id="two pointers"),
        pytest.param([entry(EXIF, 2, 1, 100)], id="a text for a pointer"),
    ],
)
def test_damage(tmp_path: Path, entries: list[bytes]) -> None:
    table = struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + b"".join(entries)
    damaged = table.ljust(100, b"\0") + packed({1: (2, b"abc\0")}, "<", 100)
    path = tmp_path / "a.tif"
    path.write_bytes(damaged)
    assert read_exif(path) is None
    save(path)
    before = path.read_bytes()
    write_exif(path, damaged)
    assert path.read_bytes() == before


def test_too_much_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(struct.pack("<2sHIH", b"II", 42, 8, 1) + entry(0x010E, 2, 1 << 30, 8) + bytes(4))
    with open(path, "r+b") as file:
        file.truncate(1 << 31)
    assert read_exif(path) is None


def test_a_last_ifd_that_ends_early_is_read(tmp_path: Path) -> None:
    whole = tiff({GPS: (4, {1: (2, b"N\0")})})
    (tmp_path / "a.tif").write_bytes(whole[:-4])
    assert parsed(read_exif(tmp_path / "a.tif")) == {(GPS << 16) + 1: "N"}


SMALL: Values = BLOCK | {EXIF: (4, EVERY_TYPE | {0x927C: (7, b"note" * 5)})}


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """The data with a few bytes changed, mostly near the start where the tables are, or cut short."""
    data = bytearray(whole)
    places = st.one_of(st.integers(0, len(data) - 1), st.integers(0, min(250, len(data) - 1)))
    for place, value in draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=4)):
        data[place] = value
    return bytes(data[: draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))])


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_damaged_block_does_no_damage(tmp_path_factory: pytest.TempPathFactory, order: str) -> None:
    path = save(tmp_path_factory.mktemp("block") / "a.tif", compression="deflate")
    before = path.read_bytes()

    @given(damaged(block(SMALL, order)))
    def check(exif: bytes) -> None:
        path.write_bytes(before)
        write_exif(path, exif)
        after = path.read_bytes()
        if after != before:
            assert after[8 : len(before)] == before[8:]
            assert np.array_equal(pixels(after), PIXELS["rgb"])
            assert read_exif(path) is not None

    check()


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_damaged_file_raises_nothing(tmp_path_factory: pytest.TempPathFactory, order: str) -> None:
    path = tmp_path_factory.mktemp("file") / "a.tif"
    path.write_bytes(picture(order))
    write_exif(path, block(SMALL))
    whole = path.read_bytes()

    @given(st.one_of(damaged(whole), damaged(tiff(SMALL, order))))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        found = read_exif(path)
        assert found is None or found[6:10] == tiff({}, order)[:4]
        write_exif(path, block(SMALL))
        after = path.read_bytes()
        assert after[8 : len(data)] == data[8:]
        assert after == data or read_exif(path) is not None

    check()
