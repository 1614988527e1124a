"""`escsr upscale clip.mkv`: what is printed, refused and asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from clips import make_clip, noise
from commands import escsr_command, python_command, run_escsr
from escsr import cli, images, video
from escsr.cli import commands
from escsr.cli import video as command
from escsr.errors import ConfigError
from escsr.images import Picture
from escsr.runtime.extras import install_line
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.upscaler import Upscaler
from samples import ROOT


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mkv", noise(10), codec="libx264", pixels="yuv420p")


def call(clip: Path, nearest: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_escsr("upscale", *arguments, "--model", str(nearest), "--device", "cpu", cwd=clip.parent)


def test_a_clip(clip: Path, nearest: Path) -> None:
    done = call(clip, nearest, "clip.mkv", "--crf", "10", "--preset", "fast", "--segment", "0.2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("clip_x2.mkv  64×48  nearest  ")
    assert "the colour matrix is not declared" in done.stdout
    with av.open(str(clip.with_name("clip_x2.mkv"))) as container:
        assert len(list(container.decode(video=0))) == 10


def test_several_clips_in_a_folder(clip: Path, nearest: Path) -> None:
    (clip.parent / "broken.mkv").write_bytes(clip.read_bytes()[:900])
    (clip.parent / "other.mkv").write_bytes(clip.read_bytes())
    done = call(clip, nearest, "*.mkv", "-o", "out/", "--skip-existing")
    assert done.returncode == 1
    assert "broken.mkv: the file is cut off" in done.stderr
    assert "2 upscaled, 1 failed" in done.stderr
    assert sorted(path.name for path in (clip.parent / "out").glob("[!.]*")) == ["clip.mkv", "other.mkv"]
    again = call(clip, nearest, "clip.mkv", "other.mkv", "-o", "out/", "--skip-existing")
    assert again.returncode == 0
    assert again.stdout.count("skipped, done before") == 2


def test_names_that_are_made(clip: Path, nearest: Path) -> None:
    for arguments, name in (
        (["--suffix", "_large", "--format", "mov"], "clip_large.mov"),
        (["--suffix", "_large", "--format", "mp4", "-o", "out/"], "out/clip_large.mp4"),
    ):
        done = call(clip, nearest, "clip.mkv", *arguments)
        assert (done.returncode, done.stdout.split("  ")[0]) == (0, name), done.stderr
        assert (clip.parent / name).is_file()
    assert not list(clip.parent.rglob(".escsr-done.jsonl"))  # which --skip-existing alone makes


def test_json_and_dry_run(clip: Path, nearest: Path) -> None:
    done = call(clip, nearest, "clip.mkv", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "32×24 → clip_x2.mkv  64×48  nearest on cpu" in done.stdout
    assert "10 frames to h264, about 0.00 GiB of disk" in done.stdout
    planned = call(clip, nearest, "clip.mkv", "--dry-run", "--json")
    assert not clip.with_name("clip_x2.mkv").exists()
    upscaled = call(clip, nearest, "clip.mkv", "--json")
    lines = [json.loads(line) for text in (planned, upscaled) for line in text.stdout.splitlines()]
    plan, end, *progress, result, last = lines  # progress comes once a second
    assert (plan["event"], end["event"], result["event"], last["event"]) == ("plan", "end", "result", "end")
    assert (plan["frames"], plan["codec"], result["frames"]) == (10, "h264", 10)
    assert {line["event"] for line in progress} == {"progress"}
    assert all(line["frames"] == 10 for line in progress)
    page = (ROOT / "docs" / "command-line.md").read_text()
    for line in lines:
        assert all(f"`{key}`" in page for key in line)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["clip.mkv", "--quality", "80"], 2, "--quality: for pictures"),
        (["clip.mkv", "--to-srgb", "--shard", "1/2"], 2, "--to-srgb, --shard: for pictures"),
        (["clip.mkv", "picture.png"], 2, "picture.png is not a video"),
        (["picture.png", "--crf", "20"], 2, "there is none"),
        (["clip.mkv", "-o", "clip.mkv"], 2, "is an input"),
        (["clip.mkv", "-o", "%d.png", "--dry-run"], 2, "--dry-run: of no use with frames as pictures"),
        (["clip.mkv", "-o", "%d.png", "--crf", "3"], 2, "--crf: of no use with frames as pictures"),
        (["clip.mkv", "--pipe", "y4m", "--codec", "av1", "--json"], 2, "--codec, --json: of no use with"),
        (["clip.mkv", "--pipe", "y4m", "--dry-run", "--suffix", "_a"], 2, "--dry-run, --suffix: of no use"),
        (["clip.mkv", "--pipe", "y4m", "-o", "a.mkv"], 2, "--pipe takes one video"),
        (["clip.mkv", "--pipe", "y4m", "--fps", "30"], 2, "--fps: of no use"),
        (["-", "--pipe", "y4m", "--deinterlace"], 2, "--deinterlace: for files, not for standard input"),
        (["clip.mkv", "--pipe", "y4m", "--max-pixels", "999"], 2, "raise max_pixels"),
        (["clip.mkv", "--fps", "25"], 2, "fps is for a folder of frames"),
        (["clip.mkv", "-o", "%d.png", "--fps", "30"], 2, "fps is for a folder of frames"),
        (["clip.mkv", "-o", "a.mkv", "--format", "mp4"], 2, "a.mkv is no .mp4 file"),
        (["clip.mkv", "-o", "%d.png", "--format", "jpg"], 2, "%d.png is no .jpg file"),
        (["clip.mkv", "other.mkv", "-o", "a.mkv"], 2, "a.mkv names one result"),
        (["clip.mkv", "other.mkv", "-o", "%d.png"], 2, "%d.png names one result"),
        (["clip.mkv", "-o", "clip.xyz"], 1, "ends in one of"),
        (["clip.mkv", "--crop", "0,0,8,8"], 2, "crop is for pictures"),
        (["clip.mkv", "--size", "16x12"], 1, "clip.mkv: the picture (32×24) is larger than the size"),
        (["clip.mkv", "-o", "large.mkv", "--suffix", "_large"], 2, "is a whole name already"),
        (["clip.mkv", "--suffix", ".mkv"], 2, "for .mkv files use format"),
        (["empty.mp4"], 1, "the file is empty"),
        (["none.mp4"], 1, "there is no such file"),
        (["clip.mkv", "--codec", "av1", "--preset", "medium"], 2, "preset of av1 is one of 0, 1"),
    ],
)
def test_refusals(
    clip: Path,
    nearest: Path,
    arguments: list[str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    images.write(Picture(np.zeros((4, 4, 3), np.uint8)), clip.with_name("picture.png"))
    clip.with_name("empty.mp4").touch()
    monkeypatch.chdir(clip.parent)
    monkeypatch.setattr(sys, "argv", ["escsr", "upscale", *arguments, "--model", str(nearest)])
    monkeypatch.setattr(commands, "end_on_signals", lambda: None)  # the process keeps its own
    with pytest.raises(SystemExit) as ended:
        cli.main()
    errors = capsys.readouterr().err
    assert (ended.value.code, message in errors) == (code, True), errors
    assert not clip.with_name("clip_x2.mkv").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.usefixtures("heeded_signals")
def test_control_c_finishes_the_segment(tmp_path: Path, nearest: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", noise(60, (120, 160)), codec="libx264", pixels="yuv420p")
    line = [
        *escsr_command(),
        "upscale",
        "clip.mkv",
        "--json",
        "--segment",
        "0.4",
        "--model",
        str(nearest),
        "--device",
        "cpu",
    ]
    with subprocess.Popen(
        line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["event"] == "progress"
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        errors = process.stderr.read()
    assert process.returncode == 130, errors
    assert "Finishing the current segment" in errors
    assert "Traceback" not in errors
    assert json.loads(rest.splitlines()[-1])["interrupted"] is True
    assert not (tmp_path / "clip_x2.mkv").exists()
    assert list(tmp_path.glob(".clip_x2.mkv.*/0*.mkv"))
    assert not list(tmp_path.rglob("*.part*"))
    done = call(clip, nearest, "clip.mkv", "--segment", "0.4", "-q")
    assert (done.returncode, done.stdout) == (0, "")
    with av.open(str(tmp_path / "clip_x2.mkv")) as container:
        assert len(list(container.decode(video=0))) == 60


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are of POSIX")
def test_hours_of_work_are_asked_for_on_a_terminal(clip: Path, nearest: Path) -> None:
    import pty

    code = "import sys; from escsr.cli import main, video; video._LONG_SECONDS = 1e-9; main()"
    line = [*python_command(), "-c", code, "upscale", str(clip), "--model", str(nearest)]
    for arguments, status, is_there in ((["--yes"], 0, True), ([], 2, False)):
        clip.with_name("clip_x2.mkv").unlink(missing_ok=True)
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [*line, *arguments], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
        ) as process:
            os.close(theirs)
            shown = b""
            with suppress(OSError):  # once the other end is closed
                while part := os.read(ours, 4096):
                    shown += part
        os.close(ours)
        assert process.returncode == status, shown
        assert (b"--yes" in shown) != is_there
        assert clip.with_name("clip_x2.mkv").exists() == is_there
    assert command._LONG_SECONDS == 3600


def test_without_the_extra(clip: Path, nearest: Path) -> None:
    code = "import sys; sys.modules['av'] = None; from escsr.cli import main; main()"
    line = [sys.executable, "-c", code, "upscale", str(clip), "--model", str(nearest)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert install_line("video") in done.stderr
    assert "Traceback" not in done.stderr


def test_frames_in_and_out(
    clip: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A clip to pictures, these to a clip: what goes in comes out, four times as large."""
    monkeypatch.chdir(clip.parent)
    monkeypatch.setattr(commands, "end_on_signals", lambda: None)
    for arguments in (
        ["clip.mkv", "-o", "frames/%03d.png"],
        ["frames", "-o", "film.mkv", "--codec", "ffv1"],
    ):
        monkeypatch.setattr(sys, "argv", ["escsr", "upscale", *arguments, "--model", str(nearest)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0, capsys.readouterr().err
    assert len(list((clip.parent / "frames").glob("*.png"))) == 10
    with av.open(str(clip.with_name("film.mkv"))) as film, av.open(str(clip)) as source:
        after, before = (list(container.decode(video=0)) for container in (film, source))
    assert (after[0].width, after[0].height) == (4 * before[0].width, 4 * before[0].height)
    assert [frame.pts for frame in after] == [frame.pts for frame in before]


def test_a_folder_is_called_by_its_name(
    tmp_path: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frames go through a temporary file, which is of no use to anybody who reads of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "end_on_signals", lambda: None)
    images.write(Picture(noise(1)[0]), tmp_path / "frames" / "1.png")
    lines: list[dict[str, Any]] = []
    run_video = video.run_video

    def stopped(*given: Any, stop: threading.Event, **how: Any) -> Any:
        stop.set()
        return replace(run_video(*given, stop=stop, **how), is_whole=False)

    for arguments, said in (
        (["--size", "10x10"], "frames: the picture (32×24) is larger than"),
        (["--dry-run"], "frames  32×24 → film.mkv"),
        (["--json"], ""),
        (["--fps", "30"], "frames: stopped with 1 of 1 frames done"),
    ):
        if arguments[0] == "--fps":
            monkeypatch.setattr("escsr.video.run_video", stopped)
        line = ["escsr", "upscale", "frames", "-o", "film.mkv", *arguments, "--model", str(nearest)]
        monkeypatch.setattr(sys, "argv", line)
        with pytest.raises(SystemExit):
            cli.main()
        printed = capsys.readouterr()
        assert said in printed.out + printed.err
        assert ".nut" not in printed.out + printed.err
        lines += [json.loads(line) for line in printed.out.splitlines() if arguments == ["--json"]]
    assert [line.get("source") for line in lines] == ["frames", "frames", None]


def in_this_process(monkeypatch: pytest.MonkeyPatch, nearest: Path, *arguments: str) -> int:
    """The command's exit code."""
    monkeypatch.setattr(commands, "end_on_signals", lambda: None)
    line = ["escsr", "upscale", *arguments, "--model", str(nearest), "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", line)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("scale", [None, 3])
def test_a_folder_of_frames_loads_its_model_once(
    tmp_path: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch, scale: int | None
) -> None:
    monkeypatch.chdir(tmp_path)
    images.write(Picture(noise(1)[0]), tmp_path / "frames" / "1.png")
    loaded: list[object] = []
    whole = Upscaler.__init__

    def counted(self: Upscaler, *arguments: Any, **options: Any) -> None:
        loaded.append(self)
        whole(self, *arguments, **options)

    monkeypatch.setattr(Upscaler, "__init__", counted)
    video.upscale_video("frames", "film.mkv", model=nearest, device="cpu", scale=scale)
    assert len(loaded) == 1
    asked = [] if scale is None else ["--scale", str(scale)]
    assert in_this_process(monkeypatch, nearest, "frames", "-o", "other.mkv", *asked) == 0
    assert len(loaded) == 2


def test_frames_as_pictures_are_reported(
    clip: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(clip.parent)
    assert in_this_process(monkeypatch, nearest, "clip.mkv", "-o", "frames/%d.png", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    events = [line["event"] for line in lines]
    assert (events[0], events[-2:]) == ("progress", ["result", "end"])
    assert (lines[0]["source"], lines[0]["frame"], lines[0]["frames"]) == ("clip.mkv", 1, 10)
    assert {"frames_per_second", "seconds_left"} < set(lines[0])
    assert (lines[-2]["model"], lines[-2]["size"], lines[-2]["frames"]) == ("nearest", [64, 48], 10)


def test_verbose_tells_the_model_of_a_video(
    clip: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(clip.parent)
    assert in_this_process(monkeypatch, nearest, "clip.mkv", "-v") == 0
    said = capsys.readouterr().out
    assert said.startswith("Upscaling clip.mkv to 64×48 on cpu, precision auto\nModel: ")


def test_a_run_says_that_it_begins_anew(
    clip: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(clip.parent)
    older = Path(f".clip_x2.mkv.{'0' * 16}.segments")
    older.mkdir()
    (older / "000000.mkv").write_bytes(bytes(2**20))
    for flags, is_said in (([], True), (["--quiet"], False)):
        assert in_this_process(monkeypatch, nearest, "clip.mkv", *flags) == 0
        said = capsys.readouterr().err
        assert (f"1.0 MiB of an earlier run with other settings are in {older}" in said) == is_said


def test_more_disk_than_is_free_is_asked_for(
    clip: Path, nearest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal; what segments of the same run take already counts."""
    plan = video.plan_video(clip, None, UpscaleOptions(model=nearest, device="cpu"), video.VideoOptions())
    monkeypatch.setattr(command, "ERR", SimpleNamespace(is_terminal=True))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("escsr.video.forecast.seconds_per_pixel", lambda *_: 0.0)
    monkeypatch.setattr(type(plan), "free_bytes", property(lambda _: plan.disk_bytes - 1))
    with pytest.raises(ConfigError, match=r"GiB of disk until it is whole.*add --yes"):
        command._agree(plan, yes=False)
    command._agree(plan, yes=True)
    folder = clip.parent / f".clip_x2.mkv.{plan.key[:16]}.segments"
    folder.mkdir()
    (folder / "000000.mkv").write_bytes(b"12")
    command._agree(plan, yes=False)
