"""Half precision against float32: how far the results are, and how fast, on this device.

    python benchmarks/precision.py --model esc-light-x2 --picture examples/flowers.png --rounds 3

Records results/precision/MODEL-DEVICE.json: PSNR to the float32 result, and seconds, interleaved.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from conditions import record
from escsr import images
from escsr.models.checkpoints import load_network
from escsr.runtime.allocator import keep_freed_memory
from escsr.runtime.devices import choose_device
from escsr.upscaling.inference import Inference

CASES: dict[str, dict[str, Any]] = {
    "float32": {"precision": "float32"},
    "bfloat16": {"precision": "bfloat16"},
    "float16": {"precision": "float16"},
    "float32, maps float16": {"precision": "float32", "feature_storage": "float16"},
}


def main() -> None:
    """Runs every case in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="esc-light-x2")
    parser.add_argument("--picture", type=Path, default=Path("examples/flowers.png"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    keep_freed_memory()
    device = choose_device(options.device)
    network = load_network(options.model, device=device).requires_grad_(False)
    pixels = images.read(options.picture).colour
    lr = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
    runs = {name: Inference(network, tile_size=128, **settings) for name, settings in CASES.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    results = {}
    for _ in range(options.rounds):
        for name, inference in runs.items():
            start = time.perf_counter()
            results[name] = inference.run(lr)
            seconds[name].append(time.perf_counter() - start)
    exact, rows = results["float32"].double(), []
    for name, result in results.items():
        error = (result - exact).square().mean().item()
        decibels = None if error == 0 else float(-10 * np.log10(error))
        rows.append(
            {
                "precision": name,
                "psnr_to_float32_db": decibels,
                "seconds": seconds[name],
                "speed_over_float32": median(seconds["float32"]) / median(seconds[name]),
            }
        )
        print(rows[-1])
    values = {"model": options.model, "picture": options.picture.name, "device": device.type, "rows": rows}
    print(record(f"precision/{options.model}-{device.type}", values))


if __name__ == "__main__":
    main()
