"""Folders of frames: in with their times, out with them."""

from __future__ import annotations

import struct
import subprocess
import sys
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import pyvips

from clips import ffmpeg, make_clip, moving, needs_ffmpeg, noise, probe, streams
from commands import python_command
from escsr import Upscaler, images, upscale_video
from escsr.errors import ConfigError, NoImagesError, OutputError, VideoError
from escsr.images import Picture
from escsr.images.conversion import in_srgb
from escsr.images.png_chunks import chunk
from escsr.upscaling import upscaler as upscaling
from escsr.upscaling.options import UpscaleOptions
from escsr.video import VideoOptions
from escsr.video.colour import Colours, to_rgb
from escsr.video.frame_files import upscale_to_frames
from escsr.video.frame_folders import TIMES, frames_as_video, planned_by_first_frame
from escsr.video.planes import views
from escsr.video.source import describe

PLAIN = VideoOptions()


def write_frames(folder: Path, frames: list[np.ndarray]) -> Path:
    for number, pixels in enumerate(frames):
        images.write(Picture(pixels), folder / f"frame {number:03d}.png")
    return folder


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_folder_becomes_a_video(tmp_path: Path, nearest: Path, depth: Any) -> None:
    most = np.iinfo(depth).max
    frames: list[np.ndarray] = [(frame / 255 * most).astype(depth) for frame in noise(5)]
    folder = write_frames(tmp_path / "frames", frames)
    result = upscale_video(folder, tmp_path / "film.mkv", model=nearest, codec="ffv1", fps="25")
    with av.open(str(result.target)) as container:
        shown = list(container.decode(video=0))
    assert [frame.pts for frame in shown] == [0, 40, 80, 120, 160]
    for before, after in zip(frames, shown, strict=True):
        values = (to_rgb(after, Colours.of(after)) * most).round()
        assert (values == before.repeat(2, 0).repeat(2, 1)).all()
    with pytest.raises(ConfigError, match="name the video"):
        upscale_video(folder, model=nearest)


def test_frame_9_comes_before_frame_10(tmp_path: Path, nearest: Path) -> None:
    frames = noise(12)
    for number, pixels in enumerate(frames):
        images.write(Picture(pixels), tmp_path / "frames" / f"shot2_{number}.png")
    result = upscale_video(tmp_path / "frames", tmp_path / "film.mkv", model=nearest, codec="ffv1")
    with av.open(str(result.target)) as container:
        shown = list(container.decode(video=0))
    for before, after in zip(frames, shown, strict=True):
        assert ((to_rgb(after, Colours.of(after)) * 255).round()[::2, ::2] == before).all()


def test_frames_of_one_folder_stay_together(tmp_path: Path) -> None:
    names = ("shot 9/0001", "shot 9/0002", "shot 10/0001", "shot 10/0002", "title")
    for shade, name in enumerate(names):
        images.write(Picture(np.full((8, 8, 3), shade, np.uint8)), tmp_path / f"{name}.png")
    with frames_as_video(tmp_path) as file, av.open(str(file)) as container:
        shown = [int(frame.to_ndarray()[0, 0, 0]) for frame in container.decode(video=0)]
    assert shown == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("fps", "rate"),
    [("23.976023976023978", "24000/1001"), ("29.97002997", "30000/1001"), ("59.94005994", "60000/1001")],
)
def test_rates_as_programs_print_them(tmp_path: Path, fps: str, rate: str) -> None:
    with frames_as_video(write_frames(tmp_path, noise(3, (8, 8))), fps) as file:
        assert describe(file).rate == Fraction(rate)


@pytest.mark.parametrize("times", [[0, 40, 81, 120], [0, 40, 120, 160], [0, 10, 50, 51.5]])
def test_uneven_times_are_known(tmp_path: Path, nearest: Path, times: list[float]) -> None:
    folder = write_frames(tmp_path / "frames", noise(4))
    (folder / TIMES).write_text("\n".join(map(str, times)))
    film = upscale_video(folder, tmp_path / "film.mkv", model=nearest, codec="ffv1").target
    assert describe(film).is_steady == (times[2] == 81)


