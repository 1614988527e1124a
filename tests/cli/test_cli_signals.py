"""Signals at moments when they are easily lost, or end as a traceback: while the command starts."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from escsr import images
from escsr.images import Picture
from samples import flowers

SIGNALLED = """
import importlib.abc, signal, sys

wanted, number, *sys.argv[1:] = sys.argv[1:]

class AtImport(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            sys.meta_path.remove(self)
            signal.raise_signal(int(number))

sys.meta_path.insert(0, AtImport())
from escsr import cli
cli.main()
"""
"""The command, to which a signal comes as it imports something."""


def signalled(folder: Path, name: str, number: int) -> subprocess.CompletedProcess[str]:
    images.write(Picture(flowers()[:16, :24]), folder / "a.png")
    command = [sys.executable, "-c", SIGNALLED, name, str(int(number)), "a.png", "-m", "esc-light-x2"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_while_pytorch_is_imported_are_not_lost(tmp_path: Path, number: int, code: int) -> None:
    done = signalled(tmp_path, "numpy", number)  # which PyTorch would import from C
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("name", ["typer", "escsr.cli.video"])
def test_control_c_while_the_command_is_imported(tmp_path: Path, name: str) -> None:
    done = signalled(tmp_path, name, signal.SIGINT)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
