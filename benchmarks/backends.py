"""PyTorch, ONNX Runtime and OpenVINO at work inside escsr: seconds and memory by size, on the CPU.

    python benchmarks/backends.py --model esc-light-x2 --sides 256 512 1024 --rounds 3

Records results/exports/backends-MODEL.json. Each way is a process of its own, as the command is one:
seconds of loading and the first picture, of the next ones, and the peak of memory above that before.
"stages" is a backend as it works where memory is short for the whole picture: in tiles.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from statistics import median
from typing import Any

import torch

from conditions import record
from escsr.models.checkpoints import load_network
from escsr.runtime.allocator import keep_freed_memory
from escsr.upscaling.inference import Inference

WAYS: dict[str, dict[str, Any]] = {
    "torch": {},
    "onnx": {"backend": "onnx"},
    "onnx, stages": {"backend": "onnx", "tile_size": 256},
    "openvino": {"backend": "openvino"},
    "openvino, stages": {"backend": "openvino", "tile_size": 256},
}


def main() -> None:
    """Runs every way at every size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="esc-light-x2")
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_measure(options.model, options.child, options.sides[0], options.rounds)))
        return
    rows = []
    for side in options.sides:
        for way in options.ways:
            child = [sys.executable, sys.argv[0], "--model", options.model, "--child", way]
            child += ["--sides", f"{side}", "--rounds", f"{options.rounds}"]
            output = subprocess.run(child, check=True, capture_output=True, text=True).stdout
            rows.append({"side": side, "way": way, **json.loads(output)})
            print(rows[-1], flush=True)
    print(record(f"exports/backends-{options.model}", {"model": options.model, "rows": rows}))


def _measure(model: str, way: str, side: int, rounds: int) -> dict[str, Any]:
    import resource

    keep_freed_memory()
    network = load_network(model).requires_grad_(False)
    lr = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    inference = Inference(network, **WAYS[way])
    inference.run(lr)
    first, seconds = time.perf_counter() - start, []
    for _ in range(rounds):
        start = time.perf_counter()
        inference.run(lr)
        seconds.append(time.perf_counter() - start)
    return {
        "seconds_first": first,
        "seconds": seconds,
        "seconds_median": median(seconds),
        "peak_memory_mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "predicted_memory_mib": inference.predict(
            (side, side), (side * (network.config.scale or 2),) * 2
        ).total
        / 2**20,
    }


if __name__ == "__main__":
    main()
