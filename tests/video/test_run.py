"""A whole run: pictures, duplicates, damage, interruptions, full disks."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from clips import ffmpeg, hashes, make_clip, moving, needs_ffmpeg, noise, times
from commands import python_command
from escsr import Upscaler, upscale_video
from escsr.errors import ConfigError, OutputError, VideoError
from escsr.upscaling import upscaler as upscaling
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.target_size import TargetSize
from escsr.video import VideoProgress
from escsr.video.colour import Colours, from_rgb, to_rgb
from escsr.video.joining import _timed
from escsr.video.network import FrameUpscaler
from escsr.video.plan import upscaler_for
from escsr.video.planes import Layout, views
from escsr.video.segments import Segment, SegmentWriter
from escsr.video.source import describe

COMMAND = [sys.executable, "-m", "escsr", "upscale"]

needs_x264 = pytest.mark.skipif("libx264" not in av.codecs_available, reason="PyAV has no libx264")


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def content(path: Path) -> list[Any]:
    """All packets of all streams with their times: equal files have equal ones, but for random names."""
    with av.open(str(path)) as container:
        return [
            (packet.stream_index, packet.pts, packet.dts, packet.duration, bytes(packet))
            for packet in container.demux()
            if packet.size
        ]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mkv", noise(10))


def test_each_frame_is_the_result_of_its_picture(tmp_path: Path) -> None:
    """With the bundled model, into a file without loss, whose frames are compared value by value."""
    frames = noise(3)
    clip = make_clip(tmp_path / "clip.mkv", frames, pixels="yuv420p")
    result = upscale_video(clip, codec="ffv1", model="esc-light-x2", device="cpu")
    assert (result.model, result.size, result.frames) == ("esc-light-x2", (64, 48), 3)
    upscaler = Upscaler("esc-light-x2", device="cpu")
    said = Colours.of(decoded(clip)[0])
    for before, after in zip(decoded(clip), decoded(result.target), strict=True):
        expected = from_rgb(upscaler(to_rgb(before, said)), Layout("yuv", 8, "420"), said)
        for mine, other in zip(views(after), views(expected), strict=True):
            assert (mine == other).all()


def test_a_model_that_repeats_pixels_repeats_them(clip: Path, nearest: Path) -> None:
    result = upscale_video(clip, codec="ffv1", model=nearest, segment=0.1)
    for before, after in zip(noise(10), decoded(result.target), strict=True):
        shown = (to_rgb(after, Colours.of(after)) * 255).round()
        assert (shown == before.repeat(2, 0).repeat(2, 1)).all()


def test_opacity_is_kept(tmp_path: Path, nearest: Path) -> None:
    path = tmp_path / "clear.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuva420p"
        frame = av.VideoFrame(16, 16, "yuva420p")
        for index, plane in enumerate(views(frame)):
            plane[...] = 40 * index + np.arange(plane.shape[1])
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(OutputError, match="no transparency"):
        upscale_video(path, model=nearest)
    (after,) = decoded(upscale_video(path, model=nearest, codec="ffv1").target)
    assert after.format.name == "yuva420p"
    assert (views(after)[3] == (120 + np.arange(16)).repeat(2)).all()


def test_equal_frames_are_upscaled_once(
    tmp_path: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = noise(2)
    clip = make_clip(tmp_path / "clip.mkv", [first, first, first, second, second, first])
    sizes = []
    plain = upscaling.Upscaler.__call__

    def counted(self: Upscaler, image: Any, **how: Any) -> Any:
        sizes.append(image.shape)
        return plain(self, image, **how)

    monkeypatch.setattr(upscaling.Upscaler, "__call__", counted)
    result = upscale_video(clip, codec="ffv1", model=nearest)
    assert len(sizes) == 3
    shown = [to_rgb(frame, Colours.of(frame)) for frame in decoded(result.target)]
    assert [(shown[0] == frame).all() for frame in shown] == [True, True, True, False, False, True]


def damaged(path: Path, number: int) -> Path:
    """The clip with a packet of nothing but the byte 255, in the middle of all others."""
    target = path.with_name(f"damaged{path.suffix}")
    with av.open(str(path)) as source, av.open(str(target), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0], opaque=True)
        for index, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            if index == number:
                broken = av.Packet(b"\xff" * packet.size)
                broken.pts, broken.dts, broken.time_base = packet.pts, packet.dts, packet.time_base
                broken.stream = stream
                container.mux(broken)
                continue
            packet.stream = stream
            container.mux(packet)
    return target


@pytest.mark.parametrize(
    ("codec", "pixels"), [("ffv1", "yuv420p"), ("libx264", "yuv420p"), ("mpeg4", "yuv420p")]
)
def test_a_damaged_packet_becomes_a_repeated_frame(
    tmp_path: Path, nearest: Path, codec: str, pixels: str
) -> None:
    whole = make_clip(tmp_path / "clip.mkv", noise(8), codec=codec, pixels=pixels)
    clip = damaged(whole, 3)
    result = upscale_video(clip, codec="ffv1", model=nearest)
    assert [frame.pts for frame in decoded(result.target)] == [frame.pts for frame in decoded(whole)]
    (note,) = [note for note in result.notes if "shown by the one before" in note]
    assert note.endswith(": 1")
    shown = [views(frame)[0] for frame in decoded(result.target)]
    repeated = [index for index in range(1, 8) if (shown[index] == shown[index - 1]).all()]
    assert len(repeated) == 1


def test_damage_is_the_same_in_one_piece_and_in_parts(tmp_path: Path, nearest: Path) -> None:
    clip = damaged(make_clip(tmp_path / "clip.mkv", noise(8), codec="libx264", pixels="yuv420p"), 3)
    plain = upscale_video(clip, tmp_path / "a.mkv", codec="ffv1", model=nearest)
    parts = upscale_video(clip, tmp_path / "b.mkv", codec="ffv1", model=nearest, segment=0.1)
    assert plain.notes == parts.notes
    assert [views(frame)[0].tobytes() for frame in decoded(plain.target)] == [
        views(frame)[0].tobytes() for frame in decoded(parts.target)
    ]


def avi_with_b_frames(path: Path, *, broken: int | None = None) -> Path:
    """H.264 of 10 frames, each brighter than the one before; a packet may be nothing but 255."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"crf": "10", "x264-params": "bframes=3:b-adapt=0:scenecut=0"}
        )
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        packets = []
        for index in range(10):
            frame = av.VideoFrame(32, 24, "yuv420p")
            for view, value in zip(views(frame), (60 + 9 * index, 128, 128), strict=True):
                view[...] = value
            frame.pts = index
            packets += stream.encode(frame)
        for number, packet in enumerate([*packets, *stream.encode(None)]):
            if number == broken:
                packet.update(b"\xff" * packet.size)
            container.mux(packet)
    return path


