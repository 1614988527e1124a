"""Videos through pipes: y4m and bare frames, as they come."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest

from clips import ffmpeg, make_clip, moving, needs_ffmpeg, noise
from commands import escsr_command
from escsr import Upscaler
from escsr.cli.video import upscale_pipe
from escsr.errors import ConfigError, OutputError, VideoError
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.target_size import TargetSize
from escsr.video import VideoOptions, heeded_pipes
from escsr.video.heeded_pipes import heeding
from escsr.video.pipes import frames_of_pipe, read_format, write_frames
from escsr.video.planes import views

HEADER = b"YUV4MPEG2 W6 H4 F30000:1001 Ip A1:1 C420mpeg2 XCOLORRANGE=LIMITED\n"


def frames(count: int, size: int) -> list[bytes]:
    """Luma and chroma that hardly vary, so that they are inside of black and white."""
    random = np.random.default_rng(0)
    return [random.integers(100, 140, size, dtype=np.uint8).tobytes() for _ in range(count)]


def through(nearest: Path, data: bytes, kind: str, size: TargetSize | None = None) -> bytes:
    source, target = io.BytesIO(data), io.BytesIO()
    form = read_format(source, kind)
    upscaler = Upscaler(nearest, device="cpu")
    wanted = size or TargetSize(scale=2)
    written = list(write_frames(frames_of_pipe(source, form), form, target, upscaler, wanted))
    assert written == list(range(1, len(written) + 1))
    return target.getvalue()


def test_y4m(nearest: Path) -> None:
    sent = frames(3, 6 * 4 + 2 * 3 * 2)
    data = HEADER + b"".join(b"FRAME\n" + frame for frame in sent)
    result = through(nearest, data, "y4m")
    header, _, rest = result.partition(b"\n")
    assert header + b"\n" == HEADER.replace(b"W6 H4", b"W12 H8")
    assert rest.count(b"FRAME\n") == 3
    assert len(rest) == 3 * (6 + 12 * 8 + 2 * 6 * 4)
    for frame, got in zip(sent, rest.split(b"FRAME\n")[1:], strict=True):
        before = np.frombuffer(frame[:24], np.uint8).reshape(4, 6)
        after = np.frombuffer(got[:96], np.uint8).reshape(8, 12)
        assert np.abs(after.astype(int) - before.repeat(2, 0).repeat(2, 1)).max() <= 1


def test_bare_frames_of_10_bits(nearest: Path) -> None:
    values = np.random.default_rng(0).integers(0, 1024, (2, 3, 4, 6)).astype("<u2")
    result = through(nearest, values.tobytes(), "raw:6x4:gbrp10le")
    after = np.frombuffer(result, "<u2").reshape(2, 3, 8, 12)
    assert (after == values.repeat(2, 2).repeat(2, 3)).all()


@pytest.mark.parametrize("name", ["gbrp", "gbrap"])
def test_bare_planes_are_green_blue_red(nearest: Path, name: str) -> None:
    """As FFmpeg sends and takes them; the last one is opacity."""
    planes = np.repeat(np.arange(1, len(name), dtype=np.uint8) * 50, 6 * 4)
    kind = f"raw:6x4:{name}"
    source = io.BytesIO(planes.tobytes())
    (frame,) = frames_of_pipe(source, read_format(source, kind))
    assert (frame * 255).round()[0, 0].tolist() == [150, 50, 100, 200][: len(name) - 1]
    assert through(nearest, planes.tobytes(), kind) == planes.repeat(4).tobytes()
    form, target = read_format(source, kind), io.BytesIO()
    list(write_frames(iter([frame]), form, target, Upscaler(nearest, device="cpu"), TargetSize(scale=2)))
    assert target.getvalue() == planes.repeat(4).tobytes()


@pytest.mark.skipif(sys.platform == "win32", reason="reads cannot be waited for there")
def test_a_silent_producer_holds_nothing_up(nearest: Path) -> None:
    """As where a signal ends the run while nothing comes."""
    reading, writing = os.pipe()
    ended, target = threading.Event(), io.BytesIO()
    with open(reading, "rb") as pipe, open(writing, "wb", buffering=0) as sending:
        source = heeding(ended, pipe)
        sending.write(HEADER + b"".join(b"FRAME\n" + frame for frame in frames(6, 36)) + b"FRA")
        form = read_format(source, "y4m")
        upscaler = Upscaler(nearest, device="cpu")
        frames_in = frames_of_pipe(source, form)
        items = write_frames(frames_in, form, target, upscaler, TargetSize(scale=2), ended=ended)
        assert next(items) == 1

        def close() -> None:
            with suppress(VideoError):
                items.close()  # type: ignore[attr-defined]

        closing = threading.Thread(target=close)
        closing.start()
        closing.join(30)
        is_open = closing.is_alive()
        sending.close()  # which ends any read
        closing.join()
    assert not is_open


@pytest.mark.skipif(sys.platform == "win32", reason="writes cannot be waited for there")
@pytest.mark.parametrize("reads", [True, False])
def test_a_reader_of_nothing_holds_nothing_up(monkeypatch: pytest.MonkeyPatch, *, reads: bool) -> None:
    """Once nobody waits: as where a signal ends the run. A slow one still gets what was begun."""
    monkeypatch.setattr(heeded_pipes, "_PATIENCE_SECONDS", 0.3)
    reading, writing = os.pipe()
    ended, data, errors = threading.Event(), os.urandom(300_000), []
    with open(reading, "rb") as receiving, open(writing, "wb", buffering=0) as pipe:
        target = heeding(ended, pipe)

        def write() -> None:
            try:
                target.write(data)
            except BrokenPipeError as error:
                errors.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        ended.set()
        received = receiving.read(len(data)) if reads else None
        thread.join(30)
        assert not thread.is_alive()
        assert (received, bool(errors)) == (data if reads else None, not reads)


def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "large.y4m"
    path.write_bytes(os.urandom(300_000))
    with open(path, "rb") as file:
        stream = heeding(threading.Event(), file)
        parts = stream.readline(1024), stream.read(100_000), stream.read()
    assert b"".join(parts) == path.read_bytes()


def test_a_result_that_is_too_large(nearest: Path) -> None:
    form = read_format(io.BytesIO(b"YUV4MPEG2 W9000 H9000\n"), "y4m")
    target = io.BytesIO()
    with pytest.raises(VideoError, match="18000×18000 pixels are too large"):
        list(write_frames(iter([]), form, target, Upscaler(nearest, device="cpu"), TargetSize(scale=2)))
    assert not target.getvalue()


def test_a_comment_in_any_bytes_stays(nearest: Path) -> None:
    header = HEADER.replace(b"\n", b" X\xe9t\xe9\n")
    result = through(nearest, header + b"FRAME\n" + frames(1, 36)[0], "y4m")
    assert result.partition(b"\n")[0].endswith(b" X\xe9t\xe9")


def test_a_size_that_is_asked_for(nearest: Path) -> None:
    data = HEADER + b"FRAME\n" + frames(1, 36)[0]
    result = through(nearest, data, "y4m", TargetSize(width=9, height=5, fit="exact"))
    assert result.startswith(b"YUV4MPEG2 W9 H5 ")
    assert len(result.partition(b"FRAME\n")[2]) == 9 * 5 + 2 * 5 * 3
    data = data.replace(b"A1:1", b"A2:1")
    result = through(nearest, data, "y4m", TargetSize(width=12, height=4, fit="exact"))
    assert b" A1:1 " in result.partition(b"\n")[0], "a pixel half as wide"
    assert b" A2:1 " in through(nearest, data, "y4m").partition(b"\n")[0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not YUV4MPEG2"),
        (b"YUV4MPEG2 W6 H4 C444alpha\n", "of a format that is known"),
        (b"YUV4MPEG2 W6 H4 C420p33\n", "of a format that is known"),
        (b"YUV4MPEG2 W6 H4 Cmono11\n", "of a format that is known"),
        (b"YUV4MPEG2 W6 H4 It\n", "interlaced, .* deinterlace it before, as ffmpeg"),
        (b"YUV4MPEG2 H4\n", "is not YUV4MPEG2"),
        (b"YUV4MPEG2 W6 H4 \xe9t\xe9\n", "of a format that is known"),
        (b"YUV4MPEG2 W99999 H99999\n", "99999×99999 pixels are too large"),
        (b"YUV4MPEG2 W999999999999 H4\n", "pixels are too large"),
        (HEADER + b"FRAME\n" + bytes(35), "ends within frame 1"),
        (HEADER + b"FRAME\n" + bytes(36) + b"NOISE\n", "no frame where frame 2"),
    ],
)
def test_what_is_no_y4m(nearest: Path, data: bytes, message: str) -> None:
    with pytest.raises(VideoError, match=message):
        through(nearest, data, "y4m")


@pytest.mark.parametrize("kind", ["raw:6x4", "raw:0x4:yuv420p", "raw:6x4:nv12", "raw:6x4:none", "avi"])
def test_what_is_no_format(kind: str) -> None:
    with pytest.raises(ConfigError, match="pipe"):
        read_format(io.BytesIO(), kind)


def test_bare_frames_that_are_too_large() -> None:
    with pytest.raises(VideoError, match="99999×99999 pixels are too large"):
        read_format(io.BytesIO(), "raw:99999x99999:gray")


@pytest.mark.parametrize("name", ["stdin", "stdout"])
def test_a_closed_stream_is_told(monkeypatch: pytest.MonkeyPatch, nearest: Path, name: str) -> None:
    monkeypatch.setattr(sys, name, None)
    with pytest.raises(OutputError, match=f"Standard {name.removeprefix('std')}put is closed"):
        upscale_pipe(["-"], None, "y4m", UpscaleOptions(model=nearest), VideoOptions())


@needs_ffmpeg
def test_an_interlaced_file_is_refused(tmp_path: Path, nearest: Path) -> None:
    clip = tmp_path / "fields.mpg"
    ffmpeg(*moving(frames=3), "-vf", "setfield=tff", "-c:v", "mpeg2video", "-flags", "+ildct+ilme", clip)
    with pytest.raises(VideoError, match="interlaced, which would be upscaled as combs; add --deinterlace"):
        upscale_pipe([str(clip)], None, "y4m", UpscaleOptions(model=nearest), VideoOptions())


@needs_ffmpeg
def test_between_two_programs(tmp_path: Path, nearest: Path) -> None:
    """ffmpeg writes y4m, and reads it back: the frames are those of the file."""
    clip = make_clip(tmp_path / "clip.mkv", noise(4), pixels="yuv420p")
    model = ["--model", str(nearest), "--device", "cpu"]
    sent = ["ffmpeg", "-v", "error", "-i", str(clip), "-f", "yuv4mpegpipe", "-"]
    sent_bytes = subprocess.run(sent, capture_output=True, check=True).stdout
    for line, stdin in (
        ([*escsr_command(), "upscale", "-"], sent_bytes),
        ([*escsr_command(), "upscale", str(clip)], None),
    ):
        done = subprocess.run(
            [*line, "--pipe", "y4m", *model], input=stdin, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        (tmp_path / "large.y4m").write_bytes(done.stdout)
        with av.open(str(tmp_path / "large.y4m")) as container, av.open(str(clip)) as source:
            pairs = zip(container.decode(video=0), source.decode(video=0), strict=True)
            differences = [
                np.abs(views(after)[0].astype(int) - views(before)[0].repeat(2, 0).repeat(2, 1)).mean()
                for after, before in pairs
            ]
        assert len(differences) == 4
        assert max(differences) < 0.5, "but for colours that RGB does not hold"
    refused = subprocess.run(
        [*escsr_command(), "upscale", str(clip), "-o", "a.mkv", "--pipe", "y4m", *model],
        capture_output=True,
        check=False,
    )
    assert refused.returncode == 2


@pytest.mark.skipif(sys.platform != "linux", reason="pipes are opened again there alone")
def test_a_pipe_takes_large_pieces_and_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may write to it by the same descriptor, which must not become one that never blocks."""
    sizes: list[int] = []
    plain = os.write

    def counted(descriptor: int, data: memoryview) -> int:
        sizes.append(plain(descriptor, data))
        return sizes[-1]

    monkeypatch.setattr("escsr.video.heeded_pipes.os.write", counted)
    reading, writing = os.pipe()
    data = os.urandom(300_000)
    with open(reading, "rb") as receiving, open(writing, "wb", buffering=0) as pipe:
        target = heeding(threading.Event(), pipe)
        thread = threading.Thread(target=target.write, args=(data,))
        thread.start()
        received = receiving.read(len(data))
        thread.join()
        target.close()
        assert os.get_blocking(writing)
        assert not pipe.closed
    assert received == data
    assert max(sizes) > 4096
