"""A run killed at any moment goes on as if nothing had happened, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import TINY, tiny_arguments, write_pictures

from commands import escsr_command

ITERATIONS = 60
SETTINGS = [*TINY, f"iterations={ITERATIONS}", "validate_every=3"]
LAST = f"iter_{ITERATIONS:07d}.safetensors"

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there"),
    pytest.mark.usefixtures("heeded_signals"),
]


def start(data: Path, run: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "escsr", *tiny_arguments(data, run, SETTINGS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(data: Path, run: Path) -> str:
    with start(data, run) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    return out


def figures(run: Path) -> list[tuple[int, float, dict[str, float] | None]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [(line["iteration"], line["loss"], line.get("validation")) for line in lines]


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "hr")
    finish(data, tmp_path / "whole")
    run, moments, kills = tmp_path / "run", random.Random(), 0
    while not (run / LAST).exists() and kills < 3:
        with start(data, run) as process:
            assert process.stdout is not None
            process.stdout.readline()  # the first checkpoint of this start
            time.sleep(moments.uniform(0, 0.5))
            process.send_signal(signal.SIGKILL)
        kills += 1
    finish(data, run)
    whole, resumed = (load_file(folder / LAST) for folder in (tmp_path / "whole", run))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())
    assert figures(run) == figures(tmp_path / "whole")
    assert len(figures(run)) == ITERATIONS // 3 + ITERATIONS // 20 - 1
    names = {
        path.name for path in run.iterdir() if not path.name.endswith((".part.safetensors", ".part.json"))
    }
    assert {"best.safetensors", "log.jsonl", "recipe.json", "samples", LAST} <= names
    assert kills >= 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    data = write_pictures(tmp_path / "hr")
    settings = [*SETTINGS, "iterations=100000", "schedule=steps"]
    command = [*escsr_command(), *tiny_arguments(data, tmp_path / "run", settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        _, err = process.communicate()
    assert process.returncode == 130
    assert "saving a checkpoint" in err
    assert "The same command continues from" in err
    assert "Traceback" not in err
    stopped_at = err.split("iter_")[1][:7]
    assert (tmp_path / "run" / f"iter_{stopped_at}.safetensors").exists()


def test_a_terminal_that_is_closed(tmp_path: Path) -> None:
    """What is shown has nowhere to go any more, and the hang-up comes from the system and the shell."""
    run = tmp_path / "run"
    settings = [*SETTINGS, "iterations=100000", "schedule=steps"]
    arguments = tiny_arguments(write_pictures(tmp_path / "hr"), run, settings)
    ours, terminal = os.openpty()
    command = [sys.executable, "-m", "escsr", *arguments]
    streams: dict[str, Any] = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    with subprocess.Popen(command, **streams, start_new_session=True) as process:
        os.close(terminal)
        while not list(run.glob("iter_*.safetensors")):
            os.read(ours, 10_000)
        os.close(ours)
        before = max(run.glob("iter_*.safetensors"))
        process.send_signal(signal.SIGHUP)
        time.sleep(0.02)
        process.send_signal(signal.SIGHUP)
        assert process.wait(300) == 130
    last = max(run.glob("iter_*.safetensors"))
    assert last > before
    steps = [json.loads(line)["iteration"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert last.name == f"iter_{steps[-1]:07d}.safetensors"