@needs_x264
def test_b_frames_in_avi_stay_in_order(tmp_path: Path, nearest: Path) -> None:
    """AVI has times of decoding alone."""
    clip = avi_with_b_frames(tmp_path / "clip.avi")
    times_of_decoding = [frame.pts or 0 for frame in decoded(clip)]
    assert sorted(times_of_decoding) != times_of_decoding
    result = upscale_video(clip, codec="ffv1", model=nearest)
    after = decoded(result.target)
    assert np.diff([frame.pts for frame in after]).tolist() == [40] * 9
    means = [views(frame)[0].mean() for frame in after]
    assert means == pytest.approx([60 + 9 * index for index in range(10)], abs=2)
    assert [note for note in result.notes if "matrix" not in note] == []


@needs_x264
def test_a_damaged_packet_in_avi_moves_no_other_frame(tmp_path: Path, nearest: Path) -> None:
    clip = avi_with_b_frames(tmp_path / "clip.avi", broken=6)
    result = upscale_video(clip, codec="ffv1", model=nearest)
    after = decoded(result.target)
    assert np.diff([frame.pts for frame in after]).tolist() == [40] * 9
    assert views(after[-1])[0].mean() == pytest.approx(60 + 9 * 9, abs=4)
    assert any(note.endswith(": 1") for note in result.notes if "shown by the one before" in note)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".webm"])
