"""What errors of the system become, where no part of escsr has told of them."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

from escsr.cli import commands
from escsr.cli.console import ERR, ExitCode


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PermissionError(13, "Permission denied", "/photos/a.jpg"), "/photos/a.jpg: Permission denied."),
        (OSError(28, "No space left on device"), "Cannot write the output: No space left on device."),
    ],
)
def test_an_error_of_a_file_may_be_of_reading(
    error: OSError, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing() -> None:
        raise error

    printed: list[str] = []
    monkeypatch.setattr(commands, "app", failing)
    for name in ("prepare_streams", "end_on_signals", "import_numpy_before_torch", "drop_output"):
        monkeypatch.setattr(commands, name, lambda: None)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(ERR, "print", printed.append)
    with pytest.raises(SystemExit) as ended:
        commands.run()
    assert printed == [f"[red]Error:[/] {told}"]
    assert ended.value.code == ExitCode.USAGE


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_closed_stderr_does_not_silence_stdout() -> None:
    code = (
        "from escsr.cli.console import *\n"
        "with unless_closed():\n    ERR.print('lost')\n"
        "with unless_closed():\n    ERR.print('lost')\n"
        "with unless_closed():\n    OUT.print('shown')\n"
    )
    reading, closed = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=closed, check=False)
    os.close(closed)
    assert (done.returncode, done.stdout) == (0, b"shown\n")
