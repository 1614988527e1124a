"""Commands as processes, forked from an interpreter that has imported what they need: seconds less each.

Where the start is what is tested, or streams that are closed or full, tests take `sys.executable`.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

__all__ = ["escsr_command", "python_command", "run_escsr"]

_FORKED_PYTHON = Path(__file__).with_name("forked_python.py")


def escsr_command() -> list[str]:
    """What `escsr` is for `subprocess`."""
    return [*python_command(), "-m", "escsr"]


def python_command() -> list[str]:
    """What stands for `sys.executable`, followed by `-m module` or `-c code`."""
    if not hasattr(os, "pidfd_open"):
        return [sys.executable]
    return [sys.executable, "-IS", str(_FORKED_PYTHON), _socket_of_server()]


def run_escsr(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command without an input; its streams as text."""
    return subprocess.run(
        [*escsr_command(), *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@cache
def _socket_of_server() -> str:
    folder = tempfile.TemporaryDirectory()
    socket = str(Path(folder.name) / "socket")
    server = subprocess.Popen(
        [sys.executable, str(_FORKED_PYTHON), socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )

    @atexit.register
    def end() -> None:
        server.communicate()
        folder.cleanup()

    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    return socket
