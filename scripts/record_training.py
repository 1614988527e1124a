"""Writes results/training/NAME.json: the course of a training, from its folder.

    python scripts/record_training.py runs/NAME esc-fp-x2 --about "..." --hardware "..." --data "..."

Then `python scripts/draw_learning_curves.py` draws it. The time is the steps at their median speed: what
a machine did beside is not part of it.
"""

from __future__ import annotations

import argparse
import json
import statistics
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from escsr.training.config import TrainingConfig, flat
from escsr.training.recipes import RECIPES, recipe

TARGET = Path(__file__).resolve().parent.parent / "results" / "training"


def main() -> None:
    """Writes one record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--about", required=True, help="one sentence")
    parser.add_argument("--hardware", required=True)
    parser.add_argument("--data", required=True)
    options = parser.parse_args()
    values = json.loads((options.run / "recipe.json").read_text())
    values.pop("data", None)
    log = options.run / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    path = TARGET / f"{options.name}.json"
    record = {
        "name": options.name,
        "about": options.about,
        **_recipe(TrainingConfig.from_dict(values)),
        **_speed(lines),
        "hardware": options.hardware,
        "data": options.data,
        "validation": "protocol classic, averaged weights, float32",
        "date": datetime.fromtimestamp(log.stat().st_mtime, timezone.utc).date().isoformat(),
        "points": [
            {
                "iteration": x["iteration"],
                **{name: round(psnr, 4) for name, psnr in x["validation"].items()},
            }
            for x in lines
            if "validation" in x
        ],
    }
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(path)


def _recipe(config: TrainingConfig) -> dict[str, Any]:
    """The recipe's name, and what was set otherwise."""
    own = flat(recipe(config.name).to_dict()) if config.name in RECIPES else {}
    values = flat(config.to_dict()).items()
    settings = [f"{key}={json.dumps(value)}" for key, value in values if own.get(key, value) != value]
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
