"""What a model costs as `escsr upscale` runs it: one picture, from host memory to host memory."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from escsr.evaluation.benchmark.memory import PeakMemory, ask_own_process, peak_of
from escsr.models.bundled import find_model
from escsr.runtime.allocator import keep_freed_memory
from escsr.runtime.choices import Precision
from escsr.upscaling.opening import open_inference
from escsr.upscaling.super_resolver import SuperResolver, super_resolve

__all__ = ["Job", "measure_peak_memory", "run_once"]

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
    """Does the job in a new process and asks how much memory it took there; see `peak_of`.

    Args:
        job: The run.

    Returns:
        Bytes; None where the device does not tell.

    Raises:
        DeviceError: The process ended without an answer.
    """
    return ask_own_process("escsr.evaluation.benchmark.upscaling", asdict(job), name=job.model)


def _measure(job: Job) -> PeakMemory | None:
    """In the new process: loads, runs once on a small picture, then the job."""
    keep_freed_memory()  # as the commands do
    torch.set_num_threads(job.threads)
    device = torch.device(job.device)
    inference = open_inference(find_model(job.model), device=device, precision=job.precision).inference
    side = max(_WARM, inference.pad_multiple)
    run_once(inference, replace(job, height=side, width=side))
    return peak_of(lambda: run_once(inference, job), device)


if __name__ == "__main__":
    measured = _measure(Job(**json.loads(sys.argv[1])))
    sys.stdout.write(json.dumps(measured and asdict(measured)) + "\n")
