"""A folder as people have them, through the command: what is whole comes out, what is broken is told."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from commands import run_escsr
from escsr import images
from escsr.models.saving import save_network
from samples import BROKEN, mixed_folder, nearest_network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    mixed_folder(tmp_path / "in")
    (tmp_path / "in" / "notes.txt").write_text("no picture by its name")
    (tmp_path / "in" / "round").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "nowhere.png").symlink_to(tmp_path / "missing.png")
    save_network(nearest_network(), tmp_path / "nearest.safetensors")
    return tmp_path


@pytest.fixture
def upscaled(folder: Path) -> Path:
    """The same after a first run."""
    call(folder)
    return folder


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    how = ("--skip-existing", "--model", "nearest.safetensors", "--device", "cpu")
    return run_escsr("upscale", "in", *arguments, *how, cwd=folder)


def state(folder: Path) -> dict[Path, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_first_run(folder: Path) -> None:
    before = state(folder / "in")
    done = call(folder)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    results = images.find_images(folder / "in_x2")
    assert len(results) == 25
    for path in results:
        old, new = (
            images.read_header(root / path.relative_to(folder / "in_x2"))
            for root in (folder / "in", folder / "in_x2")
        )
        assert (new.width, new.height, new.frames) == (2 * old.width, 2 * old.height, old.frames)
        assert new.format == old.format
    lines = done.stdout.splitlines()
    assert len(lines) == 25
    assert all(line.startswith("in_x2/") and "×" in line for line in lines)
    told, summary = done.stderr.split("25 upscaled, 5 failed; ")
    assert told.count("Error: ") == told.count("\n") == 5
    assert summary.count("not a readable picture") == 5, "once more, all together, at the end"
    assert all(f"in/1/{name}: " in told and f"  in/1/{name}: " in summary for name in BROKEN)
    assert state(folder / "in") == before


def test_second_run_does_nothing(upscaled: Path) -> None:
    before = state(upscaled)
    again = call(upscaled)
    assert again.returncode == 1
    assert again.stdout.count("skipped, done before") == len(again.stdout.splitlines()) == 25
    assert "25 done before, 5 failed; " in again.stderr
    assert state(upscaled) == before


def test_for_programs(upscaled: Path) -> None:
    (upscaled / "in_x2" / "0" / "picture 00.png").unlink()
    done = call(upscaled, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    *lines, end = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["source"] for line in lines if line["status"] == "failed"} == {
        f"in/1/{name}" for name in BROKEN
    }
    assert all(bool(line["error"]) == (line["status"] == "failed") for line in lines)
    assert (end["event"], end["done"], end["skipped"], end["failed"]) == ("end", 1, 24, 5)


def test_when_the_broken_ones_are_gone(upscaled: Path) -> None:
    for name in BROKEN:
        (upscaled / "in" / "1" / name).unlink()
    done = call(upscaled)
    assert (done.returncode, done.stderr.count("\n")) == (0, 3), done.stderr
    assert "Skipped 1 file that is not a picture: 1 .txt.\n" in done.stderr
    assert done.stderr.endswith(
        "Skipped 1 link to a folder; give the folder itself to upscale what is there.\n"
    )
