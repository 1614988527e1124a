"""`escsr upscale` in pipes, as JSON, in advance, and interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from escsr import images
from escsr.images import Picture
from escsr.models.checkpoints import save_network
from samples import ROOT, small_network

COMMAND = [sys.executable, "-m", "escsr", "upscale"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.png"):
        images.write(Picture(random.integers(0, 256, (20, 30, 3), dtype=np.uint8)), tmp_path / "in" / name)
    save_network(small_network("esc"), tmp_path / "small.safetensors")
    return tmp_path


def call(folder: Path, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [*COMMAND, *arguments, "--model", "small.safetensors"]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, check=False)


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
    assert b"not a readable picture" in broken.stderr
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
    done = call(folder, "in", "-v")
    assert "2 upscaled, 1 failed; " in done.stderr.decode()
    assert "on cpu" in done.stdout.decode() or "on cuda" in done.stdout.decode()
    again = call(folder, "in", "--skip-existing")
    assert again.stdout.decode().count("is done already") == 2
    assert "2 done already, 1 failed; " in again.stderr.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.parametrize("interrupts", [1, 2])
def test_control_c(folder: Path, interrupts: int) -> None:
    large = np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8)
    for name in ("a.png", "b.png", "c.png"):
        images.write(Picture(large), folder / "in" / name)
    command = [*COMMAND, "in", "--json", "--model", "small.safetensors"]
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
        assert images.read(folder / "in_x2" / name).pixels.shape == (1200, 1600, 3)
    assert not list((folder / "in_x2").glob(".*.part*"))
