"""Streaming against the whole-picture forward of the same network, interleaved, on the CPU.

    python benchmarks/streaming_speed.py --model esc-light-x2 --width 1155 --height 866 --rounds 3

Records the seconds of each run, the ratio of the medians and the largest difference of the results in
results/streaming/speed-MODEL.json. Both ways share the process and its memory-keeping allocator;
"whole, plain allocator" is the same forward in a process that leaves the allocator as it is.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from conditions import record
from escsr import streaming
from escsr.models.checkpoints import load_network
from escsr.networks import ESC, variant_config
from escsr.networks.config import VARIANTS
from escsr.runtime.allocator import keep_freed_memory


def main() -> None:
    """Times both ways in turn."""
    options = _options()
    if options.child:
        with torch.no_grad():
            network = _network(options.model)
            print(_seconds(lambda: network(_noise(options)))[0])
        return
    keep_freed_memory()
    network, lr = _network(options.model), _noise(options)
    seconds: dict[str, list[float]] = {"whole": [], "whole, plain allocator": []}
    seconds |= {f"streaming, tiles of {size}": [] for size in options.tile_sizes}
    difference = 0.0
    for _ in range(options.rounds):
        with torch.no_grad():
            taken, whole = _seconds(lambda: network(lr))
        seconds["whole"].append(taken)
        for size in options.tile_sizes:
            taken, streamed = _seconds(lambda size=size: streaming.run(network, lr, tile_size=size))  # type: ignore[misc]
            seconds[f"streaming, tiles of {size}"].append(taken)
            difference = max(difference, float((streamed - whole).abs().max()))
        child = [sys.executable, *sys.argv, "--child"]
        output = subprocess.run(child, check=True, capture_output=True, text=True).stdout
        seconds["whole, plain allocator"].append(float(output))
    ratios = {name: median(seconds["whole"]) / median(times) for name, times in seconds.items()}
    for name, times in seconds.items():
        print(
            f"{name:24}  {median(times):7.2f} s   {ratios[name]:.2f} times the speed of the whole picture"
        )
    values = {
        "model": options.model,
        "size": [options.width, options.height],
        "seconds": seconds,
        "speed_over_whole": ratios,
        "max_difference": difference,
    }
    print(record(f"streaming/speed-{options.model}", values))


def _network(name: str) -> ESC:
    """A model, or a variant with random weights."""
    if name in VARIANTS:
        torch.manual_seed(0)
        return ESC(variant_config(name, scale=2)).eval().requires_grad_(False)
    return load_network(name).requires_grad_(False)


def _noise(options: argparse.Namespace) -> Tensor:
    return torch.rand(1, 3, options.height, options.width, generator=torch.Generator().manual_seed(0))


def _seconds(function: Callable[[], Tensor]) -> tuple[float, Tensor]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="esc-light-x2", help="a model, or a variant for random weights")
    parser.add_argument("--width", type=int, default=1155)
    parser.add_argument("--height", type=int, default=866)
    parser.add_argument("--tile-sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
