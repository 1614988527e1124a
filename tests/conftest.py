"""What all tests share: the folder of reference data where it exists, a seed, settings of hypothesis."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
import typer.main
from hypothesis import HealthCheck, settings

from escsr.models.saving import save_network
from samples import ROOT, nearest_network

SHARED = ROOT.parent / "shared"

# Tests run in several processes (-n), which share the cores, as do the commands that they start.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    threads = max(1, (os.cpu_count() or 1) // workers)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(threads)

# The parser of all options takes a tenth of a second to be made of the functions; tests share it.
typer.main.get_command = cache(typer.main.get_command)

settings.register_profile(
    "escsr", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.load_profile("escsr")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def heeded_signals() -> Iterator[None]:
    """A test, and commands that it starts, obey signals that the tests were started to ignore (nohup)."""
    ignored = [n for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN]
    ignored = [n for n in ignored if n in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None))]
    for number in ignored:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(scope="session")
def nearest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of ×2 that repeats every pixel, so that tests of what is around it take no time."""
    path = tmp_path_factory.mktemp("models") / "nearest.safetensors"
    save_network(nearest_network(), path)
    return path


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference vectors and test sets; tests that need it are skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("needs the reference data, which is not part of the repository")
    return SHARED
