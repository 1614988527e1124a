"""Which videos become which files: no result replaces an input or another result."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from clips import make_clip, noise
from escsr import cli, images
from escsr.cli import commands
from escsr.images import Picture

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def upscale(
    tmp_path: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """The command in the folder of the clips: its exit code, and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        commands, "end_on_signals", lambda: None
    )  # the tests' own process keeps its signals

    def call(*arguments: str) -> tuple[int, str]:
        line = ["escsr", "upscale", *arguments, "--model", str(nearest), "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", line)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out + printed.err

    return call


def clip(path: Path, frames: int = 2) -> bytes:
    """A small clip; its bytes."""
    return make_clip(path, noise(frames), codec="mpeg4", pixels="yuv420p").read_bytes()


def clip_with_sound(path: Path) -> bytes:
    """Matroska with sound that WebM cannot hold, whatever it is called; its bytes."""
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        container.mux(stream.encode(av.VideoFrame(32, 24, "yuv420p")))
        container.mux(stream.encode(None))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        samples.sample_rate = 8000
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    return path.read_bytes()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_results_of_one_name_are_refused(tmp_path: Path, upscale: Call) -> None:
    for name in ("clip.avi", "clip.ts"):
        clip(tmp_path / name)
    code, said = upscale("clip.avi", "clip.ts")
    assert (code, "clip.avi and clip.ts would both become clip_x2.mkv" in said) == (2, True), said
    assert names(tmp_path) == ["clip.avi", "clip.ts"]


@pytest.mark.parametrize("size", [(), ("--scale", "2"), ("--suffix", "_x2")])
def test_an_input_is_not_replaced(tmp_path: Path, upscale: Call, size: tuple[str, ...]) -> None:
    clip(tmp_path / "clip.avi")
    other = clip(tmp_path / "clip_x2.mkv", 3)
    code, said = upscale("clip.avi", "clip_x2.mkv", *size)
    assert (code, "clip_x2.mkv is an input; if it is the result of clip.avi" in said) == (2, True), said
    assert (tmp_path / "clip_x2.mkv").read_bytes() == other
    assert names(tmp_path) == ["clip.avi", "clip_x2.mkv"]


def test_matroska_in_the_place_of_another_format_counts(tmp_path: Path, upscale: Call) -> None:
    clip_with_sound(tmp_path / "clip.webm")
    clip(tmp_path / "clip.mkv")
    code, said = upscale("clip.webm", "clip.mkv")
    assert (code, "clip.webm and clip.mkv would both become clip_x2.mkv" in said) == (2, True), said
    assert names(tmp_path) == ["clip.mkv", "clip.webm"]


def test_names_of_their_own_are_taken(tmp_path: Path, upscale: Call) -> None:
    """One that cannot be read stops no other; a name may look like a pattern of frames."""
    clip_with_sound(tmp_path / "a.webm")
    clip(tmp_path / "b%d.mp4")
    (tmp_path / "c.mp4").write_bytes(b"nothing")
    code, said = upscale("a.webm", "b%d.mp4", "c.mp4")
    assert (code, "c.mp4: not a readable video" in said) == (1, True), said
    assert "2 upscaled, 1 failed" in said
    assert names(tmp_path) == ["a.webm", "a_x2.mkv", "b%d.mp4", "b%d_x2.mp4", "c.mp4"]


def test_options_that_do_not_fit_one_video_stop_no_other(tmp_path: Path, upscale: Call) -> None:
    clip_with_sound(tmp_path / "a.mkv")
    make_clip(tmp_path / "b.webm", noise(2), codec="libvpx", pixels="yuv420p")
    code, said = upscale("b.webm", "a.mkv", "--preset", "medium", "--json")
    assert (code, "b.webm: preset of av1 is one of" in said) == (1, True), said
    assert '"event": "end"' in said
    assert names(tmp_path) == ["a.mkv", "a_x2.mkv", "b.webm"]


def test_a_pattern_may_match_results_of_the_same_run_before(tmp_path: Path, upscale: Call) -> None:
    for name in ("a.mkv", "b.mkv"):
        clip(tmp_path / name)
    for again in (False, True):
        code, said = upscale("*.mkv", "--skip-existing")
        assert (code, said.count("skipped, done before")) == (0, 2 * again), said
    assert names(tmp_path) == [".escsr-done.jsonl", "a.mkv", "a_x2.mkv", "b.mkv", "b_x2.mkv"]
    code, said = upscale("a.mkv", "b.mkv", "b_x2.mkv")
    assert (code, "b_x2.mkv is an input" in said) == (0, False), said


