"""Turns a checkpoint into a bundled model: half-precision weights, their figures as JSON, a card.

    python scripts/bundle_model.py runs/NAME/best.safetensors esc-light-x2 --data TEST_SETS \
        --summary "..." --recipe esc-light-x2-quick --iterations 11000 --hardware "..." \
        --time "..." --trained-on "..."

TEST_SETS holds Set5/HR, Set14/HR and B100/HR. With --card-only the weights of a bundled model and its
figures on the sets stay as they are; what they say of its training is changed by the options given, its
stability is measured anew, and its card is written:

    python scripts/bundle_model.py --card-only src/escsr/models/weights/esc-light-x3.safetensors \
        esc-light-x3 --started-from esc-light-x2

Pages that show what a model makes follow by hand: `scripts/make_gallery.py`, and for esc-light-x2
`scripts/run_notebooks.py docs/study.ipynb`.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import torch

import escsr
import model_tables
from escsr.evaluation.comparison import CARD_FORMAT
from escsr.evaluation.cost import count_parameters
from escsr.evaluation.stability import measure_stability
from escsr.files import sha256_of
from escsr.models.checkpoints import DEGRADATION, read_checkpoint
from escsr.networks import ESC, variant_name
from escsr.runtime.allocator import keep_freed_memory

PAPER: dict[str, tuple[tuple[float, ...], ...]] = {
    "esc-light-x2": ((38.24, 0.9615), (33.98, 0.9211), (32.35, 0.9020)),
    "esc-light-x3": ((34.61, 0.9295), (30.52, 0.8475), (29.26, 0.8102)),
    "esc-light-x4": ((32.52, 0.8995), (28.87, 0.7878), (27.72, 0.7423)),
    "esc-fp-x2": ((38.27, 0.9617), (34.09, 0.9219), (32.37, 0.9022)),
    "esc-fp-x3": ((34.72, 0.9300), (30.67, 0.8483), (29.30, 0.8107)),
    "esc-fp-x4": ((32.56,), (28.87, 0.7889), (27.75, 0.7435)),
    "esc-x2": ((38.35, 0.9619), (34.11, 0.9223), (32.41, 0.9027)),
    "esc-x3": ((34.84, 0.9308), (30.74, 0.8493), (29.34, 0.8118)),
    "esc-x4": ((32.68, 0.9011), (28.93, 0.7902), (27.80, 0.7447)),
}
"""Y-PSNR (dB) and SSIM on `model_tables.SETS`: ESC, ICCV 2025, Table 2, trained on DIV2K."""

ANY_SCALE_PAPER: dict[str, dict[float, float]] = {
    "Set5": {2: 38.29, 3: 34.79, 4: 32.72, 6: 29.18, 8: 27.24},
    "Set14": {2: 34.05, 3: 30.69, 4: 28.94, 6: 26.70, 8: 25.24},
    "B100": {2: 32.38, 3: 29.32, 4: 27.77, 6: 26.00, 8: 24.96},
}
"""Y-PSNR (dB) of ESC+LTE: ESC, ICCV 2025, Table 6."""

ANY_SCALES = {"Set5": (1.5, 2, 3, 4, 6, 8), "Set14": (2, 3, 4), "B100": (2, 3, 4)}
"""At which scales a model for any is measured."""

TRAINING = (
    "summary",
    "started_from",
    "recipe",
    "iterations",
    "hardware",
    "time",
    "trained_on",
    "losses",
    "perceptual",
)
"""Options that tell where weights come from."""

MAY_LACK = {"started_from", "losses", "perceptual"}
"""Those that may be left out for new ones."""

LICENCE = "MIT"


def main() -> None:
    """Writes weights, record, card and README's table."""
    options = _options()
    keep_freed_memory()
    target = model_tables.CARDS / f"{options.name}.json"
    if options.card_only:
        record = json.loads(target.read_text())
        record["training"] = {"started_from": None, **record["training"], **_training(options)}
        if record["scale"] is not None:
            for name, figures in record["sets"].items():
                figures["paper"] = _paper(options.name, name)
    else:
        record = _bundle(options)
    record["stability"] = _stability(escsr.load_network(options.name))
    target.write_text(json.dumps(record, indent=1) + "\n")
    model_tables.main()
    print(json.dumps({key: record[key] for key in ("sets", "stability")}, indent=1))