@pytest.mark.parametrize(
    ("ending", "times", "is_steady"),
    [
        ("avi", [0, 1, 2, 3, 4, 5], True),
        ("avi", [0, 1, 2, 5, 6, 7, 10, 11], False),
        ("mp4", [0, 1, 2, 3, 5, 6], False),
        ("mp4", [0, 2, 5, 7, 10, 12], True),  # 2.5 ticks a frame
        ("mp4", [0, 41, 83, 125, 167, 208], True),
        ("mp4", [0, 41, 83, 167, 208], False),
    ],
)
def test_frames_left_out_are_no_rounding(
    tmp_path: Path, ending: str, times: list[int], is_steady: bool
) -> None:
    """Also where a frame is shown for few ticks of the file's clock, or for one as in AVI."""
    clip = tmp_path / f"clip.{ending}"
    tick = Fraction(1, 25 if max(times) < 20 else 1000)
    with av.open(str(clip), "w", options={"video_track_timescale": str(tick.denominator)}) as container:
        stream: Any = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "yuvj420p"
        stream.codec_context.time_base = tick
        for time in times:
            frame = av.VideoFrame.from_ndarray(noise(1, (16, 16))[0]).reformat(format="yuvj420p")
            frame.pts, frame.time_base = time, tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    found = describe(clip)
    assert (found.time_base, found.is_steady) == (tick, is_steady)


def test_times_go_in_and_out(tmp_path: Path, nearest: Path) -> None:
    folder = write_frames(tmp_path / "frames", noise(4))
    (folder / TIMES).write_text("# timestamp format v2\n0\n10\n50\n51.5\n")
    film = upscale_video(folder, tmp_path / "film.mp4", model=nearest, codec="h264").target
    with av.open(str(film)) as container:
        times = [1000 * frame.time for frame in container.decode(video=0) if frame.time is not None]
    assert times == pytest.approx([0, 10, 50, 51.5])
    again = tmp_path / "again" / "%04d.png"
    options = UpscaleOptions(model=nearest, device="cpu")
    upscale_to_frames(film, again, options, PLAIN)
    assert (again.parent / TIMES).read_text() == "# timestamp format v2\n0\n10\n50\n51.5\n"
    assert [path.name for path in sorted(again.parent.glob("*.png"))] == [
        f"{n:04d}.png" for n in (1, 2, 3, 4)
    ]