def test_files_that_are_cut_off_are_refused(tmp_path: Path, nearest: Path, suffix: str) -> None:
    codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
    clip = make_clip(tmp_path / f"clip{suffix}", noise(10), codec=codec, pixels="yuv420p")
    whole = clip.read_bytes()
    for part in (len(whole) // 2, len(whole) - 20, 100):
        clip.write_bytes(whole[:part])
        with pytest.raises(VideoError, match=r"cut off: \d+ bytes are missing|not a readable video"):
            upscale_video(clip, model=nearest)
    assert [path.name for path in tmp_path.iterdir()] == [clip.name]


def test_a_file_for_streaming_that_is_cut_off_is_refused(tmp_path: Path, nearest: Path) -> None:
    """Its index is at the front, so it opens."""
    clip = tmp_path / "clip.mp4"
    with av.open(str(clip), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = 32, 24
        for rgb in noise(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb)))
        container.mux(stream.encode(None))
    whole = clip.read_bytes()
    clip.write_bytes(whole[:-500])
    with av.open(str(clip)) as container:
        assert container.streams.video
    with pytest.raises(VideoError, match="cut off: 500 bytes are missing"):
        upscale_video(clip, model=nearest)


@pytest.mark.parametrize("flags", ["faststart", "frag_keyframe+empty_moov"])
def test_bytes_behind_the_last_box_are_passed_over(tmp_path: Path, nearest: Path, flags: str) -> None:
    """As cameras write them; a box that is cut off is still seen."""
    clip = tmp_path / "clip.mp4"
    with av.open(str(clip), "w", options={"movflags": flags}) as container:
        stream = container.add_stream("mpeg4", rate=25, options={"g": "4"})
        stream.width, stream.height = 32, 24
        for rgb in noise(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb)))
        container.mux(stream.encode(None))
    whole = clip.read_bytes()
    clip.write_bytes(whole + b"INSTA360-TRAILER-0123456789")
    assert upscale_video(clip, model=nearest).frames == 12
    end = whole.rindex(b"mfra") - 4 if "frag" in flags else len(whole)
    clip.write_bytes(whole[: end - 100])
    with pytest.raises(VideoError, match="cut off: 100 bytes are missing"):
        upscale_video(clip, model=nearest)