def _bundle(options: argparse.Namespace) -> dict[str, Any]:
    """Writes the weights in half precision, and measures those."""
    network = escsr.load_network(options.checkpoint)
    degradation = options.degradation or read_checkpoint(options.checkpoint).metadata.get(DEGRADATION)
    damage = {} if degradation is None else {DEGRADATION: degradation}
    path = model_tables.CARDS / f"{options.name}.safetensors"
    note = f"recipe {options.recipe}, {options.iterations} iterations, {options.trained_on}"
    escsr.save_network(network, path, training=note, licence=LICENCE, half=True, metadata=damage)
    bundled = escsr.load_network(path)
    scale = bundled.config.scale
    return {
        "format": CARD_FORMAT,
        "model": options.name,
        "variant": variant_name(bundled.config),
        "scale": scale,
        "parameters": count_parameters(bundled.config),
        "sha256": sha256_of(path),
        "licence": LICENCE,
        **damage,
        "sets": _measure_all(path, options.data, any_scale=scale is None),
        "training": {
            "started_from": None,
            **_training(options),
            "learning_curve": _learning_curve(options.log),
        },
        "conditions": {
            "protocol": "lte" if scale is None else "classic",
            **_machine(),
            "dtype": "float32",
            "escsr": escsr.__version__,
            "command": f"escsr evaluate --model {options.name} --data SET/HR "
            + ("--protocol lte --scale SCALE" if scale is None else f"--scale {scale}"),
        },
    }


def _machine() -> dict[str, str]:
    return {
        "date": date.today().isoformat(),
        "device": f"CPU ({platform.machine()}, {torch.get_num_threads()} threads)",
        "torch": torch.__version__,
    }


def _training(options: argparse.Namespace) -> dict[str, Any]:
    """The options that were given, under the names of the record."""
    given = {name: getattr(options, name) for name in TRAINING if getattr(options, name) is not None}
    return {"data" if name == "trained_on" else name: value for name, value in given.items()}


def _stability(network: ESC) -> dict[str, Any]:
    return {**asdict(measure_stability(network)), "conditions": _machine()}


def _paper(model: str, data: str) -> list[float] | None:
    figures = PAPER.get(model)
    return list(figures[model_tables.SETS.index(data)]) if figures else None


def _measure_all(model: Path, data: Path, *, any_scale: bool) -> dict[str, Any]:
    if not any_scale:
        return {
            name: _measure(model, data / name / "HR", _paper(model.stem, name))
            for name in model_tables.SETS
        }
    return {
        f"{name} ×{scale:g}": _measure(
            model, data / name / "HR", [paper] if paper else None, protocol="lte", scale=scale
        )
        for name, scales in ANY_SCALES.items()
        for scale in scales
        for paper in [ANY_SCALE_PAPER[name].get(scale)]
    }


def _measure(model: Path, folder: Path, paper: list[float] | None, **how: Any) -> dict[str, Any]:
    ours = escsr.evaluate(model, folder, device="cpu", **how)
    bicubic = escsr.evaluate("bicubic", folder, **{"scale": ours.scale, **how})
    lost = [
        score.name
        for score, base in zip(ours.scores, bicubic.scores, strict=True)
        if score.psnr_y <= base.psnr_y
    ]
    return {
        "model": list(ours.means.values()),
        "bicubic": list(bicubic.means.values()),
        "paper": paper,
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
    parser.add_argument(
        "--card-only", action="store_true", help="keep weights and figures of a bundled one"
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--summary")
    parser.add_argument("--started-from", help="model whose weights it began with; else random ones")
    parser.add_argument("--recipe")
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--hardware")
    parser.add_argument("--time")
    parser.add_argument("--trained-on")
    parser.add_argument("--degradation", help="of the training, where the checkpoint does not say")
    parser.add_argument("--losses", help="where not L1 alone")
    parser.add_argument("--perceptual", help="perceptual network, its ancestry and licence")
    parser.add_argument("--log", type=Path, help="log.jsonl of the run, for its learning curve")
    options = parser.parse_args()
    needed = {"data", *TRAINING} - MAY_LACK
    missing = [f"--{name.replace('_', '-')}" for name in sorted(needed) if getattr(options, name) is None]
    if missing and not options.card_only:
        parser.error(f"missing: {', '.join(missing)}")
    return options


if __name__ == "__main__":
    main()
