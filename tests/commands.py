"""Commands as processes, forked from one that has imported what they need: seconds less each.

Where the start is what is tested, the encoding of the streams, or an interrupt, tests take `subprocess`.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

__all__ = ["ESCSR", "run_escsr", "run_escsr_bytes"]

ESCSR = [sys.executable, "-m", "escsr"]
"""The command, for `subprocess`."""

_SERVER = """
import json, os, runpy, sys
import numpy, torch, pydantic, pyvips, rich.console, rich.progress, rich.table, safetensors.torch, typer
import escsr.batch, escsr.cli.commands, escsr.evaluation

for line in sys.stdin.buffer:
    request = json.loads(line)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    for number, name in enumerate(request["streams"]):
        os.dup2(os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY), number)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["escsr", *request["arguments"]]
    sys.path[0] = ""
    runpy.run_module("escsr", run_name="__main__", alter_sys=True)
    sys.exit()
"""


def run_escsr(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command without an input; its streams as text."""
    done = run_escsr_bytes(*arguments, cwd=cwd)
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def run_escsr_bytes(
    *arguments: str, cwd: Path | None = None, stdin: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Runs the command; its streams are files."""
    if not hasattr(os, "fork"):
        return subprocess.run([*ESCSR, *arguments], cwd=cwd, input=stdin, capture_output=True, check=False)
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("stdin", "stdout", "stderr")]
        for stream in streams:
            stream.write_bytes(b"")
        streams[0].write_bytes(stdin or b"")
        request = {
            "arguments": arguments,
            "cwd": str(cwd or Path.cwd()),
            "environment": dict(os.environ),
            "streams": [str(stream) for stream in streams],
        }
        code = _ask(request)
        return subprocess.CompletedProcess(
            [*ESCSR, *arguments], code, streams[1].read_bytes(), streams[2].read_bytes()
        )


def _ask(request: Mapping[str, object]) -> int:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(request).encode() + b"\n")
    server.stdin.flush()
    return int(server.stdout.readline())


@cache
def _server() -> subprocess.Popen[bytes]:
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    atexit.register(server.kill)
    return server
