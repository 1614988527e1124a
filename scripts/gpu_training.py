"""One call of a training on a GPU that is lent by the minute; the next one goes on exactly where it ended.

    PYTHONPATH=src python scripts/gpu_training.py light --data PICTURES --output runs/gpu --minutes 8.5
    PYTHONPATH=src python scripts/gpu_training.py light --data PICTURES --output build/toy --toy
    PYTHONPATH=src python scripts/gpu_training.py light --output runs/gpu --bundle TEST_SETS

A chain is a list of trainings, some from the results of others: `light` (ESC-light x2, then x4 and x3 from
it), `esc` (ESC, grown from those), `real` (the GAN stage of ESC-Real-light, then ESC-Real and its own; with
--perceptual network=FILE) and `lte`. Each keeps its newest checkpoint alone, which has to travel with the
folder between machines. A call ends with the steps per second, and the share of time that they waited for
data. With --bundle nothing is trained: every finished model that is better than the bundled one by 0.03 dB,
on the mean of TEST_SETS' Set5/HR, Set14/HR and B100/HR, takes its place (`scripts/bundle_model.py`). Models
of real photographs and of any scale have other measures, those of `benchmarks/`; they are named only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import escsr
from escsr.training.recipes import recipe
from escsr.training.records import latest_checkpoint

SETS = ("Set5", "Set14", "B100")
BETTER = 0.03
"""dB, for which a bundled model is replaced."""

TOY = ("iterations=4", "batch_size=2", "patch_size=32", "compile=false", "warmup=1", "validate_every=2")
LARGE = ("batch_size=32", "patch_size=64", "warmup=500", "ema_decay=0.999", "compile=true")
"""Patches of two by two windows, in batches for a GPU."""


@dataclass(frozen=True)
class Stage:
    """A training: the model that it makes, the recipe, and the steps of its schedule.

    Attributes:
        model: Its name, and that of its folder.
        recipe: By name.
        start: Name of the model to begin with: this chain's or another's result where there is one, else
            the bundled one; None for what the recipe starts from.
        iterations: Of the whole schedule, whatever the number of calls.
        settings: Others that differ from the recipe's.
    """

    model: str
    recipe: str
    start: str | None
    iterations: int
    settings: tuple[str, ...] = ()


CHAINS = {
    "light": [
        Stage("esc-light-x2", "esc-light-x2-gpu-hour", "esc-light-x2", 15_000),
        Stage("esc-light-x4", "esc-light-x4-quick", "esc-light-x2", 10_000, LARGE),
        Stage("esc-light-x3", "esc-light-x3-quick", "esc-light-x2", 10_000, LARGE),
    ],
    "esc": [
        Stage("esc-x2", "esc-x2-quick", "esc-light-x2", 15_000, LARGE),
        Stage("esc-x4", "esc-x4-quick", "esc-light-x4", 10_000, LARGE),
        Stage("esc-x3", "esc-x3-quick", "esc-light-x3", 10_000, LARGE),
    ],
    "real": [
        Stage("esc-real-light-gan-x4", "esc-real-light-gan-x4", None, 10_000),
        Stage("esc-real", "esc-real", None, 20_000),
        Stage("esc-real-gan", "esc-real-gan", "esc-real", 10_000),
    ],
    "lte": [Stage("esc-lte", "esc-lte-quick", "esc-x2", 10_000)],
}


def main() -> None:
    """Trains until the time is over, or bundles what is finished."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("chain", choices=CHAINS)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data", type=Path, nargs="+", help="folders of HR pictures")
    parser.add_argument("--minutes", type=float, default=8.5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--toy", action="store_true", help="four steps of each training")
    parser.add_argument(
        "--perceptual", action="append", default=[], metavar="KEY=VALUE", help="network=FILE, ..."
    )
    parser.add_argument("--bundle", type=Path, metavar="TEST_SETS")
    options = parser.parse_args()
    if options.bundle is not None:
        for stage in CHAINS[options.chain]:
            bundle(stage, options.output, options.bundle)
    elif options.data is None:
        parser.error("--data is needed for training")
    else:
        try:
            train(CHAINS[options.chain], options)
        except escsr.EscError as error:
            sys.exit(f"Error: {error}")


def train(stages: list[Stage], options: argparse.Namespace) -> None:
    """Goes through the trainings that are not finished, in turn."""
    stop = threading.Event()
    timer = threading.Timer(60 * options.minutes, stop.set)
    timer.daemon = True
    timer.start()
    for stage in stages:
        settings = [f"iterations={stage.iterations}", "keep=1", *stage.settings]
        if "perceptual" in recipe(stage.recipe).to_dict()["objective"]:
            settings += [f"objective.perceptual.{setting}" for setting in options.perceptual]
        if options.toy:
            settings += TOY
        if finished(options.output / stage.model) is None and not stop.is_set():
            escsr.train(
                stage.recipe,
                options.data,
                options.output / stage.model,
                settings=settings,
                start=_start(stage, options.output),
                device=options.device,
                stop=stop,
            )
            print(f"{stage.model}: {_course(options.output / stage.model)}")
    names = [stage.model for stage in stages if finished(options.output / stage.model) is None]
    print(f"Not finished: {', '.join(names)}; call again." if names else "All finished.")


def finished(run: Path) -> Path | None:
    """The last checkpoint of a run that came to its end; None of any other."""
    begun = run / "recipe.json"
    newest = latest_checkpoint(run) if begun.exists() else None
    if (
        newest is None
        or int(newest.path.stem.removeprefix("iter_")) < json.loads(begun.read_text())["iterations"]
    ):
        return None
    return newest.path


def bundle(stage: Stage, output: Path, test_sets: Path) -> None:
    """Puts a finished model in the place of the bundled one, where it is better by enough."""
    checkpoint = finished(output / stage.model)
    if checkpoint is None:
        print(f"{stage.model}: not finished")
        return
    if stage.model.startswith(("esc-real", "esc-lte")):
        print(f"{stage.model}: finished, {checkpoint}; to be judged by benchmarks/")
        return
    ours, bundled = (mean_psnr(model, test_sets) for model in (checkpoint, stage.model))
    print(f"{stage.model}: {ours:.3f} dB, bundled {bundled:.3f}")
    if ours < bundled + BETTER:
        return
    about = {
        "--data": str(test_sets),
        "--started-from": stage.start or "",
        "--recipe": stage.recipe,
        "--iterations": str(stage.iterations),
        "--hardware": "one GPU",
        "--trained-on": "free pictures, listed in docs/training-pictures.csv",
        "--time": _course(output / stage.model),
        "--summary": "Trained on free pictures on two CPU cores, then on a GPU.",
    }
    words = [word for pair in about.items() for word in pair]
    script = Path(__file__).with_name("bundle_model.py")
    subprocess.run([sys.executable, str(script), str(checkpoint), stage.model, *words], check=True)


def mean_psnr(model: str | Path, test_sets: Path) -> float:
    """Y-PSNR by protocol `classic`, dB, mean over the sets."""
    return sum(escsr.evaluate(model, test_sets / name / "HR").psnr_y for name in SETS) / len(SETS)


def _start(stage: Stage, output: Path) -> str | Path | None:
    """A result of the same output where there is one, unless it is the stage's own."""
    if stage.start is None or stage.start == stage.model:
        return stage.start
    return finished(output / stage.start) or stage.start


def _course(run: Path) -> str:
    """How far a run is, and how fast it went."""
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    speed, share = last.get("iterations_per_second", 0), last.get("data_share", 0)
    return f"{last['iteration']:,} steps, {speed:.2f} a second, {share:.0%} of the time waiting for data"


if __name__ == "__main__":
    main()
