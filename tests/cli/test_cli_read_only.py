"""Results that are there and read-only: refused in one line, before any work for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from escsr import images
from escsr.errors import OutputError
from escsr.files import check_writable
from escsr.images import Picture
from escsr.models.saving import save_network
from samples import nearest_network

REFUSED = "is there and read-only; make it writable, or choose another name."

POWERLESS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
"""What makes root one whom permissions concern."""

UPSCALE_FILE = """
import sys
from escsr.upscaling.upscaler import Upscaler
def work(*_, **__):
    raise SystemExit("the work has begun")
Upscaler.upscale_picture = work
Upscaler("nearest.safetensors", device="cpu").upscale_file("in/a.png", sys.argv[1])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("in/a.png", "in/b.png", "out/a.png"):
        images.write(Picture(np.full((6, 7, 3), 9, np.uint8)), tmp_path / name)
    save_network(nearest_network(), tmp_path / "nearest.safetensors")
    (tmp_path / "out" / "a.png").chmod(0o444)
    return tmp_path


def call(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    if os.geteuid() == 0:
        if shutil.which(POWERLESS[0]) is None:
            pytest.skip("root may write everything")
        command = (*POWERLESS, *command)
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def upscale(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "escsr", "upscale", *arguments, "--model", "nearest.safetensors"]
    return call(folder, *command)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX's")
def test_one_picture_and_a_folder(folder: Path) -> None:
    before = (folder / "out" / "a.png").read_bytes()
    for arguments in (["in/a.png", "-o", "out/a.png"], ["in/a.png", "-o", "out/a.png", "--dry-run"]):
        done = upscale(folder, *arguments)
        assert done.returncode == 1
        assert done.stderr.splitlines()[0].endswith(f"out/a.png: it {REFUSED}")
        assert "Traceback" not in done.stderr
    done = upscale(folder, "in", "-o", "out")
    assert done.returncode == 1
    assert [REFUSED in line for line in done.stderr.splitlines()] == [True, False]
    assert images.read_size(folder / "out" / "b.png") == (14, 12), "one failed picture, and no more"
    assert (folder / "out" / "a.png").read_bytes() == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX's")
def test_what_was_done_before_may_be_read_only(folder: Path) -> None:
    (folder / "out" / "a.png").chmod(0o644)
    assert upscale(folder, "in", "-o", "out", "--skip-existing").returncode == 0
    for name in ("a.png", "b.png"):
        (folder / "out" / name).chmod(0o444)
    done = upscale(folder, "in", "-o", "out", "--skip-existing")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX's")
def test_the_function_refuses_before_the_work(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o500)
    for target, words in (("out/a.png", REFUSED), ("closed/a.png", "no permission for")):
        done = call(folder, sys.executable, "-c", UPSCALE_FILE, target)
        assert "the work has begun" not in done.stderr
        assert words in done.stderr


def test_what_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("file", "new", "deep/er/new"):
        check_writable(tmp_path / name)
    with pytest.raises(OutputError, match="File name too long"):
        check_writable(tmp_path / ("x" * 300))
    with pytest.raises(OutputError, match="is a file"):
        check_writable(tmp_path / "file" / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
