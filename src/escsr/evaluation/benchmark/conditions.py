"""Under which conditions a benchmark ran: what its record says, and what is printed."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from escsr._version import __version__
from escsr.errors import ConfigError
from escsr.runtime.devices import device_name
from escsr.upscaling.target_size import TargetSize

__all__ = ["HD", "Effort", "choose_effort", "describe_device"]

HD = (720, 1280)
"""Rows and columns of the paper's output."""

_CPU_SIZE = (360, 640)
_CPU_ROUNDS = (1, 3)
_PAPER_ROUNDS = (100, 100)


@dataclass(frozen=True)
class Effort:
    """How much is run.

    Attributes:
        sr_size: Rows and columns of the output that is timed.
        macs_size: Rows and columns of the output that products are counted for.
        warm_up: Runs before.
        runs: Timed runs.
        note: What is less than the paper's, in words; "" where nothing is.
    """

    sr_size: tuple[int, int]
    macs_size: tuple[int, int]
    warm_up: int
    runs: int
    note: str


def choose_effort(
    device: torch.device, *, size: str | None, warm_up: int | None, runs: int | None
) -> Effort:
    """The paper's 100 + 100 runs for an output of 1280×720 on a GPU; less on a CPU, unless asked for.

    Args:
        device: What computes.
        size: Of the output, WIDTHxHEIGHT.
        warm_up: Runs before.
        runs: Timed runs.

    Returns:
        What is run.

    Raises:
        ConfigError: A number is impossible.
    """
    target = TargetSize.choose(size=size, fit="exact")
    on_cpu = device.type == "cpu"
    asked = None if target is None else target.upscaled(1, 1)
    sr_size = asked or (_CPU_SIZE if on_cpu else HD)
    usual = _CPU_ROUNDS if on_cpu else _PAPER_ROUNDS
    warm_up, runs = (
        each if given is None else given for given, each in zip((warm_up, runs), usual, strict=True)
    )
    for name, value in (("warm_up", warm_up), ("runs", runs)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, not {value}.")
    less = []
    if sr_size != HD:
        less.append(f"an output of {sr_size[1]}×{sr_size[0]} is timed, not of 1280×720")
    if (warm_up, runs) != _PAPER_ROUNDS:
        less.append(f"{warm_up} + {runs} runs, not 100 + 100")
    note = f"Other than the paper's protocol: {'; '.join(less)}." if less else ""
    return Effort(sr_size, asked or HD, warm_up, runs, note)


def describe_device(device: torch.device) -> dict[str, Any]:
    """Device, threads, load, versions, and PyTorch's own switches of precision.

    Args:
        device: What computes.

    Returns:
        By name, for a record.
    """
    cudnn: Any = torch.backends.cudnn
    told: dict[str, Any] = {
        "date": date.today().isoformat(),
        "device": device.type,
        "device_name": device_name(device),
        "threads": torch.get_num_threads(),
        "load_average": _load(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": cudnn.version() if torch.version.cuda else None,
        "triton": _version("triton"),
        "python": platform.python_version(),
        "escsr": __version__,
        "cudnn_benchmark": cudnn.benchmark if torch.version.cuda else None,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cuda_matmul_fp32_precision": getattr(torch.backends.cuda.matmul, "fp32_precision", None),
    }
    return {name: value for name, value in told.items() if value is not None}


def _load() -> float | None:
    """What other programs take of the processor as the run begins, cores; None where it is not told."""
    with suppress(OSError, AttributeError):
        return round(os.getloadavg()[0], 1)
    return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
