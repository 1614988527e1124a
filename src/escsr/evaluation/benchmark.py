"""What a model costs on this device: seconds, in turn with other models, and peak memory of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from timeit import timeit
from typing import Any

import psutil
import torch
from torch import Tensor

from escsr.errors import DeviceError
from escsr.models.bundled import find_model
from escsr.runtime.allocator import keep_freed_memory
from escsr.runtime.choices import Precision
from escsr.upscaling.opening import open_inference
from escsr.upscaling.super_resolver import SuperResolver, super_resolve

__all__ = ["Job", "PeakMemory", "measure_peak_memory", "run_once", "time_in_turn"]

_WARM = 16
"""Side of the picture that a model is used on once before it is measured, LR pixels."""


@dataclass(frozen=True)
class Job:
    """A run to measure: one picture through one model.

    Attributes:
        model: Bundled name or file of weights.
        height: LR rows.
        width: LR columns.
        scale: For models of any scale; None for a model with its own.
        device: Name of the device.
        precision: See `Precision`.
        threads: Of the CPU.
    """

    model: str
    height: int
    width: int
    scale: float | None
    device: str
    precision: Precision
    threads: int


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


def time_in_turn(runs: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Times several functions in turn, so that a change of the machine's speed meets all of them.

    Each runs once unmeasured; then all run in every round, forwards and backwards by turns.

    Args:
        runs: Functions by name; each returns only when its work is done.
        rounds: Measured runs of each, at least 1.

    Returns:
        Seconds of each run, by name.
    """
    for function in runs.values():
        function()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(rounds):
        for name in list(runs)[:: 1 if index % 2 == 0 else -1]:
            seconds[name].append(timeit(runs[name], number=1))
    return seconds


def run_once(model: SuperResolver, job: Job) -> Tensor:
    """Does the job on noise, from host memory to host memory; the content does not change the cost.

    Args:
        model: The job's, loaded.
        job: Its size and scale.

    Returns:
        (1, 3, rH, rW).
    """
    lr = torch.rand(1, 3, job.height, job.width, generator=torch.Generator().manual_seed(0))
    scale = model.scale or job.scale or 1
    return super_resolve(model, lr, (round(scale * job.height), round(scale * job.width)))


def measure_peak_memory(job: Job) -> PeakMemory | None:
    """Does the job in a new process and asks how much memory it took there.

    On a CPU that is the resident memory of the process, read from its peak mark; on CUDA and XPU what
    PyTorch has allocated on the device.

    Args:
        job: The run.

    Returns:
        Bytes; None where the device does not tell.

    Raises:
        DeviceError: The process ended without an answer.
    """
    command = [sys.executable, "-m", "escsr.evaluation.benchmark", json.dumps(asdict(job))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise DeviceError(f"Measuring the memory of {job.model} failed ({done.returncode}): {last}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return None if answer is None else PeakMemory(**answer)


def _measure(job: Job) -> dict[str, int] | None:
    """In the new process: loads, runs once on a small picture, then the job."""
    keep_freed_memory()  # as the commands do
    torch.set_num_threads(job.threads)
    device = torch.device(job.device)
    inference = open_inference(find_model(job.model), device=device, precision=job.precision).inference
    side = max(_WARM, inference.pad_multiple)
    run_once(inference, replace(job, height=side, width=side))
    kind = torch.device(job.device).type
    if kind in ("cuda", "xpu"):
        backend: Any = getattr(torch, kind)
        loaded = backend.memory_allocated()
        backend.reset_peak_memory_stats()
        run_once(inference, job)
        return {"loaded": loaded, "peak": backend.max_memory_allocated()}
    if kind != "cpu":
        return None
    loaded = psutil.Process().memory_info().rss
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # lets Linux forget the peak of the resident memory
    run_once(inference, job)
    peak = _peak_of_process()
    return None if peak is None else {"loaded": loaded, "peak": peak}


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


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(Job(**json.loads(sys.argv[1])))) + "\n")
