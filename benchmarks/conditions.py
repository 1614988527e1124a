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
from escsr.runtime.devices import device_name

RESULTS = Path(__file__).parent.parent / "results"


def conditions() -> dict[str, Any]:
    """Device, threads, versions, date and command."""
    return {
        "date": date.today().isoformat(),
        "cpu": device_name(torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "dtype": "float32",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "escsr": escsr.__version__,
        "command": f"python benchmarks/{Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}".rstrip(),
    }


def record(name: str, values: dict[str, Any]) -> Path:
    """Writes results/NAME.json with the conditions behind the values."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**values, "conditions": conditions()}, indent=1) + "\n")
    return path