def test_what_is_no_video_is_refused(tmp_path: Path, nearest: Path) -> None:
    cases = {"empty.mp4": b"", "text.mkv": b"not a video", "noise.avi": os.urandom(5000)}
    for name, bytes_ in cases.items():
        (tmp_path / name).write_bytes(bytes_)
        with pytest.raises(VideoError, match=r"the file is empty|not a readable video"):
            upscale_video(tmp_path / name, model=nearest)
    with pytest.raises(VideoError, match="there is no such file"):
        upscale_video(tmp_path / "none.mp4", model=nearest)
    sound = tmp_path / "sound.mka"
    with av.open(str(sound), "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="there is no video in it"):
        upscale_video(sound, model=nearest)


@pytest.mark.skipif(sys.platform == "win32", reason="names there hold no colon")
def test_a_name_that_looks_like_a_protocol(
    clip: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip.parent)
    clip.rename("Part: 2.mkv")
    result = upscale_video("Part: 2.mkv", model=nearest, codec="ffv1")
    assert (str(result.target), len(decoded(result.target.absolute()))) == ("Part: 2_x2.mkv", 10)
    again = upscale_video(result.target, "Large: 3.mkv", model=nearest, codec="ffv1")
    assert again.is_whole


def test_impossible_wishes_are_refused_before_work(clip: Path, nearest: Path) -> None:
    clip.with_name("folder.mkv").mkdir()
    for wish, error, message in (
        ({"crf": 60}, ConfigError, "from 0"),
        ({"crf": 5, "codec": "ffv1"}, ConfigError, "not for ffv1"),
        ({"preset": "8"}, ConfigError, "one of ultrafast"),
        ({"codec": "vp9"}, ConfigError, "one of auto, h264"),
        ({"segment": 0}, ConfigError, "segment must be"),
        ({"max_pixels": 1000}, OutputError, "raise max_pixels"),
        ({"target": "clip.xyz"}, OutputError, "ends in one of .mkv"),
        ({"target": clip}, OutputError, "the input itself"),
        ({"target": clip.with_name("folder.mkv")}, OutputError, "no ordinary file"),
        ({"target": clip / "clip.mkv"}, OutputError, "is a file"),
        ({"fps": "30"}, ConfigError, "fps is for a folder of frames"),
    ):
        with pytest.raises(error, match=message):
            upscale_video(clip, model=nearest, **wish)
    assert sorted(path.name for path in clip.parent.iterdir()) == [clip.name, "folder.mkv"]


def test_a_result_that_is_protected_is_refused_before_work(
    clip: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = clip.with_name("large.mkv")
    target.touch()
    target.chmod(0o444)
    monkeypatch.setattr("escsr.files.os.access", lambda path, mode: Path(path) != target)  # as root may
    seen: list[VideoProgress] = []
    with pytest.raises(OutputError, match="read-only"):
        upscale_video(clip, target, model=nearest, on_progress=seen.append)
    assert seen == []


def test_a_run_that_was_stopped_goes_on(clip: Path, nearest: Path) -> None:
    make_clip(clip, noise(40))
    stop = threading.Event()
    how: dict[str, Any] = {"model": nearest, "codec": "h264", "segment": 0.1}
    whole = upscale_video(clip, clip.with_name("whole.mkv"), **how)
    seen = []

    def at_once(progress: VideoProgress) -> None:
        seen.append(progress.frame)
        stop.set()

    target = clip.with_name("parts.mkv")
    part = upscale_video(clip, target, **how, stop=stop, on_progress=at_once)
    assert not part.is_whole
    assert not target.exists()
    assert part.frames in {-(-5 * segments // 2) for segments in range(1, 12)}, "whole segments of 0.1 s"
    seen.clear()
    rest = upscale_video(clip, target, **how, on_progress=lambda progress: seen.append(progress.frame))
    assert seen[0] == part.frames + 1
    assert rest.is_whole
    assert content(rest.target) == content(whole.target)
    assert sorted(path.name for path in clip.parent.iterdir()) == ["clip.mkv", "parts.mkv", "whole.mkv"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX signal")
def test_killed_at_random_and_run_again(tmp_path: Path, nearest: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", noise(60, (48, 64)), codec="libx264", pixels="yuv420p")
    how = ["--model", str(nearest), "--codec", "hevc", "--segment", "0.2", "--json", "--device", "cpu"]
    whole = upscale_video(
        clip, tmp_path / "whole.mkv", model=nearest, codec="hevc", segment=0.2, device="cpu"
    )
    command = [*COMMAND, str(clip), "-o", str(tmp_path / "parts.mkv"), *how]
    folders = set()
    for kill_after in (1, 4):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            for _ in range(4000):
                segments = list(tmp_path.glob(".parts.mkv.*/0*.mkv"))
                if len(segments) >= kill_after or process.poll() is not None:
                    break
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        folders |= set(tmp_path.glob(".parts.mkv.*"))
        assert not (tmp_path / "parts.mkv").exists()
    assert len(folders) == 1
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-2]["frames"] == 60
    assert content(tmp_path / "parts.mkv") == content(whole.target)
    assert not folders & set(tmp_path.iterdir())


def test_other_settings_are_another_run(clip: Path, nearest: Path) -> None:
    make_clip(clip, noise(40))
    stop = threading.Event()
    stop.set()
    for crf in (10, 20):
        upscale_video(clip, model=nearest, codec="h264", crf=crf, segment=0.1, stop=stop)
    assert len(list(clip.parent.glob(".clip_x2.mkv.*.segments"))) == 2
    assert upscale_video(clip, model=nearest, codec="h264", crf=20, segment=0.1).is_whole
    assert len(list(clip.parent.glob(".clip_x2.mkv.*.segments"))) == 1


def test_two_runs_at_once_are_refused(clip: Path, nearest: Path) -> None:
    def meanwhile(_: object) -> None:
        with pytest.raises(OutputError, match="another run is at work"):
            upscale_video(clip, model=nearest, codec="ffv1")

    assert upscale_video(clip, model=nearest, codec="ffv1", on_progress=meanwhile).is_whole


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.parametrize("limit_kib", [40, 120])
def test_a_full_disk_loses_nothing(tmp_path: Path, nearest: Path, limit_kib: int) -> None:
    """Files may not grow beyond a limit: first the segments do not fit, then the result does not."""
    clip = make_clip(tmp_path / "clip.mkv", noise(12, (48, 64)))
    code = (
        "import resource, sys; from escsr.cli import main;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_kib * 1024},) * 2); main()"
    )
    arguments = ["upscale", str(clip), "--codec", "ffv1", "--segment", "0.1", "--model", str(nearest)]
    done = subprocess.run(
        [*python_command(), "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "kept" in done.stderr
    assert "Traceback" not in done.stderr
    (folder,) = tmp_path.glob(".clip_x2.mkv.*")
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("0*.mkv")}
    assert len(kept) == (0 if limit_kib == 40 else 5)
    assert not list(tmp_path.rglob("*.part*"))
    assert not (tmp_path / "clip_x2.mkv").exists()
    frames: list[int] = []
    result = upscale_video(
        clip, codec="ffv1", segment=0.1, model=nearest, on_progress=lambda at: frames.append(at.frame)
    )
    assert result.is_whole
    assert len(frames) == (12 if limit_kib == 40 else 0)
    assert len(decoded(result.target)) == 12


def test_a_torn_line_and_a_lost_segment_are_done_again(clip: Path, nearest: Path) -> None:
    make_clip(clip, noise(40))
    stop = threading.Event()
    how: dict[str, Any] = {"model": nearest, "codec": "h264", "segment": 0.1}
    whole = upscale_video(clip, clip.with_name("whole.mkv"), **how)
    target = clip.with_name("parts.mkv")
    upscale_video(clip, target, **how, stop=stop, on_progress=lambda _: stop.set())
    (folder,) = clip.parent.glob(".parts.mkv.*")
    (folder / "000000.mkv").unlink()
    with open(folder / "segments.jsonl", "ab") as file:
        file.write(b'{"segment": 9, "tim')
    result = upscale_video(clip, target, **how)
    assert content(result.target) == content(whole.target)


def test_a_segment_lost_before_they_are_joined_is_done_again(
    clip: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = clip.with_name("parts.mkv")
    how: dict[str, Any] = {"model": nearest, "codec": "ffv1", "segment": 0.1}

    def full(*_: object) -> None:
        raise OutputError("no room")

    with monkeypatch.context() as patched:
        patched.setattr("escsr.video.run.join", full)
        with pytest.raises(OutputError, match="no room"):
            upscale_video(clip, target, **how)
    (folder,) = clip.parent.glob(".parts.mkv.*")
    (folder / "000001.mkv").unlink()
    assert upscale_video(clip, target, **how).frames == 10
    assert len(decoded(target)) == 10


def test_a_change_of_size_is_told(tmp_path: Path, nearest: Path) -> None:
    small, large = (
        make_clip(tmp_path / f"{side}.ts", noise(5, (side, 32)), codec="libx264", pixels="yuv420p")
        for side in (32, 48)
    )
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    with pytest.raises(VideoError, match=r"frames change from 32×32 to 32×48 at .*cut it there"):
        upscale_video(both, model=nearest)


def test_a_failing_network_leaves_no_gap(
    clip: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame that cannot be upscaled ends the run, and its segment is not taken for whole."""
    whole = upscale_video(clip, clip.with_name("whole.mkv"), model=nearest, codec="ffv1", segment=0.1)
    plain, calls = upscaling.Upscaler.__call__, []

    def failing(self: Upscaler, image: Any, **how: Any) -> Any:
        calls.append(image)
        if len(calls) == 5:
            raise OutputError("no more")
        return plain(self, image, **how)

    target = clip.with_name("parts.mkv")
    how: dict[str, Any] = {"model": nearest, "codec": "ffv1", "segment": 0.1}
    with monkeypatch.context() as patch:
        patch.setattr(upscaling.Upscaler, "__call__", failing)
        with pytest.raises(OutputError, match="no more"):
            upscale_video(clip, target, **how)
    (folder,) = clip.parent.glob(".parts.mkv.*")
    assert [path.name for path in folder.glob("0*.mkv")] == ["000000.mkv"]
    assert content(upscale_video(clip, target, **how).target) == content(whole.target)


def test_an_encoder_that_fails_leaves_no_gap(
    clip: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, calls = SegmentWriter.write, []

    def failing(self: SegmentWriter, frame: av.VideoFrame, time: int) -> None:
        calls.append(time)
        if len(calls) == 4:
            raise OutputError("no more")
        plain(self, frame, time)

    with monkeypatch.context() as patch:
        patch.setattr(SegmentWriter, "write", failing)
        with pytest.raises(OutputError, match="no more"):
            upscale_video(clip, model=nearest, codec="ffv1", segment=0.1)
    (folder,) = clip.parent.glob(".clip_x2.mkv.*")
    assert [path.name for path in folder.glob("0*.mkv")] == ["000000.mkv"]
    result = upscale_video(clip, model=nearest, codec="ffv1", segment=0.1)
    assert [frame.pts for frame in decoded(result.target)] == [frame.pts for frame in decoded(clip)]


@needs_ffmpeg
def test_packets_of_a_segment_are_not_all_in_memory(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", noise(40))
    packets = _timed([Segment(clip, tuple(range(40)))], describe(clip))
    for shown, timed in enumerate(packets):
        assert timed.pts == shown
        if shown == 5:
            assert sum(type(each) is av.Packet for each in gc.get_objects()) < 10


@pytest.mark.slow
def test_segments_join_without_a_seam_in_time(tmp_path: Path, nearest: Path) -> None:
    """B-frames, uneven times, sound that begins early: one segment and many give the same times."""
    clip = tmp_path / "clip.mkv"
    sound = ("-f", "lavfi", "-i", "sine=440:duration=2")
    ffmpeg(*moving(frames=50), *sound, "-vf", "select='mod(n,4)'", "-vsync", "vfr", "-c:a", "flac", clip)
    for codec in ("h264", "hevc", "av1", "ffv1", "prores"):
        result = upscale_video(clip, tmp_path / f"{codec}.mkv", model=nearest, codec=codec, segment=0.25)
        assert times(result.target) == times(clip), codec
        assert hashes(result.target, "a") == hashes(clip, "a")


def test_videos_are_given_no_invented_detail_unless_asked_for() -> None:
    for asked, strength in ((None, 0), (0.4, 0.4)):
        _, upscaler = upscaler_for(48, 64, UpscaleOptions(model="real", scale=4, strength=asked))
        assert upscaler.strength == strength


@needs_x264
def test_sides_that_follow_become_even(tmp_path: Path, nearest: Path) -> None:
    """They repeat the last pixels; sides that are asked for stay, or are refused with a way out."""
    clip = make_clip(tmp_path / "clip.mp4", noise(2, (24, 42)), codec="libx264", pixels="yuv420p")
    for how, size in (({"scale": 1.5}, (64, 36)), ({"height": 28}, (50, 28)), ({"longest": 74}, (74, 42))):
        settings: dict[str, Any] = how
        result = upscale_video(clip, tmp_path / "large.mp4", model=nearest, **settings)
        assert result.size == size
        assert (decoded(result.target)[0].width, decoded(result.target)[0].height) == size
        assert len([note for note in result.notes if "h264 needs even sides" in note]) == (size != (74, 42))
    for settings in ({"height": 31}, {"size": "63x37", "fit": "exact"}):
        with pytest.raises(OutputError, match=r"--codec ffv1 and an output ending in \.mkv"):
            upscale_video(clip, model=nearest, **settings)
    with pytest.raises(OutputError, match="frames have 2304 pixels, more than the 2303 allowed"):
        upscale_video(clip, model=nearest, scale=1.5, max_pixels=64 * 36 - 1)
    lossless = upscale_video(clip, model=nearest, codec="ffv1", scale=1.5)  # which MP4 does not hold
    assert (lossless.target.name, lossless.size) == ("clip_x1.5.mkv", (63, 36))
    shown = [to_rgb(frame, Colours.of(frame)) for frame in decoded(lossless.target)]
    network = FrameUpscaler(Upscaler(nearest, device="cpu"), TargetSize(scale=1.5), (64, 36))
    padded = network(shown[0][:24, :42])
    assert padded.shape == (36, 64, 3)
    assert (padded[:, 63] == padded[:, 62]).all()


def test_segments_with_other_settings_are_told(clip: Path, nearest: Path) -> None:
    stop = threading.Event()
    stop.set()
    first = upscale_video(clip, model=nearest, codec="ffv1", segment=0.1, stop=stop)
    assert first.notes == ()
    (folder,) = clip.parent.glob(".clip_x2.mkv.*.segments")
    (note,) = upscale_video(clip, model=nearest, codec="ffv1", segment=0.2).notes
    assert f"of an earlier run with other settings are in {folder}; delete it" in note
    assert upscale_video(clip, model=nearest, codec="ffv1", segment=0.1).notes == ()
