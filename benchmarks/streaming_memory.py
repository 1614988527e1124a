"""Memory and time of streaming against the size of the picture: one process for each size.

    python benchmarks/streaming_memory.py --variant esc --scale 2 --megapixels 0.25 0.5 1 2 4 8 12

Prints and records (results/streaming/memory-VARIANT-xS.json) the predicted and the measured peak of the
process and the seconds a megapixel. The weights are random: they change neither.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import psutil
import torch

from conditions import record
from escsr.networks import ESC, variant_config
from escsr.runtime.allocator import keep_freed_memory
from escsr.upscaling.inference import Inference

ASPECT = 4 / 3


def main() -> None:
    """Runs every size and records the curve."""
    options = _options()
    if options.child:
        print(json.dumps(_measure(options)))
        return
    rows = []
    for megapixels in options.megapixels:
        command = [sys.executable, __file__, "--child", "--megapixels", str(megapixels)]
        command += ["--variant", options.variant, "--scale", str(options.scale)]
        command += ["--feature-storage", options.feature_storage]
        command += ["--tile-size", str(options.tile_size), "--threads", str(options.threads)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rows.append(json.loads(output.splitlines()[-1]))
        print(
            "{megapixels:6.2f} MP  {size[0]}×{size[1]}  predicted {predicted_mib:7.0f} MiB  "
            "measured {peak_mib:7.0f} MiB  ratio {ratio:.3f}  {seconds_per_megapixel:6.2f} s/MP".format(
                **rows[-1]
            ),
            flush=True,
        )
    torch.set_num_threads(options.threads)
    suffix = "" if options.feature_storage == "auto" else f"-{options.feature_storage}"
    name = f"streaming/memory-{options.variant}-x{options.scale}{suffix}"
    print(record(name, {"variant": options.variant, "scale": options.scale, "rows": rows}))


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = ESC(variant_config(options.variant, scale=options.scale)).eval()
    inference = Inference(network, feature_storage=options.feature_storage, tile_size=options.tile_size)
    megapixels = options.megapixels[0]
    height = round((megapixels * 1e6 / ASPECT) ** 0.5)
    width = round(height * ASPECT)
    inference.run(torch.rand(1, 3, 32, 32))  # loads what PyTorch loads at first use
    before = psutil.Process().memory_info().rss
    predicted = inference.predict((height, width), (height * options.scale, width * options.scale)).total
    lr = torch.rand(1, 3, height, width)
    start = time.perf_counter()
    inference.run(lr)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "megapixels": megapixels,
        "size": [width, height],
        "before_mib": before / 2**20,
        "predicted_mib": (before + predicted) / 2**20,
        "peak_mib": peak / 2**20,
        "ratio": peak / (before + predicted),
        "run_ratio": (peak - before) / predicted,
        "seconds": seconds,
        "seconds_per_megapixel": seconds / (height * width / 1e6),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--variant", default="esc")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[0.25, 0.5, 1, 2, 4, 8, 12])
    parser.add_argument("--feature-storage", default="auto")
    parser.add_argument("--tile-size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
