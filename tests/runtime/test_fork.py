"""Forks: one of a process that has worked is told so instead of hanging; any other works."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from samples import ROOT

PROGRAM = """
import os, sys, torch
from escsr import images
from escsr.errors import DeviceError
from escsr.streaming import run
from samples import EXAMPLES, small_network

network, lr = small_network("esc"), torch.rand(1, 3, 9, 9)

def work():
    if "read" in sys.argv:
        images.read(EXAMPLES / "city.png")
    else:
        run(network, lr, tile_size=8)

if "first" in sys.argv:
    work()
child = os.fork()
if child == 0:
    try:
        work()
        os._exit(0)
    except DeviceError as error:
        os._exit(7 if "spawn" in str(error) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(
    ("arguments", "code"), [(["first"], 7), ([], 0), (["first", "read"], 7), (["read"], 0)]
)
def test_a_fork_after_use_is_refused_in_the_child(arguments: list[str], code: int) -> None:
    path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, *arguments],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        timeout=120,
        check=False,
    )
    assert done.returncode == code