def test_a_video_becomes_pictures(tmp_path: Path, nearest: Path) -> None:
    frames = noise(3)
    clip = make_clip(tmp_path / "clip.mkv", frames)
    options = UpscaleOptions(model=nearest, device="cpu")
    seen: list[tuple[int, int]] = []
    upscale_to_frames(
        clip, tmp_path / "out" / "f%02d.png", options, PLAIN, on_progress=lambda *at: seen.append(at)
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    upscaler = Upscaler(nearest, device="cpu")
    for number, frame in enumerate(frames, 1):
        found = images.read(tmp_path / "out" / f"f{number:02d}.png").pixels
        assert found.dtype == np.uint8
        assert (found == upscaler(frame)).all()
    with pytest.raises(OutputError, match="its ending must be"):
        upscale_to_frames(clip, tmp_path / "%d.xyz", options, PLAIN)
    with pytest.raises(OutputError, match="raise max_pixels"):
        upscale_to_frames(clip, tmp_path / "%d.png", replace(options, max_pixels=1000), PLAIN)


def test_frames_of_an_earlier_run_are_told_and_its_times_removed(tmp_path: Path, nearest: Path) -> None:
    options, pattern = UpscaleOptions(model=nearest, device="cpu"), tmp_path / "out" / "f%02d.png"
    long, short = (make_clip(tmp_path / f"{n}.mkv", noise(n)) for n in (5, 3))
    assert upscale_to_frames(long, pattern, options, PLAIN).notes == ()
    images.write(Picture(noise(1)[0]), pattern.with_name("f9.png"))  # which is no frame's name
    (note,) = upscale_to_frames(short, pattern, options, PLAIN).notes
    assert note.startswith("f04.png to f05.png: of an earlier run")
    (pattern.parent / "f05.png").unlink()

    def fail(number: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscale_to_frames(short, pattern, options, PLAIN, on_progress=fail)
    assert not (pattern.parent / TIMES).exists()


def test_frames_stop_behind_the_one_at_hand(tmp_path: Path, nearest: Path) -> None:
    options, stop = UpscaleOptions(model=nearest, device="cpu"), threading.Event()
    clip, pattern = make_clip(tmp_path / "clip.mkv", noise(4)), tmp_path / "out" / "%d.png"

    def stop_at_two(number: int, of: int) -> None:
        if number == 2:
            stop.set()

    made = upscale_to_frames(clip, pattern, options, PLAIN, stop=stop, on_progress=stop_at_two)
    assert (made.frames, made.is_whole) == (2, False)
    assert sorted(path.name for path in pattern.parent.iterdir()) == ["1.png", "2.png", TIMES]
    assert (pattern.parent / TIMES).read_text() == "# timestamp format v2\n0\n40\n"
    assert upscale_to_frames(clip, pattern, options, PLAIN).is_whole


def one_frame(path: Path, pixels: str, codec: str = "ffv1", **said: Any) -> Path:
    """A clip of one grey frame, with what it declares of its colours."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 24, pixels
        for name, value in said.items():
            setattr(stream.codec_context, name, value)
        frame = av.VideoFrame(32, 24, pixels)
        for view in views(frame):
            view[...] = 100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_pictures_declare_the_colours_of_hdr(tmp_path: Path, nearest: Path) -> None:
    said: dict[str, Any] = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
    clip = one_frame(tmp_path / "hdr.mkv", "yuv420p10le", **said)
    options = UpscaleOptions(model=nearest, device="cpu")
    notes = upscale_to_frames(clip, tmp_path / "%d.png", options, PLAIN).notes
    found = images.read(tmp_path / "1.png")
    assert found.metadata["cicp-data"] == bytes([9, 16, 0, 1])
    assert found.pixels.dtype == np.uint16
    assert notes == ()
    (note,) = upscale_to_frames(clip, tmp_path / "%d.jpg", options, PLAIN).notes
    assert "colour tags (BT.2020, PQ) are not kept in JPEG" in note
    options = UpscaleOptions(model=nearest, device="cpu", to_srgb=True)
    (note,) = upscale_to_frames(clip, tmp_path / "%d.png", options, PLAIN).notes
    assert "colour tags (BT.2020, PQ) are not converted to sRGB" in note


def test_a_video_declares_the_colours_of_its_pictures(tmp_path: Path, nearest: Path) -> None:
    tags = {"cicp-data": bytes([9, 16, 0, 1])}
    frames = [(frame / 255 * 65535).astype(np.uint16) for frame in noise(2)]
    for number, frame in enumerate(frames):
        images.write(Picture(frame, tags), tmp_path / "frames" / f"{number}.png")
    film = upscale_video(tmp_path / "frames", tmp_path / "film.mkv", model=nearest, codec="ffv1").target
    with av.open(str(film)) as container:
        for decoded in container.decode(video=0):
            assert (int(decoded.color_primaries), int(decoded.color_trc)) == (9, 16)
    images.write(Picture(frames[0]), tmp_path / "frames" / "2.png")
    images.write(Picture(frames[0], {"cicp-data": bytes([1, 18, 0, 1])}), tmp_path / "frames" / "1.png")
    with pytest.raises(VideoError, match=r"1\.png: frames must be alike; it declares .* \(HLG\)"):
        upscale_video(tmp_path / "frames", tmp_path / "film.mkv", model=nearest)
    (tmp_path / "frames" / "1.png").unlink()
    with pytest.raises(VideoError, match=r"2\.png: .* other colours \(none\) than .* \(BT\.2020, PQ\)"):
        upscale_video(tmp_path / "frames", tmp_path / "film.mkv", model=nearest)


def test_gamma_that_pictures_declare_is_told_as_lost(tmp_path: Path, nearest: Path) -> None:
    tags = {"png-colour-data": chunk(b"gAMA", struct.pack(">I", 100_000))}
    frames = noise(2)
    for number, pixels in enumerate(frames):
        images.write(Picture(pixels, tags), tmp_path / "frames" / f"{number}.png")
    film = upscale_video(tmp_path / "frames", tmp_path / "film.mkv", model=nearest, codec="ffv1")
    assert [note for note in film.notes if "colour tags (gamma or primaries) are not kept" in note]
    with av.open(str(film.target)) as container:
        for before, after in zip(frames, container.decode(video=0), strict=True):
            values = (to_rgb(after, Colours.of(after)) * 255).round()[::2, ::2]
            assert (values == before).all(), "as of single pictures, values stay"
    images.write(Picture(frames[1]), tmp_path / "frames" / "1.png")
    with pytest.raises(VideoError, match=r"1\.png: .* other colours \(none\) than .* \(gamma"):
        upscale_video(tmp_path / "frames", tmp_path / "film.mkv", model=nearest)


def test_profiles_of_pictures_become_srgb(tmp_path: Path, nearest: Path) -> None:
    (frame,) = noise(1)
    wide = Picture(frame, {"icc-profile-data": pyvips.Operation.call("profile_load", "p3")})
    images.write(wide, tmp_path / "frames" / "1.png")
    film = upscale_video(tmp_path / "frames", tmp_path / "film.mkv", model=nearest, codec="ffv1").target
    with av.open(str(film)) as container:
        (shown,) = container.decode(video=0)
    values = (to_rgb(shown, Colours.of(shown)) * 255).round()[::2, ::2]
    assert (values == in_srgb(wide).pixels).all()
    assert (values != frame).any()


def test_pictures_declare_no_colours_that_were_guessed(tmp_path: Path, nearest: Path) -> None:
    clip = one_frame(tmp_path / "clip.mkv", "yuv420p")
    options = UpscaleOptions(model=nearest, device="cpu")
    (note,) = upscale_to_frames(clip, tmp_path / "%d.jpg", options, PLAIN).notes
    assert "the colour matrix is not declared" in note
    upscale_to_frames(clip, tmp_path / "%d.png", options, PLAIN)
    assert "cicp-data" not in images.read(tmp_path / "1.png").metadata
    declared = one_frame(tmp_path / "sd.mkv", "yuv420p", colorspace=6, color_primaries=6, color_trc=6)
    upscale_to_frames(declared, tmp_path / "sd%d.png", options, PLAIN)
    assert images.read(tmp_path / "sd1.png").metadata["cicp-data"] == bytes([6, 6, 0, 1])


@pytest.mark.parametrize(
    ("pixels", "name", "size", "message"),
    [
        ("yuva420p", "%d.jpg", "64x48", "JPEG cannot hold transparency"),
        ("yuv420p", "%d.webp", "16500x24", "WebP holds up to 16383 pixels a side, not 16500×24"),
        ("yuv420p", "%d.jpg", "64x48", "%d.jpg: JPEG is never lossless"),
        ("yuv420p", "%d.gif", "64x48", "%d.gif: GIF is never lossless"),
    ],
)
def test_what_pictures_cannot_hold_is_refused_before_work(
    tmp_path: Path,
    nearest: Path,
    monkeypatch: pytest.MonkeyPatch,
    pixels: str,
    name: str,
    size: str,
    message: str,
) -> None:
    clip = one_frame(tmp_path / "clip.mkv", pixels)
    calls: list[Any] = []
    monkeypatch.setattr(upscaling.Upscaler, "__call__", lambda *_, **how: calls.append(how))
    options = UpscaleOptions(
        model=nearest, device="cpu", size=size, fit="exact", lossless="lossless" in message
    )
    with pytest.raises(OutputError, match=message):
        upscale_to_frames(clip, tmp_path / name, options, PLAIN)
    assert calls == []
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mkv"]


@pytest.mark.parametrize(("degrees", "shape"), [(0, 64 / 45), (180, 64 / 45), (90, 45 / 64)])
def test_pictures_of_pixels_that_are_not_square(
    tmp_path: Path, nearest: Path, degrees: int, shape: float
) -> None:
    plain, clip = tmp_path / "plain.mp4", tmp_path / "clip.mp4"
    said = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "sample_aspect_ratio": Fraction(64, 45)}
    one_frame(plain, "yuv420p", "mpeg4", **said)
    with av.open(str(plain)) as source, av.open(str(clip), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0], opaque=True)
        if degrees:
            stream.set_display_rotation(degrees)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    options = UpscaleOptions(model=nearest, device="cpu")
    (note,) = upscale_to_frames(clip, tmp_path / "%d.png", options, PLAIN).notes
    assert "its pixels are not square, which is not kept in PNG" in note
    assert upscale_to_frames(clip, tmp_path / "%d.exr", options, PLAIN).notes == ()
    (found,) = struct.unpack("<f", images.read(tmp_path / "1.exr").metadata["exr-pixel-aspect"])
    assert found == pytest.approx(shape)
    side = 2 * min(images.read_size(tmp_path / "1.exr"))
    options = UpscaleOptions(model=nearest, device="cpu", size=f"{side}x{side}", fit="exact")
    upscale_to_frames(clip, tmp_path / "%d.exr", options, PLAIN)
    whole = describe(clip)
    (found,) = struct.unpack("<f", images.read(tmp_path / "1.exr").metadata["exr-pixel-aspect"])
    assert found == pytest.approx(shape * whole.shown_size[1] / whole.shown_size[0], rel=1e-3)


@needs_ffmpeg
@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_pictures_are_upright(tmp_path: Path, nearest: Path, degrees: int) -> None:
    """ffmpeg turns frames by itself, and so is the witness."""
    plain, clip = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    ffmpeg(*moving(frames=2), "-c:v", "libx264", "-pix_fmt", "yuv444p", "-crf", "0", plain)
    with av.open(str(plain)) as source, av.open(str(clip), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0], opaque=True)
        stream.set_display_rotation(degrees)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    ffmpeg("-i", clip, tmp_path / "theirs%d.png")
    upscale_to_frames(clip, tmp_path / "ours%d.png", UpscaleOptions(model=nearest, device="cpu"), PLAIN)
    theirs, ours = (images.read(tmp_path / f"{whose}1.png").pixels for whose in ("theirs", "ours"))
    assert ours.shape == (2 * theirs.shape[0], 2 * theirs.shape[1], 3)
    assert np.abs(ours[::2, ::2].astype(int) - theirs).mean() < 3


def test_what_cannot_be_a_video(tmp_path: Path, nearest: Path) -> None:
    (tmp_path / "empty").mkdir()
    target = tmp_path / "film.mkv"
    with pytest.raises(NoImagesError):
        upscale_video(tmp_path / "empty", target, model=nearest)
    folder = write_frames(tmp_path / "frames", noise(2))
    for fps in ("0", "fast", "1/0", "-3", "1e-20", "1e-999999999", ""):
        with pytest.raises(ConfigError, match="fps"):
            upscale_video(folder, target, model=nearest, fps=fps)
    for text, message in (
        (b"0\n1\n2\n", "3 times, but there are 2 pictures"),
        (b"0\nx\n", "no number"),
        (b"0\ninf\n", "no number"),
        (b"0\n1e300\n", "no number"),
        (b"# v2\n40\n40\n", r"line 3: 40 after 40; times must rise"),
        (b"40\n\n0\n", r"line 3: 0 after 40; times must rise"),
        ("0\n1\n".encode("utf-16"), "no text in UTF-8"),
    ):
        (folder / TIMES).write_bytes(text)
        with pytest.raises(VideoError, match=message):
            upscale_video(folder, target, model=nearest)
    with pytest.raises(ConfigError, match=r"timestamps\.txt has the times; delete it, or leave out fps"):
        upscale_video(folder, target, model=nearest, fps="25")
    (folder / TIMES).unlink()
    (folder / TIMES).mkdir()
    with pytest.raises(VideoError, match=r"timestamps\.txt cannot be read: "):
        upscale_video(folder, target, model=nearest)
    (folder / TIMES).rmdir()
    write_frames(folder / "z", noise(1, (8, 8)))
    with pytest.raises(VideoError, match="frames must be alike; it is 8×8×3 uint8, the first one 24×32×3"):
        upscale_video(folder, target, model=nearest)
    assert not target.exists()


@needs_ffmpeg
def test_a_folder_resumes_too(tmp_path: Path, nearest: Path) -> None:
    folder = write_frames(tmp_path / "frames", noise(30))
    stop = threading.Event()
    part = upscale_video(
        folder,
        tmp_path / "film.mkv",
        model=nearest,
        segment=0.1,
        stop=stop,
        on_progress=lambda _: stop.set(),
    )
    assert not part.is_whole
    seen: list[int] = []
    rest = upscale_video(
        folder,
        tmp_path / "film.mkv",
        model=nearest,
        segment=0.1,
        on_progress=lambda at: seen.append(at.frame),
    )
    assert rest.is_whole
    assert seen[0] == part.frames + 1
    assert streams(rest.target)[0]["codec_name"] == "h264"
    assert len(probe(rest.target, "-show_frames")["frames"]) == 30


def test_a_folder_as_video_is_called_by_its_name(
    tmp_path: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by that of the temporary file, which is on a disk."""
    folder, other = write_frames(tmp_path / "frames", noise(2)), tmp_path / "disk"
    other.mkdir()
    monkeypatch.setattr("escsr.video.frame_folders.disk_folder", lambda: other)
    with pytest.raises(VideoError, match=r"/frames: the picture \(32×24\) is larger than"):
        upscale_video(folder, tmp_path / "film.mkv", model=nearest, size="10x10")
    with frames_as_video(folder) as file:
        assert file.is_relative_to(other)
    assert list(other.iterdir()) == []
    other.rmdir()
    with pytest.raises(OutputError, match=r"Cannot write the folder for temporary files: .* TMPDIR"):
        upscale_video(folder, tmp_path / "film.mkv", model=nearest)


def test_frames_that_ffmpeg_refuses_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_frames(tmp_path / "frames", noise(2, (8, 8)))
    monkeypatch.setattr("escsr.video.frame_folders._times", lambda *_: [40, 0])
    with pytest.raises(OutputError, match=r"Cannot write the frames of .*: Invalid argument"):
        frames_as_video(folder).__enter__()


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_full_disk_of_temporary_files_is_told(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "frames", noise(4, (96, 128)))
    code = (
        "import resource, sys; from pathlib import Path; from escsr.video.frame_folders import *;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000,) * 2);"
        f"frames_as_video(Path({str(folder)!r})).__enter__()"
    )
    done = subprocess.run([*python_command(), "-c", code], capture_output=True, text=True, check=False)
    said = done.stderr.splitlines()[-1]
    assert f"OutputError: Cannot write the frames of {folder} to " in said, done.stderr
    assert said.endswith("Make room, or let TMPDIR name another folder.")


def test_a_folder_is_refused_by_its_first_frame(
    tmp_path: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit is told before all frames are read; a plan of it has the number of all."""
    folder, read = write_frames(tmp_path / "frames", noise(4)), []
    plain = images.read

    def counted(path: Path) -> Picture:
        read.append(path)
        return plain(path)

    monkeypatch.setattr("escsr.video.frame_folders.images.read", counted)
    for how, error, message in (
        ({"codec": "prores"}, OutputError, "MP4 files hold"),
        ({"crf": 99}, ConfigError, "crf of h264"),
        ({"preset": "fastest"}, ConfigError, "preset of h264"),
    ):
        arguments: dict[str, Any] = how
        with pytest.raises(error, match=message):
            upscale_video(folder, tmp_path / "film.mp4", model=nearest, device="cpu", **arguments)
    assert {path.name for path in read} == {"frame 000.png"}
    options = UpscaleOptions(model=nearest, device="cpu")
    with planned_by_first_frame(folder, tmp_path / "film.mp4", options, PLAIN) as plan:
        assert (plan.video.frames, plan.size) == (4, (64, 48))
