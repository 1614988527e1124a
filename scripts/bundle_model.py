"""Turns a checkpoint into a bundled model: half-precision weights, a record of its figures, a card.

    python scripts/bundle_model.py runs/NAME/best.safetensors esc-light-x2 --data TEST_SETS \
        --recipe esc-light-x2-quick --iterations 11000 --hardware "..." --time "..." --trained-on "..."

TEST_SETS holds Set5/HR, Set14/HR and B100/HR.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from datetime import date
from pathlib import Path
from typing import Any

import torch

import escsr
import model_tables
from escsr.allocator import keep_freed_memory
from escsr.networks import variant_name

PAPER: dict[str, dict[str, list[float]]] = {
    "esc-light-x2": {"Set5": [38.24, 0.9615], "Set14": [33.98, 0.9211], "B100": [32.35, 0.9020]},
    "esc-light-x3": {"Set5": [34.61, 0.9295], "Set14": [30.52, 0.8475], "B100": [29.26, 0.8102]},
    "esc-light-x4": {"Set5": [32.52, 0.8995], "Set14": [28.87, 0.7878], "B100": [27.72, 0.7423]},
}
LICENCE = "MIT"


def main() -> None:
    """Writes weights, record, card and README's table."""
    options = _options()
    keep_freed_memory()
    network = escsr.load_network(options.checkpoint)
    path = model_tables.CARDS / f"{options.name}.safetensors"
    note = f"recipe {options.recipe}, {options.iterations} iterations, {options.trained_on}"
    escsr.save_network(network, path, training=note, licence=LICENCE, half=True)
    bundled = escsr.load_network(path)
    scale = bundled.config.scale
    record: dict[str, Any] = {
        "model": options.name,
        "variant": variant_name(bundled.config),
        "scale": scale,
        "parameters": sum(parameter.numel() for parameter in bundled.parameters()),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "licence": LICENCE,
        "sets": {name: _measure(path, options.data / name / "HR", name) for name in model_tables.SETS},
        "training": {
            "summary": options.summary,
            "recipe": options.recipe,
            "iterations": options.iterations,
            "hardware": options.hardware,
            "time": options.time,
            "data": options.trained_on,
            "learning_curve": _learning_curve(options.log),
        },
        "conditions": {
            "protocol": "classic",
            "date": date.today().isoformat(),
            "device": f"CPU ({platform.machine()}, {torch.get_num_threads()} threads)",
            "dtype": "float32",
            "torch": torch.__version__,
            "escsr": escsr.__version__,
            "command": f"escsr evaluate --model {options.name} --data SET/HR --scale {scale}",
        },
    }
    model_tables.RECORDS.mkdir(parents=True, exist_ok=True)
    (model_tables.RECORDS / f"{options.name}.json").write_text(json.dumps(record, indent=1) + "\n")
    model_tables.main()
    print(json.dumps(record["sets"], indent=1))


def _measure(model: Path, folder: Path, name: str) -> dict[str, Any]:
    ours = escsr.evaluate(model, folder, device="cpu")
    bicubic = escsr.evaluate("bicubic", folder, scale=ours.scale)
    lost = [
        score.name
        for score, base in zip(ours.scores, bicubic.scores, strict=True)
        if score.psnr_y <= base.psnr_y
    ]
    return {
        "model": [ours.psnr_y, ours.ssim_y],
        "bicubic": [bicubic.psnr_y, bicubic.ssim_y],
        "paper": PAPER.get(model.stem, {}).get(name),
        "not_above_bicubic": lost,
    }


def _learning_curve(log: Path | None) -> list[dict[str, Any]]:
    """Iteration and Y-PSNR by set, dB, at each validation of the run."""
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log else []
    return [{"iteration": x["iteration"], **x["validation"]} for x in lines if "validation" in x]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("name")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--summary", required=True)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--iterations", type=int, required=True)
    parser.add_argument("--hardware", required=True)
    parser.add_argument("--time", required=True)
    parser.add_argument("--trained-on", required=True)
    parser.add_argument("--log", type=Path, help="log.jsonl of the run, for its learning curve")
    return parser.parse_args()


if __name__ == "__main__":
    main()
