"""Forks: one of a process that has worked is told so instead of hanging; any other works."""

from __future__ import annotations

import os
import subprocess

import pytest

from commands import python_command
from samples import ROOT

PROGRAM = """
import os, sys, torch
from escsr import images
from escsr.errors import DeviceError
from escsr.streaming import run
from escsr.models.checkpoints import Checkpoint, network_of
from escsr.upscaling.inference import Inference
from samples import EXAMPLES, small_network

network, lr = small_network("esc"), torch.rand(1, 3, 9, 9)
checkpoint = Checkpoint(network.config, network.state_dict())

def work(what):
    if what == "read":
        images.read(EXAMPLES / "city.png")
    elif what == "load":
        network_of(checkpoint, name="network")
    elif what == "take":
        Inference(network)
    elif what == "run":
        run(network, lr, tile_size=8)

before, inside, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
work(before)
child = os.fork()
if child == 0:
    try:
        work(inside)
        os._exit(0)
    except DeviceError as error:
        os._exit(7 if "spawn" in str(error) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(
    ("before", "inside", "threads", "code"),
    [
        *[("run", "run", 1, 7), ("", "run", 1, 0), ("read", "read", 1, 7), ("", "read", 1, 0)],
        *[("run", "load", 2, 7), ("load", "run", 2, 7), ("take", "take", 2, 7), ("", "load", 2, 0)],
        *[("load", "run", 1, 0), ("load", "read", 2, 0)],
    ],
)
def test_a_fork_after_use_is_refused_in_the_child(
    before: str, inside: str, threads: int, code: int
) -> None:
    path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*python_command(), "-c", PROGRAM, before, inside, f"{threads}"],
        env={**os.environ, "PYTHONPATH": path},
        timeout=120,
        check=False,
    )
    assert done.returncode == code
