"""Peak memory of a run: of the device where it tells, else of a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from escsr.errors import DeviceError
from escsr.runtime.allocator import return_freed_memory

__all__ = ["PeakMemory", "allocated_on", "ask_own_process", "peak_of"]


@dataclass(frozen=True)
class PeakMemory:
    """Memory of a run.

    Attributes:
        loaded: Bytes before the run, with the model loaded and used once.
        peak: Bytes at the peak of the run.
    """

    loaded: int
    peak: int

    @property
    def run(self) -> int:
        """Bytes that the run itself took."""
        return max(0, self.peak - self.loaded)


def peak_of(run: Callable[[], object], device: torch.device) -> PeakMemory | None:
    """Peak memory while a function runs.

    On CUDA and XPU what PyTorch has allocated on the device. On a CPU the resident memory of the process,
    read from its peak mark, which is right only in a process that has not held more before.

    Args:
        run: What is run, once.
        device: Where it computes.

    Returns:
        Bytes; None where the device does not tell.
    """
    if device.type in ("cuda", "xpu"):
        backend: Any = getattr(torch, device.type)
        loaded = backend.memory_allocated(device)
        backend.reset_peak_memory_stats(device)
        run()
        backend.synchronize(device)
        return PeakMemory(loaded, backend.max_memory_allocated(device))
    if device.type != "cpu":
        return None
    return_freed_memory()
    loaded = psutil.Process().memory_info().rss
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # lets Linux forget the peak of the resident memory
    run()
    peak = _peak_of_process()
    return None if peak is None else PeakMemory(loaded, peak)


def allocated_on(device: torch.device) -> int:
    """Bytes that PyTorch has allocated on a device; 0 where it does not count them."""
    return getattr(torch, device.type).memory_allocated(device) if device.type in ("cuda", "xpu") else 0


def ask_own_process(module: str, job: Mapping[str, object], *, name: str) -> PeakMemory | None:
    """Has a module measure a job in a new process, which has held nothing before.

    Args:
        module: Run as `python -m MODULE JSON`; prints the answer of `peak_of` by `tell`.
        job: What it is to run.
        name: What an error calls it.

    Returns:
        Bytes; None where the device does not tell.

    Raises:
        DeviceError: The process ended without an answer.
    """
    command = [sys.executable, "-m", module, json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise DeviceError(f"Measuring the memory of {name} failed ({done.returncode}): {last}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return None if answer is None else PeakMemory(**answer)


def _peak_of_process() -> int | None:
    """Largest resident memory of this process so far, bytes.

    Not `ru_maxrss` on Linux: a new process inherits its parent's there.
    """
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
