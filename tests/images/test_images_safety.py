"""Files that are not what they should be: one clear error, nothing written, never a crash."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_images_golden import need, noise

from commands import python_command
from escsr import images
from escsr.batch.jobs import plan
from escsr.errors import DataError, EscError, ImageError, OutputError
from escsr.images import FORMATS, Animation, Format, Picture
from escsr.models.saving import save_network
from escsr.runtime.extras import install_line
from escsr.upscaling.target_size import TargetSize
from escsr.upscaling.upscaler import Upscaler
from samples import nearest_network

NAMES = [format.name for format in FORMATS if format.is_written]


def sample(path: Path, name: str) -> bytes:
    """A small file of a format, with metadata where it keeps some."""
    format = next(format for format in FORMATS if format.name == name)
    need(format)
    exif = b"Exif\0\0" + struct.pack("<2sHIHHHI4sI", b"II", 42, 8, 1, 0x010F, 2, 4, b"abc\0", 0)
    picture = Picture(noise(3, "uint8", height=24, width=32), {"exif-data": exif, "xmp-data": b"<x/>"})
    target = path / f"whole{format.suffixes[0]}"
    images.write(picture, target)
    return target.read_bytes()


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory: pytest.TempPathFactory) -> Upscaler:
    path = tmp_path_factory.mktemp("models") / "nearest.safetensors"
    save_network(nearest_network(), path)
    return Upscaler(path, device="cpu", precision="float32")


@st.composite
def mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    """The data with some bytes changed, a stretch cut out or doubled, or the end missing."""
    data = bytearray(whole)
    places = st.one_of(st.integers(0, len(data) - 1), st.integers(0, min(120, len(data) - 1)))
    for place, value in draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        data[place] = value
    start, length = draw(places), draw(st.integers(0, 40))
    if draw(st.booleans()):
        data[start : start + length] = draw(st.sampled_from([b"", bytes(data[start : start + length]) * 2]))
    return bytes(data[: draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))])


def error_of(path: Path) -> ImageError | None:
    """Reads a file unless it claims to be huge, which `check_result` would refuse."""
    try:
        header = images.read_header(path)
        if header.width * header.height * header.frames < 1 << 22:
            picture = images.read_for("result.webp", path)
            assert isinstance(picture, images.Animation) or picture.pixels.size
    except ImageError as error:
        return error
    return None


@pytest.mark.parametrize("name", NAMES)
def test_mutated_files(tmp_path: Path, name: str) -> None:
    whole = sample(tmp_path, name)
    path = tmp_path / "mutated.png"

    @given(mutated(whole))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        problem = error_of(path)
        if problem is not None:
            assert str(path) in str(problem)
            assert "\n" not in str(problem)

    check()


def test_text_of_an_exr_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "whole.exr"
    whole = sample(tmp_path, "OpenEXR")
    path.write_bytes(whole.replace(b"compression\0compression\0", b"compression\0co\xffpression\0"))
    with pytest.raises(ImageError, match="text in it is not UTF-8"):
        images.read(path)


def test_a_heic_without_a_picture(tmp_path: Path) -> None:
    whole = sample(tmp_path, "HEIC")
    path = tmp_path / "whole.heic"
    path.write_bytes(whole.replace(b"hvc1", b"none"))
    for read in (images.read, images.read_header):
        with pytest.raises(ImageError, match="not a readable picture"):
            read(path)


def test_an_exr_that_stores_more_than_it_shows(upscaler: Upscaler, tmp_path: Path) -> None:
    oiio = pytest.importorskip("OpenImageIO", reason='needs pip install "escsr[exr]"')
    for shown, name in ((20, "overscan.exr"), (2, "bomb.exr")):
        spec = oiio.ImageSpec(30, 24, 3, "half")
        spec.x = spec.y = -2
        spec.full_width = spec.full_height = shown
        output = oiio.ImageOutput.create(str(tmp_path / name))
        output.open(str(tmp_path / name), spec)
        output.write_image(noise(3, "float16", height=24, width=30))
        output.close()
    stored = noise(3, "float16", height=24, width=30)
    assert np.array_equal(images.read(tmp_path / "overscan.exr").pixels, stored[2:22, 2:22])
    with pytest.raises(ImageError, match="it stores 30×24 pixels but shows 2×2"):
        upscaler.upscale_file(tmp_path / "bomb.exr", tmp_path / "b.png")


@given(data=st.binary(max_size=400), head=st.sampled_from(["", *NAMES]))
def test_random_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes, head: str) -> None:
    signatures = {
        "PNG": b"\x89PNG\r\n\x1a\n",
        "JPEG": b"\xff\xd8\xff\xe0",
        "GIF": b"GIF89a",
        "TIFF": b"II*\0",
    }
    signatures |= {"WebP": b"RIFF\x90\1\0\0WEBPVP8 ", "AVIF": b"\0\0\0\x14ftypavif\0\0\0\0mif1"}
    path = tmp_path_factory.mktemp("random") / "a.jpg"
    path.write_bytes(signatures.get(head, b"") + data)
    with pytest.raises(ImageError):
        images.read(path)
    with pytest.raises(OutputError, match="its ending"):
        images.read_for("a.bmp", path)


@pytest.mark.parametrize("name", NAMES)
def test_the_content_decides_not_the_ending(tmp_path: Path, name: str) -> None:
    whole = sample(tmp_path, name)
    for ending in (".png", ".jpg", ".exr", ".txt"):
        path = tmp_path / f"b{ending}"
        path.write_bytes(whole)
        assert images.read_header(path).format.name == name
        assert images.read(path).pixels.shape[:2] == (24, 32)


@pytest.mark.parametrize("name", NAMES)
def test_truncated_and_empty(tmp_path: Path, name: str) -> None:
    whole = sample(tmp_path, name)
    path = tmp_path / "cut"
    for content in (b"", whole[: len(whole) // 2], whole[:20]):
        path.write_bytes(content)
        with pytest.raises(ImageError, match="not a readable picture"):
            images.read(path)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that claims to be a square of this side."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_bombs_are_refused_before_they_go_off(upscaler: Upscaler, tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(900_000))
    with pytest.raises(EscError, match=r"of memory, of which .* are free"):
        upscaler.upscale_file(path, tmp_path / "b.png")
    path.write_bytes(bomb(30_000))
    with pytest.raises(OutputError, match="source has 30000×30000 pixels, more than the 1000000 allowed"):
        upscaler.upscale_file(path, tmp_path / "b.png", max_pixels=1_000_000)
    assert [file.name for file in tmp_path.iterdir()] == ["bomb.png"]


def test_limits_of_pixels_and_formats(upscaler: Upscaler, tmp_path: Path) -> None:
    images.write(Picture(np.zeros((2, 9000, 3), np.uint8)), tmp_path / "a.png")
    with pytest.raises(OutputError, match="WebP holds up to 16383 pixels a side, not 18000×4"):
        upscaler.upscale_file(tmp_path / "a.png", tmp_path / "b.webp")
    with pytest.raises(OutputError, match=r"; choose \.png or \.tif, or a smaller size\."):
        images.formats.check_size(Path("a.gif"), 70_000, 4)
    with pytest.raises(OutputError, match=r"PNG holds up to 10000000 .*; choose a smaller size\."):
        images.formats.check_size(Path("a.png"), 4, 10_000_001)
    with pytest.raises(OutputError, match="JPEG holds up to"):
        upscaler.upscale_file(tmp_path / "a.png", tmp_path / "b.jpg", scale=8)
    with pytest.raises(OutputError, match="result would have 18000×4 pixels, more than the 50000 allowed"):
        upscaler.upscale_file(tmp_path / "a.png", tmp_path / "b.png", max_pixels=50_000)
    with pytest.raises(EscError, match="max_pixels must be at least 1"):
        upscaler.upscale_file(tmp_path / "a.png", tmp_path / "b.png", max_pixels=0)
    upscaler.upscale_file(tmp_path / "a.png", tmp_path / "b.png", scale=1, max_pixels=80_000)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_a_still_of_an_animation_counts_one_frame(upscaler: Upscaler, tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 12, 14, 3), dtype=np.uint8)
    images.write(Animation(frames, (100, 100, 100)), tmp_path / "a.gif")
    upscaler.upscale_file(tmp_path / "a.gif", tmp_path / "a.png", max_pixels=1000)
    with pytest.raises(OutputError, match="28×24 pixels of 3 frames"):
        upscaler.upscale_file(tmp_path / "a.gif", tmp_path / "b.gif", max_pixels=1000)


@pytest.mark.parametrize(
    "format", [format for format in FORMATS if format.max_side < 1 << 20], ids=lambda f: f.name
)
def test_the_longest_side_can_be_written(tmp_path: Path, format: Format) -> None:
    need(format)
    path = tmp_path / f"a{format.suffixes[0]}"
    images.write(Picture(np.zeros((32, format.max_side, 3), np.uint8)), path)
    assert images.read_size(path) == (format.max_side, 32)


def test_links_that_go_round(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "up").symlink_to(tmp_path)
    images.write(Picture(noise(3, "uint8")), tmp_path / "deep" / "c.png")
    assert images.find_images(tmp_path) == [tmp_path / "deep" / "c.png"]
    with pytest.raises(ImageError, match=r"a.png: "):
        images.read(tmp_path / "a.png")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(tmp_path: Path) -> None:
    images.write(Picture(noise(3, "uint8")), tmp_path / "closed" / "a.png")
    (tmp_path / "closed" / "a.png").chmod(0)
    with pytest.raises(ImageError, match="cannot be opened"):
        images.read(tmp_path / "closed" / "a.png")
    (tmp_path / "closed").chmod(0)
    try:
        with pytest.raises(DataError, match="cannot be read"):
            images.find_images(tmp_path)
    finally:
        (tmp_path / "closed").chmod(0o755)


@pytest.mark.parametrize(("where", "what"), [(os, "scandir"), (Path, "is_file"), (Path, "is_dir")])
def test_a_folder_that_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: object, what: str
) -> None:
    """Root may read everything, so that the system's refusal is played."""

    def deny(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    (tmp_path / "a.png").touch()
    monkeypatch.setattr(where, what, deny)
    with pytest.raises(DataError, match=r"the folder cannot be read \(Permission denied\)"):
        images.find_images(tmp_path)


FULL_DISK = """
import resource, shutil, sys, types
import numpy as np
from escsr import images
from escsr.errors import OutputError
random = np.random.default_rng(0)
picture = images.Picture(random.integers(0, 256, (300, 300, 3), np.uint8))
shutil.disk_usage = lambda _: types.SimpleNamespace(free=int(sys.argv[2]))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    images.write(picture, sys.argv[1])
except OutputError as error:
    print("refused:", error)
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_disk_that_is_full(tmp_path: Path, name: str) -> None:
    """No file may grow beyond 20 kB: the write fails as on a full disk, and what was there stays."""
    pytest.importorskip("resource", reason="needs limits of a POSIX system")
    format = next(format for format in FORMATS if format.name == name)
    need(format)
    path = tmp_path / f"a{format.suffixes[0]}"
    images.write(Picture(noise(3, "uint8")), path)
    before = path.read_bytes()
    for free in ["1000"] + [str(2**40)] * (name == "OpenEXR"):  # which names its file
        done = subprocess.run(
            [*python_command(), "-c", FULL_DISK, path, free], capture_output=True, text=True, check=False
        )
        assert done.stdout.startswith(f"refused: Cannot write {path}: "), done.stderr
        assert ".part" not in done.stdout
        assert not done.stdout.endswith("..\n")
        assert ("No space left on device." in done.stdout) == (free == "1000"), done.stdout
        assert path.read_bytes() == before
        assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_missing_extra_names_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "OpenImageIO", None)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.exr").write_bytes(b"\x76\x2f\x31\x01" + bytes(60))
    (tmp_path / "a.jxl").write_bytes(b"\xff\x0a" + bytes(60))
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60))
    for extra in ("exr", "jxl", "heic"):
        with pytest.raises(ImageError, match=re.escape(install_line(extra))):
            images.read(tmp_path / f"a.{extra}")
        with pytest.raises(OutputError, match=re.escape(install_line(extra))):
            images.write(Picture(noise(3, "uint8")), tmp_path / f"b.{extra}")
    assert not list(tmp_path.glob("b.*"))


@pytest.mark.parametrize("suffix", [".exr", ".hdr", ".jxl", ".heic"])
def test_a_missing_extra_ends_planning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    images.write(Picture(noise(3, "uint8")), tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "OpenImageIO", None)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(OutputError, match="requires a package: pip install"):
        plan([tmp_path / "a.png"], format=suffix, size=TargetSize(scale=2))
    with pytest.raises(OutputError, match="requires a package"):
        plan([tmp_path / "a.png"], tmp_path / f"b{suffix}", size=TargetSize(scale=2))
    with pytest.raises(OutputError, match="requires a package"):
        images.check_suffix(Path(f"a{suffix}"))


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in ("JPEG XL", "OpenEXR", "Radiance HDR", "HEIC")]
)
def test_reasons_name_no_file(tmp_path: Path, name: str) -> None:
    """The decoder's messages may be another thread's: it is given no names, so that it can tell none."""
    whole = sample(tmp_path, name)
    path = tmp_path / "a secret name"
    for content in (whole[: len(whole) // 2], whole[:40], whole[:20]):
        path.write_bytes(content)
        with pytest.raises(ImageError) as caught:
            images.read(path)
        assert "secret" not in str(caught.value).removeprefix(str(path))
