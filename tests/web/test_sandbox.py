"""Files that attack what reads them: one job fails, the server goes on."""

from __future__ import annotations

import os
import signal
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from escsr import images
from escsr.errors import ImageError
from escsr.images import Picture
from escsr.images.metadata import aspect_of, aspect_tags
from escsr.upscaling import preflight
from escsr.web.codec import SOURCE
from escsr.web.limits import Limits
from escsr.web.sandbox import Sandbox
from web.serving import Served

Serve = Callable[..., Served]


def codecs() -> list[psutil.Process]:
    """Processes that read or write a file, of servers in this process."""
    children = psutil.Process().children()
    return [child for child in children if "escsr.web" in " ".join(child.cmdline())]


def wait_for_codec() -> psutil.Process:
    end = time.monotonic() + 30
    while not (found := codecs()):
        assert time.monotonic() < end
        time.sleep(0.005)
    return found[0]


def png(width: int, height: int, data: bytes, *, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG file of any header and any compressed data."""

    def chunk(name: bytes, content: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + crc

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.fixture
def bomb(tmp_path: Path) -> Path:
    """200 million black pixels in 600 KB."""
    path = tmp_path / "bomb.png"
    path.write_bytes(png(20_000, 10_000, zlib.compress(bytes(10_000 * 60_001), 9)))
    return path


def test_a_bomb_is_refused_by_its_header(served: Served, bomb: Path) -> None:
    start = time.monotonic()
    answer = served.post(bomb)
    assert answer.status_code == 413
    assert "the source has 20000×10000 pixels" in answer.json()["error"]
    assert time.monotonic() - start < 10


@pytest.mark.slow
def test_a_bomb_meets_the_limit_of_memory(
    serve: Serve, bomb: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "free_host_memory", lambda: 64 * 2**30)  # else it is refused before
    served = serve(max_pixels=10**9, codec_memory_mib=1100)
    failed = served.wait(served.send(bomb))
    assert failed["state"] == "failed"  # libvips and numpy have words of their own for it
    assert served.wait(served.send(photo))["state"] == "done"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs signals that stop a process")
def test_a_reader_that_hangs_is_ended(serve: Serve, photo: Path, large: Path) -> None:
    served = serve(decode_seconds=4)
    served.wait(served.send(photo))  # the model is loaded
    job = served.send(large)
    wait_for_codec().send_signal(signal.SIGSTOP)
    start = time.monotonic()
    failed = served.wait(job)
    assert failed["state"] == "failed"
    assert failed["error"] == "large.png: reading it takes more than 4 seconds."
    assert time.monotonic() - start < 10
    assert served.wait(served.send(photo))["state"] == "done"
    assert codecs() == []


def test_a_reader_that_is_killed_fails_one_job(served: Served, photo: Path, large: Path) -> None:
    first, second = served.send(large), served.send(photo)
    assert served.wait(first, "working")["state"] == "working"
    wait_for_codec().kill()
    failed = served.wait(first)
    assert failed["state"] == "failed"
    assert "large.png: the process that reads and writes it ended" in failed["error"]
    assert served.wait(second)["state"] == "done"


@pytest.mark.slow
def test_files_that_are_half_or_noise_are_refused(served: Served, tmp_path: Path) -> None:
    """Every answer is a refusal or a job that fails or is done: never an error of the server."""
    random = np.random.default_rng(0)
    images.write(Picture(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)), tmp_path / "a.png")
    for suffix in (".jpg", ".webp", ".tif", ".gif", ".avif", ".jxl", ".exr", ".hdr", ".heic"):
        images.write(images.read(tmp_path / "a.png"), tmp_path / f"a{suffix}")
    states = set()
    for path in sorted(tmp_path.glob("a.*")):
        content = np.frombuffer(path.read_bytes(), np.uint8)
        noise = np.where(random.random(content.size) < 0.02, random.integers(0, 256, content.size), content)
        for name, damaged in (("half", content[: content.size // 2]), ("noise", noise.astype(np.uint8))):
            (tmp_path / f"{name}{path.suffix}").write_bytes(damaged.tobytes())
            answer = served.post(tmp_path / f"{name}{path.suffix}", format="png")
            assert answer.status_code in (202, 413, 415, 422), answer.text
            if answer.status_code == 202:
                states.add(served.wait(answer.json())["state"])
    assert "failed" in states
    assert states <= {"failed", "done"}


@pytest.fixture
def sandbox(tmp_path: Path, photo: Path) -> Iterator[Sandbox]:
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / SOURCE).write_bytes(photo.read_bytes())
    with Sandbox(folder, Limits()) as one:
        yield one


def test_pixels_come_and_go_and_metadata_stays(tmp_path: Path, photo: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    pixels = images.read(photo).pixels
    secret = b"Exif\0\0" + b"MM\0*\0\0\0\x08\0\0\0\0\0\0"
    images.write(Picture(pixels, {"exif-data": secret, "xmp-data": b"<x>secret</x>"}), tmp_path / "a.png")
    (folder / SOURCE).write_bytes((tmp_path / "a.png").read_bytes())
    with Sandbox(folder, Limits()) as sandbox:
        header = sandbox.header()
        assert (header.width, header.height, header.channels) == (48, 40, 3)
        picture = sandbox.read(folder / "result.png")
        assert isinstance(picture, Picture)
        assert picture.metadata == {}
        assert np.array_equal(picture.pixels, pixels)
        sandbox.write(Picture(pixels.repeat(2, 0)), images.WriteOptions())
    written = images.read(folder / "result.png")
    assert np.array_equal(written.pixels, pixels.repeat(2, 0))
    assert written.metadata["xmp-data"] == b"<x>secret</x>"
    assert psutil.pid_exists(os.getpid())
    assert not psutil.pid_exists(sandbox.process_id)


def test_pixels_have_the_shape_that_shows_a_result_as_its_source(served: Served, tmp_path: Path) -> None:
    pytest.importorskip("OpenImageIO", reason="OpenEXR needs the extra exr")
    wide = np.random.default_rng(3).random((8, 16, 3), np.float32)
    images.write(Picture(wide, aspect_tags(2), linear=True), tmp_path / "a.exr")
    for size, aspect in (("32x16", 2.0), ("64x16", 1.0), ("32x8", 1.0)):
        (tmp_path / "b.exr").write_bytes(served.result(tmp_path / "a.exr", size=size, fit="exact"))
        result = images.read(tmp_path / "b.exr")
        assert aspect_of(result.metadata) == aspect, size
    status = served.wait(served.send(tmp_path / "a.exr", size="64x16", fit="exact", format="png"))
    assert not any("pixels are not square" in note for note in status["notes"])
    status = served.wait(served.send(tmp_path / "a.exr", size="32x16", fit="exact", format="png"))
    assert any("pixels are not square" in note for note in status["notes"])


def test_a_process_that_lies_is_not_believed(sandbox: Sandbox, tmp_path: Path) -> None:
    """Whatever a file made of it: no pixels beyond the limit, no objects to unpickle, no odd answers."""
    folder = tmp_path / "job"
    told = {"notes": [], "linear": False, "premultiplied": False, "aspect": 1.0}
    sandbox._ask = lambda *_, **__: dict(told)  # type: ignore[method-assign]
    for lie in (
        np.zeros((1, 200_000_000, 1), np.uint8),
        np.array([{"a": 1}], dtype=object),
        np.zeros(3),
        np.zeros((2, 2, 9), np.uint8),
    ):
        np.save(folder / "pixels.npy", lie, allow_pickle=True)
        with pytest.raises(ImageError, match="ended"):
            sandbox.read(folder / "result.png")
    np.save(folder / "pixels.npy", np.zeros((2, 2, 3), np.uint8))
    assert sandbox.read(folder / "result.png").metadata == {}
    for aspect in (0.0, -1.0, float("nan"), float("inf"), 10**400, None, "wide"):
        told["aspect"] = aspect
        with pytest.raises(ImageError, match="ended"):
            sandbox.read(folder / "result.png")
    negative = {"format": "PNG", "width": -1, "height": 1, "channels": 3, "frames": 1}
    for answer in ({}, {"format": "PNG"}, negative):
        sandbox._ask = lambda *_, answer=answer, **__: dict(answer)  # type: ignore[method-assign]
        with pytest.raises(ImageError, match="ended"):
            sandbox.header()


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="limits are looked up in Linux's /proc")
def test_limits_of_the_process(sandbox: Sandbox) -> None:
    sandbox.header()
    lines = Path(f"/proc/{sandbox.process_id}/limits").read_text().splitlines()
    limits = {line[:26].strip(): line[26:].split()[0] for line in lines}
    assert int(limits["Max address space"]) == 4096 * 2**20
    assert int(limits["Max core file size"]) == 0
    assert int(limits["Max cpu time"]) < 10**5
    environment = psutil.Process(sandbox.process_id).environ()
    assert not [name for name in environment if name.startswith("ESCSR_")]