def test_a_result_that_a_killed_run_left_is_no_video_of_the_next(
    tmp_path: Path, upscale: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.mkv", "b.mkv"):
        clip(tmp_path / name)

    def killed(*_: object) -> None:  # between the result and its line in the list
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("escsr.video.forecast.outcome_of_video", killed)
        upscale("*.mkv", "--skip-existing")
    assert (tmp_path / "a_x2.mkv").exists()
    code, said = upscale("*.mkv", "--skip-existing")
    assert code == 0, said
    assert names(tmp_path) == [".escsr-done.jsonl", "a.mkv", "a_x2.mkv", "b.mkv", "b_x2.mkv"]


@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("sent", [1, 2])
def test_control_c_at_frames_as_pictures(
    tmp_path: Path, upscale: Call, monkeypatch: pytest.MonkeyPatch, sent: int
) -> None:
    clip(tmp_path / "clip.mkv", 4)
    write = images.write

    def interrupted(*given: Any) -> None:
        write(*given)
        for _ in range(sent):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("escsr.video.frame_files.images.write", interrupted)
    code, said = upscale("clip.mkv", "-o", "frames/%03d.png")
    assert (code, "Finishing the current frame" in said) == (130, True), said
    assert "the same command begins anew, with the first frame" in said
    assert names(tmp_path / "frames") == ["001.png", *(["timestamps.txt"] if sent == 1 else [])]


def test_a_signal_that_ends_a_video_says_that_it_continues(
    tmp_path: Path, upscale: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip(tmp_path / "clip.mkv")

    def ended(*_: Any, **__: Any) -> None:
        raise SystemExit(143)

    monkeypatch.setattr("escsr.video.run_video", ended)
    for flags in ([], ["--json"]):
        code, said = upscale("clip.mkv", *flags)
        assert (code, "clip.mkv: stopped; the same command continues" in said) == (143, True), said
        assert ('"interrupted": true' in said) == bool(flags)


def test_pictures_and_videos_together_are_refused(tmp_path: Path, upscale: Call) -> None:
    clip(tmp_path / "clip.avi")
    images.write(Picture(np.zeros((4, 4, 3), np.uint8)), tmp_path / "clip.png")
    for arguments in (("clip.avi", "clip.png"), ("clip.png", "clip.avi"), ("clip.*",)):
        code, said = upscale(*arguments)
        assert (code, "clip.png is not a video; upscale videos and pictures by" in said) == (2, True), said
    assert names(tmp_path) == ["clip.avi", "clip.png"]


def test_a_pattern_passes_over_what_is_no_video(tmp_path: Path, upscale: Call) -> None:
    """Subtitles and folders beside videos; those that are given by their names are refused."""
    (tmp_path / "clips" / "sub.mkv").mkdir(parents=True)
    clip(tmp_path / "clips" / "a.mkv")
    for name in ("a.srt", "b.srt", "notes"):
        (tmp_path / "clips" / name).write_text("words")
    for flags in ([], ["--json"]):
        code, said = upscale("clips/*", "-o", "out/", *flags)
        assert code == 0, said
        assert "Skipped what is not a video: 2 .srt, 1 without an ending, 1 folder." in said
    assert names(tmp_path / "out") == ["a.mkv"]
    code, said = upscale("clips/a.mkv", "clips/a.srt")
    assert (code, "a.srt is not a video" in said) == (2, True), said


def test_a_file_that_no_run_made_is_left(tmp_path: Path, upscale: Call) -> None:
    """Under the name of a video's result, and of a folder of frames, which are not all read then."""
    clip(tmp_path / "a.mkv")
    (tmp_path / "frames").mkdir()
    images.write(Picture(np.zeros((8, 8, 3), np.uint8)), tmp_path / "frames" / "0.png")
    for source, target in (("a.mkv", "a_x2.mkv"), ("frames", "film.mkv")):
        (tmp_path / target).write_bytes(b"of somebody else")
        code, said = upscale(source, "-o", target, "--skip-existing")
        assert (code, "left as it is" in said) == (0, True), said
        assert (tmp_path / target).read_bytes() == b"of somebody else"


def test_a_codec_chooses_the_ending(tmp_path: Path, upscale: Call) -> None:
    clip(tmp_path / "a.mp4")
    for arguments in (("a.mp4",), ("a.mp4", "-o", "out/")):
        code, said = upscale(*arguments, "--codec", "ffv1")
        assert code == 0, said
    assert names(tmp_path) == ["a.mp4", "a_x2.mkv", "out"]
    assert names(tmp_path / "out") == ["a.mkv"]
    code, said = upscale("a.mp4", "--codec", "ffv1", "--format", "mp4")
    assert (code, "MP4 files hold" in said) == (1, True), said
