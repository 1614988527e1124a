"""Camera raw, on a DNG made here: bare sensor values of a known picture, as a camera writes them."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from commands import escsr_command
from escsr import images
from escsr.errors import ImageError, OutputError
from escsr.images import formats
from escsr.models.saving import save_network
from escsr.runtime.extras import install_line
from samples import nearest_network

SIDE, WHITE = 96, 4000
SHORT, LONG, RATIONAL, SIGNED_RATIONAL, BYTE, ASCII = 3, 4, 5, 10, 1, 2


def dng(path: Path, *, orientation: int = 1) -> None:
    """A grey sensor image, dark left and bright right, behind a Bayer filter; not compressed."""
    columns = np.linspace(0.05, 0.6, SIDE)
    values = np.tile((columns * WHITE).astype("<u2"), (SIDE, 1)).tobytes()
    identity = b"".join(struct.pack("<ii", value, 1) for value in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    neutral = struct.pack("<IIIIII", 1, 1, 1, 1, 1, 1)
    fields: list[tuple[int, int, int, bytes]] = [
        (254, LONG, 1, struct.pack("<I", 0)),
        (256, LONG, 1, struct.pack("<I", SIDE)),
        (257, LONG, 1, struct.pack("<I", SIDE)),
        (258, SHORT, 1, struct.pack("<H", 16)),
        (259, SHORT, 1, struct.pack("<H", 1)),
        (262, SHORT, 1, struct.pack("<H", 32803)),
        (271, ASCII, 6, b"Maker\0"),
        (272, ASCII, 6, b"Model\0"),
        (273, LONG, 1, b"DATA"),
        (274, SHORT, 1, struct.pack("<H", orientation)),
        (277, SHORT, 1, struct.pack("<H", 1)),
        (278, LONG, 1, struct.pack("<I", SIDE)),
        (279, LONG, 1, struct.pack("<I", len(values))),
        (33421, SHORT, 2, struct.pack("<HH", 2, 2)),
        (33422, BYTE, 4, bytes([0, 1, 1, 2])),
        (50706, BYTE, 4, bytes([1, 4, 0, 0])),
        (50708, ASCII, 6, b"Model\0"),
        (50717, LONG, 1, struct.pack("<I", WHITE)),
        (50721, SIGNED_RATIONAL, 9, identity),
        (50728, RATIONAL, 3, neutral),
        (50778, SHORT, 1, struct.pack("<H", 21)),
    ]
    behind = 8 + 2 + 12 * len(fields) + 4
    table, blocks = b"", b""
    start = behind + sum(len(value) for *_, value in fields if len(value) > 4)
    for tag, kind, count, value in fields:
        inline = struct.pack("<I", start) if value == b"DATA" else value.ljust(4, b"\0")
        if len(value) > 4:
            inline = struct.pack("<I", behind + len(blocks))
            blocks += value
        table += struct.pack("<HHI4s", tag, kind, count, inline)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(fields))
    path.write_bytes(head + table + bytes(4) + blocks + values)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pytest.importorskip("rawpy", reason="requires rawpy")
    path = tmp_path / "in" / "photo.dng"
    path.parent.mkdir()
    dng(path)
    return path


def test_a_raw_file_is_developed(photo: Path) -> None:
    header = images.read_header(photo)
    assert (header.format.name, header.channels) == ("Camera raw", 3)
    picture = images.read(photo)
    assert picture.pixels.dtype == np.uint16
    assert picture.pixels.shape == (header.height, header.width, 3)
    means = picture.pixels[8:-8, 8:-8].mean((0, 2))
    assert (np.diff(means) > -200).all(), "from dark to bright"
    assert means[-1] > 2 * means[0]
    assert "white balance" in picture.notes[0]


@pytest.mark.parametrize("name", ["photo.tif", "photo", "photo.png"])
def test_its_ending_does_not_matter(photo: Path, name: str) -> None:
    path = photo.rename(photo.with_name(name))
    assert images.recognise(path).name == "Camera raw"
    assert images.read(path).pixels.shape[2] == 3


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ({254: 1, 330: 100}, "Camera raw"),  # as Nikon and Sony store it: a thumbnail, and more below
        ({254: 0, 330: 100}, "TIFF"),  # a picture, with smaller ones below
        ({254: 1}, "TIFF"),
        ({50706: 1}, "Camera raw"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_told_from_tiff_by_its_tags(tmp_path: Path, tags: dict[int, int], name: str, order: str) -> None:
    entries = b"".join(struct.pack(order + "HHII", tag, LONG, 1, value) for tag, value in tags.items())
    head = struct.pack(order + "2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(tags))
    (tmp_path / "a").write_bytes(head + entries + bytes(4))
    assert images.recognise(tmp_path / "a").name == name


def test_a_camera_held_upright(photo: Path) -> None:
    dng(photo, orientation=6)
    header = images.read_header(photo)
    pixels = images.read(photo).pixels
    assert pixels.shape[:2] == (header.height, header.width)
    means = pixels[8:-8, 8:-8].mean((1, 2))
    assert abs(means[-1] - means[0]) > means.mean() / 2, "what was left and right is top and bottom"


def test_the_command_writes_a_png(photo: Path) -> None:
    save_network(nearest_network(), photo.parent.parent / "nearest.safetensors")
    command = [*escsr_command(), "upscale", "in", "--model", "nearest.safetensors"]
    done = subprocess.run(command, cwd=photo.parent.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "in_x2/photo.png" in done.stdout
    header = images.read_header(photo)
    assert images.read_size(photo.parent.parent / "in_x2" / "photo.png") == (
        2 * header.width,
        2 * header.height,
    )


def test_damaged_ones_and_results_are_refused(photo: Path, tmp_path: Path) -> None:
    whole = photo.read_bytes()
    for content in (whole[:60], whole[:-2000], b"II*\0\x10\0\0\0CR" + bytes(90)):
        photo.write_bytes(content)
        with pytest.raises(ImageError, match=r"photo\.dng: not a readable picture"):
            images.read(photo)
    with pytest.raises(OutputError, match="Camera raw files can only be read"):
        images.check_suffix(tmp_path / "a.nef")


def test_without_the_package_folders_skip_them(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (photo.parent / "b.jpg").touch()
    assert [path.name for path in images.find_images(photo.parent)] == ["b.jpg", "photo.dng"]
    monkeypatch.setitem(formats._PACKAGES, "raw", "no_such_package")
    assert [path.name for path in images.find_images(photo.parent)] == ["b.jpg"]
    assert images.other_files(photo.parent) == {".dng": 1}
    with pytest.raises(ImageError) as refused:
        images.read(photo)
    assert install_line("raw") in str(refused.value)
