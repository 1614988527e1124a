"""Channels of TIFF beside colour: opacity is what the file calls so, and nothing else."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from escsr import images
from escsr.errors import ImageError

ONE_DROPPED = ("1 channel beside colour and alpha is dropped",)


@pytest.fixture(params=[False, True], ids=["classic", "big"])
def big(request: pytest.FixtureRequest) -> bool:
    """Whether a file is BigTIFF."""
    return bool(request.param)


def written(
    path: Path,
    pixels: np.ndarray,
    photometric: int,
    extras: list[int] | None,
    *,
    big: bool,
    floats: bool = False,
) -> Path:
    """A file of one strip, written without the code under test."""
    head, room = (16, 8) if big else (8, 4)
    height, width, channels = pixels.shape
    size, data = pixels.dtype.itemsize, pixels.tobytes()
    numbers = struct.pack(f"<{channels}H", *[8 * size] * channels)
    numbers += struct.pack(f"<{channels}H", *[3 if floats else 1] * channels)
    extras_bytes = struct.pack(f"<{len(extras or [])}H", *(extras or []))
    entries = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, channels, head + len(data)),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, head),
        (277, 3, 1, channels),
        (278, 3, 1, height),
        (279, 4, 1, len(data)),
        *([(338, 3, len(extras), int.from_bytes(extras_bytes, "little"))] if extras else []),
        (339, 3, channels, head + len(data) + 2 * channels),
    ]
    table = b""
    few = {258: 8 * size, 339: 3 if floats else 1} if 2 * channels <= room else {}  # in the table
    for tag, kind, count, value in entries:
        inline = sum(few[tag] << 16 * place for place in range(channels)) if tag in few else value
        table += struct.pack("<HHQQ" if big else "<HHII", tag, kind, count, inline)
    start = head + len(data) + len(numbers)
    mark = struct.pack("<2s3HQ", b"II", 43, 8, 0, start) if big else struct.pack("<2sHI", b"II", 42, start)
    number = struct.pack("<Q" if big else "<H", len(entries))
    path.write_bytes(mark + data + numbers + number + table + bytes(room))
    return path


def values(*channels: int) -> np.ndarray:
    return np.full((4, 6, len(channels)), channels, np.uint8)


@pytest.mark.parametrize(
    ("channels", "extras", "kept", "notes"),
    [
        ((100, 50, 25, 128), [2], (100, 50, 25, 128), ()),
        ((100, 50, 25, 128), [0], (100, 50, 25), ONE_DROPPED),
        ((100, 50, 25, 10, 128), [0, 2], (100, 50, 25, 128), ONE_DROPPED),
        ((100, 50, 25, 128, 10), [2, 2], (100, 50, 25, 128), ONE_DROPPED),
        ((100, 50, 25, 128), None, (100, 50, 25, 128), ()),
    ],
    ids=["opacity", "infrared", "infrared first", "the first opacity", "unstated"],
)
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_only_opacity_is_opacity(
    tmp_path: Path,
    channels: tuple[int, ...],
    extras: list[int] | None,
    kept: tuple[int, ...],
    notes: tuple[str, ...],
    depth: type,
    big: bool,
) -> None:
    path = written(tmp_path / "a.tif", values(*channels).astype(depth), 2, extras, big=big)
    picture = images.read(path)
    assert np.array_equal(picture.pixels, values(*kept).astype(depth))
    assert picture.notes == notes
    assert images.read_header(path).channels == len(kept)


def test_grey_with_what_is_no_opacity(tmp_path: Path, big: bool) -> None:
    path = written(tmp_path / "a.tif", values(100, 9), 1, [0], big=big)
    picture = images.read(path)
    assert np.array_equal(picture.pixels, values(100))
    assert picture.notes == ONE_DROPPED
    assert images.read_header(path).channels == 1


def test_cmyk_keeps_its_opacity_behind_another_channel(tmp_path: Path, big: bool) -> None:
    path = written(tmp_path / "a.tif", values(100, 50, 25, 10, 7, 128), 5, [0, 2], big=big)
    picture = images.read(path)
    assert (picture.pixels[..., 3] == 128).all()
    assert images.read_header(path).channels == 4
    assert picture.notes[0] == ONE_DROPPED[0]


def test_floating_grey_multiplied_by_opacity(tmp_path: Path, big: bool) -> None:
    pixels = np.full((4, 6, 2), (0.25, 0.5), np.float32)
    picture = images.read(written(tmp_path / "a.tif", pixels, 1, [1], floats=True, big=big))
    assert np.allclose(picture.pixels, (0.5, 0.5), rtol=1e-6)


@pytest.mark.parametrize("kind", [0, 2])
def test_floating_lab_with_opacity(tmp_path: Path, kind: int, big: bool) -> None:
    pixels = np.full((4, 6, 4), (60, 20, -30, 1), np.float32)
    pixels[..., 3] = np.linspace(0, 1, 6)
    picture = images.read(written(tmp_path / "a.tif", pixels, 8, [kind], floats=True, big=big))
    colours = written(tmp_path / "b.tif", pixels[..., :3].copy(), 8, None, floats=True, big=big)
    assert np.array_equal(picture.colour, images.read(colours).pixels)
    if kind == 0:  # which says nothing of opacity
        assert not picture.has_alpha
    else:
        assert np.array_equal(picture.pixels[0, :, 3], np.arange(6) * 13107)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float32])
def test_lab_multiplied_by_opacity_is_refused(tmp_path: Path, depth: type, big: bool) -> None:
    """It is of no standard, and libvips would divide its signed values as if they were light."""
    pixels: np.ndarray = np.full((4, 6, 4), 50, depth)
    path = written(tmp_path / "a.tif", pixels, 8, [1], floats=depth is np.float32, big=big)
    for read in (images.read, images.read_header):
        with pytest.raises(ImageError, match="CIELAB multiplied by opacity, is not supported"):
            read(path)


@pytest.mark.parametrize(
    ("photometric", "channels", "name"),
    [(0, 1, "floating grey in which 0 is white"), (5, 4, "CMYK of floating values")],
)
def test_floating_values_that_would_be_read_wrong(
    tmp_path: Path, photometric: int, channels: int, name: str, big: bool
) -> None:
    pixels = np.full((4, 6, channels), 0.5, np.float32)
    path = written(tmp_path / "a.tif", pixels, photometric, None, floats=True, big=big)
    for read in (images.read, images.read_header):
        with pytest.raises(ImageError, match=f"its colour space, {name}, is not supported"):
            read(path)
