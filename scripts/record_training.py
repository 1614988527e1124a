"""Writes results/training/NAME.json: the course of a training, from its folder.

    python scripts/record_training.py esc-fp-x2 runs/NAME --about "..." --hardware "..." --data "..."

Of several folders, the runs followed each other: their steps and minutes count on, and with --continued on
from those of the record that is there. Where a log has no validation, the checkpoints that are left are
measured now, if --test-data names a folder with Set5/HR and Set14/HR. Then `python
scripts/draw_learning_curves.py` draws it. The time is the steps at their median speed: what a machine did
beside is not part of it.
"""

from __future__ import annotations

import argparse
import json
import statistics
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import escsr
from escsr.models.bundled import run_checkpoints
from escsr.training.config import TrainingConfig, flat
from escsr.training.recipes import RECIPES, recipe

TARGET = Path(__file__).resolve().parent.parent / "results" / "training"


def main() -> None:
    """Writes one record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name")
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--about", required=True, help="one sentence")
    parser.add_argument("--hardware", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--test-data", type=Path)
    parser.add_argument("--continued", action="store_true", help="the runs follow those of the record")
    options = parser.parse_args()
    courses = [_course(run, options.test_data) for run in options.runs]
    path = TARGET / f"{options.name}.json"
    if options.continued:
        record = json.loads(path.read_text())
        later = courses
    else:
        record, later = {"name": options.name, "about": options.about} | courses[0], courses[1:]
    for course in later:
        record.setdefault("then", []).append(course["settings"])
        record["points"] += [
            point | {"iteration": record["iterations"] + point["iteration"]} for point in course["points"]
        ]
        record["iterations"] += course["iterations"]
        record["minutes"] += course["minutes"]
    record |= {
        "name": options.name,
        "about": options.about,
        "hardware": options.hardware,
        "data": options.data,
        "validation": "protocol classic, averaged weights, float32",
        "date": _date_of(_log(options.runs[-1])),
    }
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(path)


def _log(run: Path) -> Path:
    return run / "log.jsonl"


def _date_of(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).date().isoformat()


def _course(run: Path, test_data: Path | None) -> dict[str, Any]:
    """What one run was, and its points."""
    values = json.loads((run / "recipe.json").read_text())
    values.pop("data", None)
    config = TrainingConfig.from_dict(values)
    lines = [json.loads(line) for line in _log(run).read_text().splitlines()]
    figures = {x["iteration"]: x["validation"] for x in lines if "validation" in x}
    if not figures and test_data is not None:
        figures = {int(path.stem[-7:]): _measure(path, test_data) for path in run_checkpoints(run)}
    points = [
        {"iteration": iteration, **{name: round(psnr, 4) for name, psnr in psnrs.items()}}
        for iteration, psnrs in figures.items()
    ]
    return _recipe(config) | _speed(lines) | {"points": points}


def _measure(checkpoint: Path, test_data: Path) -> dict[str, float]:
    """Y-PSNR of a checkpoint's averaged weights on the sets, dB."""
    network = escsr.load_network(checkpoint)
    folders = {name: test_data / name / "HR" for name in ("Set5", "Set14")}
    return {name: escsr.evaluate(network, folder, device="cpu").psnr_y for name, folder in folders.items()}


def _recipe(config: TrainingConfig) -> dict[str, Any]:
    """The recipe's name, and what was set otherwise."""
    own = flat(recipe(config.name).to_dict()) if config.name in RECIPES else {}
    values = flat(config.to_dict())
    values.pop("start")  # its own field
    settings = [
        f"{key}={json.dumps(value)}" for key, value in values.items() if own.get(key, value) != value
    ]
    return {
        "recipe": config.name,
        "settings": settings,
        "started_from": config.start,
        "scale": config.network.scale,
        "iterations": config.iterations,
    }


def _speed(lines: list[dict[str, Any]]) -> dict[str, Any]:
    speed = statistics.median(x["iterations_per_second"] for x in lines if "iterations_per_second" in x)
    return {
        "minutes": round(lines[-1]["iteration"] / speed / 60),
        "minutes_known": "by the median speed of its log",
        "iterations_per_second_median": round(speed, 3),
    }


if __name__ == "__main__":
    main()
