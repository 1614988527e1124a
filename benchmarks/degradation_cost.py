"""What damaging pictures costs of a training step on this CPU.

    python benchmarks/degradation_cost.py --data PICTURES --recipe esc-real-light-x4

Times, in turn, batches drawn as training draws them and with PyTorch set to one thread, and whole steps of
the recipe. Prints milliseconds a batch by preset, and the share of a step; records them under
results/real/degradation-cost.json.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from conditions import record
from escsr.data.degradations import PRESETS
from escsr.data.degraded_sampler import DegradedSampler
from escsr.runtime.allocator import keep_freed_memory
from escsr.training.config import TrainingConfig
from escsr.training.recipes import recipe
from escsr.training.trainer import Progress, Trainer

_WARM_UP = 3


def main() -> None:
    """Measures, prints and records."""
    options = _options()
    keep_freed_memory()
    config = recipe(options.recipe).with_settings(options.set)
    threads = torch.get_num_threads()
    drawn: dict[str, dict[str, float]] = {}
    for preset in ("mixed", "gentle", "real-esrgan"):
        sampler = _sampler(options.data, config, preset)
        alone, usual = [], []
        for number in range(options.rounds):
            torch.set_num_threads(1)
            alone.append(_milliseconds(sampler, config, options.batches, number))
            torch.set_num_threads(threads)
            usual.append(_milliseconds(sampler, config, options.batches, number))
        drawn[preset] = {"one_thread_ms": median(alone), "training_ms": median(usual)}
        print(f"{preset:12s} {median(alone):6.1f} ms a batch alone, {median(usual):6.1f} in training")
    steps = _steps(config, _sampler(options.data, config, "mixed"), options.steps)
    print(f"a step of {options.recipe}: {steps['step_ms']:.0f} ms, {steps['data_share']:.1%} for its data")
    values = {
        "recipe": options.recipe,
        "settings": options.set,
        "crop": (config.patch_size + 2 * 4) * (config.network.scale or 1),
        "batch_size": config.batch_size,
        "batches": drawn,
        **steps,
    }
    print(record("real/degradation-cost", values))


def _sampler(data: Path, config: TrainingConfig, preset: str) -> DegradedSampler:
    assert config.network.scale is not None
    return DegradedSampler.from_folder(
        data,
        scale=config.network.scale,
        patch_size=config.patch_size,
        degradation=PRESETS[preset],
        storage="memory",
    )


def _milliseconds(sampler: DegradedSampler, config: TrainingConfig, batches: int, round_: int) -> float:
    """Of one batch, drawn alone."""
    sampler.batch(0, 0, config.batch_size, config.patch_size)
    begun = time.perf_counter()
    for number in range(batches):
        sampler.batch(1 + round_, number, config.batch_size, config.patch_size)
    return 1000 * (time.perf_counter() - begun) / batches


def _steps(config: TrainingConfig, sampler: DegradedSampler, steps: int) -> dict[str, Any]:
    """Milliseconds of a training step, and the share of it that waits for data, as the log has it."""
    marks: list[tuple[float, float]] = []
    stop = threading.Event()

    def note(progress: Progress) -> None:
        marks.append((time.perf_counter(), progress.data_share))
        if len(marks) == steps + _WARM_UP:
            stop.set()

    with tempfile.TemporaryDirectory() as folder:
        Trainer(config, sampler, folder, device="cpu").train(note, stop=stop)
    taken = marks[steps + _WARM_UP - 1][0] - marks[_WARM_UP - 1][0]
    return {"step_ms": 1000 * taken / steps, "data_share": marks[-1][1]}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of HR pictures")
    parser.add_argument("--recipe", default="esc-real-light-x4")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--batches", type=int, default=10, help="drawn in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=15)
    return parser.parse_args()


if __name__ == "__main__":
    main()
