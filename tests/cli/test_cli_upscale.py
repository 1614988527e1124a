"""`escsr upscale` in pipes, as JSON, in advance, and interrupted."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from commands import escsr_command
from escsr import images
from escsr.batch import Batch, Outcome
from escsr.batch.pipes import piped
from escsr.cli.interrupts import end_on_signals
from escsr.cli.reports import JsonReport, Report
from escsr.errors import OutputError
from escsr.images import Picture
from escsr.models.saving import save_network
from samples import ROOT, small_network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.png"):
        images.write(Picture(random.integers(0, 256, (20, 30, 3), dtype=np.uint8)), tmp_path / "in" / name)
    save_network(small_network("esc"), tmp_path / "small.safetensors")
    return tmp_path


def call(folder: Path, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [*escsr_command(), "upscale", *arguments, "--model", "small.safetensors"]
    return subprocess.run(command, cwd=folder, input=stdin or b"", capture_output=True, check=False)


def test_a_picture_through_pipes(folder: Path) -> None:
    source = (folder / "in" / "a.png").read_bytes()
    done = call(folder, "-", "--format", "webp", stdin=source)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(b"standard output  60")
    (folder / "piped.webp").write_bytes(done.stdout)
    assert images.recognise(folder / "piped.webp").name == "WebP"
    assert images.read_size(folder / "piped.webp") == (60, 40)
    done = call(folder, "-", "-o", "file.png", stdin=source)
    assert (done.returncode, images.read_size(folder / "file.png")) == (0, (60, 40))
    done = call(folder, "in/a.png", "-o", "-", "--scale", "2")
    assert done.stdout == (folder / "file.png").read_bytes()
    broken = call(folder, "-", stdin=b"no picture")
    assert (broken.returncode, broken.stdout) == (1, b"")
    assert broken.stderr.startswith(b"Error: standard input: not a readable picture")
    large = call(folder, "in/a.png", "-o", "-", "--max-pixels", "1000")
    assert large.stderr.startswith(b"Error: standard output: the result would have")
    planned = call(folder, "-", "--dry-run", stdin=source)
    assert planned.stdout == b""
    assert planned.stderr.decode().startswith("standard input  30×20 → standard output  60×40")
    done = call(folder, "-", "-o", "described.png", "--json", stdin=source)
    assert json.loads(done.stdout.splitlines()[0])["source"] == "standard input"
    for arguments in (["-", "in/a.png"], ["in", "-o", "-"], ["-", "--json"]):
        assert call(folder, *arguments, stdin=source).returncode == 2


def test_json_lines(folder: Path) -> None:
    (folder / "in" / "b.png").write_bytes(b"")
    done = call(folder, "in", "--json")
    assert (done.returncode, done.stderr) == (1, b"")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["result"] * 3 + ["end"]
    assert [line.get("status") for line in lines] == ["done", "failed", "done", None]
    assert lines[0]["size"] == [60, 40]
    assert "b.png" in lines[1]["error"]
    assert (lines[3]["done"], lines[3]["failed"], lines[3]["interrupted"]) == (2, 1, False)
    page = (ROOT / "docs" / "command-line.md").read_text()
    for line in lines:
        assert all(f"`{key}`" in page for key in line)


def test_a_dry_run_writes_nothing(folder: Path) -> None:
    done = call(folder, "in", "--dry-run", "--size", "90x90")
    assert done.returncode == 0, done.stderr
    assert not (folder / "in_90x90").exists()
    assert "30×20 → in_90x90/a.png  90×60  small on" in done.stdout.decode()
    assert "3 to upscale; about" in done.stderr.decode()
    lines = [json.loads(line) for line in call(folder, "in", "--dry-run", "--json").stdout.splitlines()]
    page = (ROOT / "docs" / "command-line.md").read_text()
    assert all(f"`{key}`" in page for line in lines for key in line)


def test_summary_and_notes(folder: Path) -> None:
    (folder / "in" / "b.png").write_bytes(b"")
    done = call(folder, "in", "-v", "--skip-existing")
    assert "2 upscaled, 1 failed; " in done.stderr.decode()
    assert "on cpu" in done.stdout.decode() or "on cuda" in done.stdout.decode()
    again = call(folder, "in", "--skip-existing")
    assert again.stdout.decode().count("skipped, done before") == 2
    assert "2 done before, 1 failed; " in again.stderr.decode()


@pytest.mark.parametrize("as_json", [False, True])
def test_a_full_disk_is_told_with_the_way_on(
    folder: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    batch = Batch([folder / "in"], folder / "out", model=folder / "small.safetensors", device="cpu")
    error = OutputError("Cannot write b.png: No space left on device.")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    report = (JsonReport if as_json else Report)(quiet=False, verbose=False, to_stderr=False)
    report.begin(batch)
    report.add(Outcome(batch.jobs[0], "done", size=(60, 40)))
    report.add(Outcome(batch.jobs[1], "failed", error))
    assert report.end() == 1
    out, err = capsys.readouterr()
    said = f"Stopped, since {folder / 'out'} takes nothing more"
    way_on = "The same command with --skip-existing continues with the rest."
    if as_json:
        assert json.loads(out.splitlines()[-1])["notes"] == [f"{said}. {way_on}"]
    else:
        summed = f"{said}: 1 of 3 upscaled, in {folder / 'out'}, 1 failed."
        assert err.splitlines() == [f"Error: {error}", summed, way_on]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in/a.png", "-o", "-", "--skip-existing"], "--skip-existing: of no use with standard output."),
        (["in/*.png", "-f", "png", "--quality", "50"], "--quality: of no use with .png files."),
        (["in/a.png", "-o", "b.tif", "--quality", "50"], "--quality: of no use with .tif files."),
        (["in/a.png", "-q", "90"], "90: there is no such file; for a quality give --quality 90, as -q is"),
        (["in", "-f", "tiff16"], "Error: format must be one of .png, "),
        (
            ["in", "-f", "jpg"],
            "a.png would both become in_x2/a.jpg; rename one, or upscale them by two com",
        ),
    ],
)
def test_what_was_meant_otherwise_is_refused_before_the_work(
    folder: Path, arguments: list[str], message: str
) -> None:
    images.write(images.read(folder / "in" / "a.png"), folder / "in" / "a.jpg")
    done = call(folder, *arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr.decode()
    assert b"result" not in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["in", "small.safetensors"]


def test_files_of_the_user_are_left_and_counted(folder: Path) -> None:
    (folder / "keep").mkdir()
    mine = folder / "keep" / "a.png"
    mine.write_bytes(b"mine")
    planned = call(folder, "in", "-o", "keep", "--skip-existing", "--dry-run")
    done = call(folder, "in", "-o", "keep", "--skip-existing")
    note = "1 file was there already and is not of an earlier run with --skip-existing: left as it is."
    for said, count in ((planned, "2 to upscale, 1 left as they were"), (done, "2 upscaled, 1 left")):
        assert said.returncode == 0, said.stderr
        assert "keep/a.png  skipped, left as it is: the file was there already" in said.stdout.decode()
        assert count in said.stderr.decode()
        assert said.stderr.decode().splitlines()[-1] == note
    assert mine.read_bytes() == b"mine"
    lines = [
        json.loads(line)
        for line in call(folder, "in", "-o", "keep", "--skip-existing", "--json").stdout.splitlines()
    ]
    assert [line["notes"] for line in lines[1:3]] == [[], []]
    assert "not of an earlier run" in lines[0]["notes"][0]
    assert (lines[-1]["skipped"], lines[-1]["notes"]) == (3, [note])


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("interrupts", [1, 2])
def test_control_c(folder: Path, interrupts: int) -> None:
    # The second interrupt comes while the next picture is at work.
    rows, columns = (400, 600) if interrupts == 2 else (200, 300)
    large = np.random.default_rng(0).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    for name in ("a.png", "b.png", "c.png"):
        images.write(Picture(large), folder / "in" / name)
    command = [*escsr_command(), "upscale", "in", "--json", "--model", "small.safetensors"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["status"] == "done"
        for _ in range(interrupts):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        lines = [json.loads(line) for line in process.stdout.read().splitlines()]
        assert process.stderr is not None
        errors = process.stderr.read()
    assert process.returncode in (130, -signal.SIGINT), "a shell shows 130 for both"
    assert "Traceback" not in errors
    assert "Ctrl-C again" in errors
    done = sorted(path.name for path in (folder / "in_x2").glob("[!.]*"))
    if interrupts == 1:
        assert lines[-1] == {**lines[-1], "event": "end", "interrupted": True}
    for name in done:
        assert images.read(folder / "in_x2" / name).pixels.shape == (2 * rows, 2 * columns, 3)
    assert not list((folder / "in_x2").glob(".*.part*"))


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.usefixtures("heeded_signals")
def test_a_signal_that_ends_it_leaves_the_sums(folder: Path) -> None:
    large = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    for name in ("b.png", "c.png"):
        images.write(Picture(large), folder / "in" / name)
    command = [*escsr_command(), "upscale", "in", "--json", "--model", "small.safetensors"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["status"] == "done"
        process.send_signal(signal.SIGTERM)
        *lines, last = [json.loads(line) for line in process.stdout.read().splitlines()]
    assert process.returncode == 128 + signal.SIGTERM
    written = sorted(path.name for path in (folder / "in_x2").glob("[!.]*"))
    assert (last["event"], last["done"], last["interrupted"]) == ("end", len(written), True)
    assert ["a.png", *(Path(line["target"]).name for line in lines)] == written
    for line in lines:
        assert (line["event"], line["status"], line["model"]) == ("result", "done", "small")
        assert line["size"] == [600, 400]
        assert line["seconds"] > 0


def shell(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    command = f"{sys.executable} -m escsr upscale --model small.safetensors {line}"
    return subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell closes the streams")
@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("in/a.png <&- >&-", 0, ""),
        ("- <&-", 2, "Standard input is closed"),
        ("in/a.png -o - >&-", 2, "Standard output is closed"),
        ("in/a.png --json >&-", 2, "Standard output is closed"),
        ("in/a.png > /dev/full", 2, "No space left on device"),
        ("in/a.png --json > /dev/full", 2, "No space left on device"),
        ("in/a.png -o - > /dev/full", 2, "No space left on device"),
    ],
)
def test_streams_that_are_closed_or_full(folder: Path, line: str, code: int, message: str) -> None:
    if "/dev/full" in line and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    done = shell(folder, line)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sum("Error" in text for text in done.stderr.splitlines()) == bool(code)


def test_no_room_for_temporary_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        class buffer:  # noqa: N801 (as of a stream)
            @staticmethod
            def read(_: int) -> bytes:
                raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdin", Full)
    with pytest.raises(OutputError, match=r"TMPDIR.*No space"), piped(["-"], "a.png", None):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_whole_files_only(folder: Path, number: int) -> None:
    large = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    for name in ("a.png", "b.png", "c.png"):
        images.write(Picture(large), folder / "in" / name)
    command = [*escsr_command(), "upscale", "in", "--json", "--model", "small.safetensors"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["status"] == "done"
        process.send_signal(number)
        _, errors = process.communicate()
    assert process.returncode == 128 + number
    assert b"Traceback" not in errors
    assert not list((folder / "in_x2").glob(".*.part*"))
    for path in (folder / "in_x2").glob("[!.]*"):
        assert images.read(path).pixels.shape == (400, 600, 3)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_where_letters_are_missing(folder: Path, encoding: str) -> None:
    name = "ü \N{COLLISION SYMBOL}.png"
    (folder / "in" / "a.png").rename(folder / "in" / name)
    command = [*escsr_command(), "upscale", f"in/{name}", "--json", "--dry-run", "-m", "small.safetensors"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, cwd=folder, capture_output=True, check=True, env=environment)
    line, _ = done.stdout.decode(encoding).splitlines()
    assert json.loads(line)["source"] == f"in/{name}"
    assert ("ü" in line) == (encoding == "utf-8")


def test_names_do_not_reach_the_terminal_as_commands(folder: Path) -> None:
    name = "\x1b]0;title\x07\x9b2J\u202e.png"
    (folder / "in" / "a.png").rename(folder / "in" / name)
    for arguments in (["in"], ["in", "--json"], ["in", "--dry-run"], [f"in/{name}", "-o", "x.abc"]):
        done = call(folder, *arguments)
        shown = (done.stdout + done.stderr).decode()
        assert "\\u001b]0;title\\u0007\\u009b2J\\u202e" in shown or arguments[-1] == "x.abc"
        assert not set(shown) & set(name) & set("\x1b\x07\x9b\u202e")


def test_former_names_of_options(folder: Path) -> None:
    done = call(folder, "in/a.png", "-o", "old.png", "--maps", "float16", "--ensemble")
    assert done.returncode == 0, done.stderr
    assert call(folder, "in/a.png", "-o", "tta.png", "--maps=float16", "--tta").returncode == 0
    now = ("--feature-storage", "float16", "--self-ensemble")
    assert call(folder, "in/a.png", "-o", "new.png", *now).returncode == 0
    assert (folder / "old.png").read_bytes() == (folder / "new.png").read_bytes()
    assert (folder / "tta.png").read_bytes() == (folder / "new.png").read_bytes()
    told = subprocess.run(
        [*escsr_command(), "upscale", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert not any(word in told for word in ("--maps", "--ensemble", "--tta"))
    wrong = call(folder, "in/a.png", "--fit", "fill")
    assert wrong.returncode == 2
    assert b"'cover'" in wrong.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="SIGHUP is POSIX's")
def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    term = signal.getsignal(signal.SIGTERM)
    try:
        end_on_signals()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is not term
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.signal(signal.SIGTERM, term)
