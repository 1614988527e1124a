"""Under which conditions a benchmark ran; every record under results/ holds this."""

from __future__ import annotations

import json
import platform
import sys
from datetime import date
from pathlib import Path
from typing import Any

import torch

import escsr

RESULTS = Path(__file__).parent.parent / "results"


def conditions() -> dict[str, Any]:
    """Device, threads, versions, date and command."""
    return {
        "date": date.today().isoformat(),
        "cpu": _cpu_name(),
        "threads": torch.get_num_threads(),
        "dtype": "float32",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "escsr": escsr.__version__,
        "command": "python " + " ".join(sys.argv),
    }


def record(name: str, values: dict[str, Any]) -> Path:
    """Writes results/NAME.json with the conditions behind the values."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**values, "conditions": conditions()}, indent=1) + "\n")
    return path


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
