"""Our trainer against a plain PyTorch loop over the same network, in turn, in processes of their own.

    python benchmarks/training_speed.py --data PICTURES --recipe esc-light-x2-quick --rounds 3 --steps 12

The plain loop is what a user writes: a `Dataset` that crops and flips, a `DataLoader`, AdamW, float32 (and
bfloat16 autocast, if the recipe has it), the network as it is. Ours is `Trainer` by the recipe, once with
AdamW too, so that the same work is compared. Records steps a second, their ratio and the share of a step
spent waiting for data in results/speed/training-DEVICE.json.

`--native` compares our trainer with the native kernels of a CPU and without them instead, by the recipe and
in float32, with the losses of every step; its record is training-cpu-native.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from conditions import record
from escsr import images
from escsr.data.patch_sampler import PatchSampler
from escsr.networks import ESC
from escsr.networks.training_kernels import only_plain_operators
from escsr.training.config import TrainingConfig
from escsr.training.recipes import recipe
from escsr.training.trainer import Progress, Trainer

WARM_UP = 3


def main() -> None:
    """Times every way in turn."""
    options = _options()
    if options.way:
        sys.stdout.write(json.dumps(_ALL_WAYS[options.way](options)) + "\n")
        return
    ways = _NATIVE_WAYS if options.native else _WAYS
    told: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way in ways:
            child = [sys.executable, *sys.argv, "--way", way]
            output = subprocess.run(child, check=True, capture_output=True, text=True).stdout
            told[way].append(json.loads(output.splitlines()[-1]))
    rates = {way: median(one["iterations_per_second"] for one in runs) for way, runs in told.items()}
    base = next(iter(ways))
    for way, rate in rates.items():
        waiting = median(one["data_share"] for one in told[way])
        print(f"{way:40} {rate:7.3f} it/s  {rate / rates[base]:5.2f} times {base}  {waiting:.1%} waiting")
    values = {
        "recipe": options.recipe,
        "settings": options.set,
        "device": options.device,
        "iterations_per_second": rates,
        f"over_{'plain_operators' if options.native else 'plain_loop'}": {
            way: rate / rates[base] for way, rate in rates.items()
        },
        "runs": told,
    }
    print(record(f"speed/training-{options.device}{'-native' * options.native}", values))


class Patches(Dataset[tuple[Tensor, Tensor]]):
    """Random crops of decoded pictures, as a user's data set gives them."""

    def __init__(self, sampler: PatchSampler, patch_size: int, length: int) -> None:
        self.sampler, self.patch_size, self.length = sampler, patch_size, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        generator = np.random.default_rng(index)
        chosen = int(generator.integers(len(self.sampler)))
        lr, hr, size, scale = (
            self.sampler.lr[chosen],
            self.sampler.hr[chosen],
            self.patch_size,
            self.sampler.scale,
        )
        top, left = (int(generator.integers(side - size + 1)) for side in lr.shape[:2])
        small = lr[top : top + size, left : left + size]
        large = hr[top * scale : (top + size) * scale, left * scale : (left + size) * scale]
        if generator.random() < 0.5:
            small, large = small.flip(1), large.flip(1)
        return small.permute(2, 0, 1).float() / 255, large.permute(2, 0, 1).float() / 255


def _plain(options: argparse.Namespace, dtype: torch.dtype | None) -> dict[str, float]:
    config = _config(options)
    loader = DataLoader(
        Patches(
            _sampler(options, config), config.patch_size, config.batch_size * (options.steps + WARM_UP)
        ),
        config.batch_size,
        num_workers=options.workers,
        pin_memory=options.device == "cuda",
    )
    network = ESC(config.network).to(options.device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.optimizer.learning_rate)
    waited = [0.0]
    start = 0.0
    for number, (lr, hr) in enumerate(_timed(loader, waited)):
        if number == WARM_UP:
            _synchronise(options)
            start, waited[0] = time.perf_counter(), 0.0
        optimizer.zero_grad()
        with torch.autocast(options.device, dtype) if dtype else nullcontext():
            sr = network(lr.to(options.device, non_blocking=True))
        loss = F.l1_loss(sr.float(), hr.to(options.device, non_blocking=True))
        torch.autograd.backward([loss])
        optimizer.step()
        loss.item()
    _synchronise(options)
    taken = time.perf_counter() - start
    return {"iterations_per_second": options.steps / taken, "data_share": waited[0] / taken}


def _timed(loader: DataLoader[Any], waited: list[float]) -> Iterator[Any]:
    batches = iter(loader)
    while True:
        start = time.perf_counter()
        try:
            batch = next(batches)
        except StopIteration:
            return
        waited[0] += time.perf_counter() - start
        yield batch


def _ours(options: argparse.Namespace, *settings: str) -> dict[str, Any]:
    from escsr.runtime.allocator import keep_freed_memory

    keep_freed_memory()
    steps, stop = options.steps + WARM_UP, threading.Event()
    config = _config(options).with_settings(settings)
    marks: list[tuple[float, float]] = []
    losses: list[float] = []

    def note(progress: Progress) -> None:
        _synchronise(options)
        marks.append((time.perf_counter(), progress.data_share))
        losses.append(round(progress.loss, 6))
        if len(marks) == steps:
            stop.set()

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, _sampler(options, config), folder, device=options.device)
        trainer.train(note, stop=stop)
    taken = marks[steps - 1][0] - marks[WARM_UP - 1][0]
    told = {"iterations_per_second": options.steps / taken, "data_share": marks[steps - 1][1]}
    return {**told, "losses": losses} if options.native else told


def _by_plain_operators(options: argparse.Namespace, *settings: str) -> dict[str, Any]:
    with only_plain_operators():
        return _ours(options, *settings)


def _config(options: argparse.Namespace) -> TrainingConfig:
    return recipe(options.recipe).with_settings(options.set)


def _sampler(options: argparse.Namespace, config: TrainingConfig) -> PatchSampler:
    assert config.network.scale is not None
    storage = "cuda" if options.device == "cuda" and not options.way.startswith("plain loop") else "memory"
    pictures = images.find_images(Path(options.data))[: options.pictures]
    with tempfile.TemporaryDirectory() as folder:
        for number, picture in enumerate(pictures):
            (Path(folder) / f"{number}{picture.suffix}").symlink_to(picture.resolve())
        return PatchSampler.from_folder(
            folder, scale=config.network.scale, patch_size=config.patch_size, storage=storage
        )


def _synchronise(options: argparse.Namespace) -> None:
    if options.device == "cuda":
        torch.cuda.synchronize()


_WAYS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "plain loop, float32": lambda options: _plain(options, None),
    "plain loop, bfloat16": lambda options: _plain(options, torch.bfloat16),
    "ours, float32, AdamW": lambda options: _ours(options, "precision=float32", "optimizer=adamw"),
    "ours, bfloat16, AdamW": lambda options: _ours(options, "precision=bfloat16", "optimizer=adamw"),
    "ours, by the recipe": _ours,
}
_NATIVE_WAYS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "by the recipe, plain operators": _by_plain_operators,
    "by the recipe, native kernels": _ours,
    "float32, plain operators": lambda options: _by_plain_operators(options, "precision=float32"),
    "float32, native kernels": lambda options: _ours(options, "precision=float32"),
}
_ALL_WAYS = _WAYS | _NATIVE_WAYS


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder of HR pictures")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--recipe", default="esc-light-x2-quick")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=0, help="of the plain loop's DataLoader")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--native", action="store_true", help="native kernels against none")
    parser.add_argument("--way", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
