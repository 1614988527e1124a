"""Trains with two processes again and again while all cores are busy, and counts how the runs end.

    python benchmarks/process_group_exits.py --runs 50

A run that ends otherwise than with 0 would be reported as failed although its training is done: so it was
when a thread of the process group outlived it (`training/distributed.py`). Prints the number of such runs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from escsr import images
from escsr.images import Picture

SETTINGS = (
    *("network.dim=16", "network.attended_dim=8", "network.num_heads=2", "network.num_blocks=1"),
    *("network.num_conv_attn=1", "network.window_size=8", "patch_size=16", "batch_size=4"),
    *("iterations=2", "precision=float32", "optimizer.type=adamw"),
)


def main() -> None:
    """Runs, and says how often each exit code came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    runs = parser.parse_args().runs
    busy = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(os.cpu_count() or 1)]
    for process in busy:
        process.start()
    codes: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
        images.write(Picture(pixels), Path(folder) / "hr" / "0.png")
        for run in range(runs):
            codes[_train(Path(folder) / "hr", Path(folder) / f"run-{run}")] += 1
            print(f"{run + 1} of {runs}: {dict(codes)}", flush=True)
    for process in busy:
        process.terminate()
    sys.exit(codes.keys() != {0})


def _train(data: Path, run: Path) -> int:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "escsr", "train", "--recipe", "esc-light-x2-quick", "--device", "cpu"]
    command += ["--data", str(data), "--output", str(run)]
    command += [part for setting in SETTINGS for part in ("--set", setting)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def _spin() -> None:
    while True:
        pass


if __name__ == "__main__":
    main()
