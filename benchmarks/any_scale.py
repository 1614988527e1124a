"""Scales between the whole ones: a model of the next whole scale, resized, against one of any scale.

    python benchmarks/any_scale.py --data Set5/HR --fixed esc-light --any esc-lte --scales 1.5 2.5 3.3

LR is made by Pillow's bicubic at the scale itself, as protocol `lte` does; both ways run through `Upscaler`
in turn. It records mean Y-PSNR and the seconds of all pictures together in results/models/any-scale.json.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np

from conditions import record
from escsr import images
from escsr.data.pil_resize import pil_resize
from escsr.evaluation.metrics import psnr, rgb_to_y
from escsr.evaluation.pairs import lr_side, to_tensor
from escsr.runtime.allocator import keep_freed_memory
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.target_size import TargetSize
from escsr.upscaling.upscaler import Upscaler


def main() -> None:
    """Measures every scale both ways."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fixed", default="esc-light")
    parser.add_argument("--any", default="esc-lte")
    parser.add_argument("--scales", type=float, nargs="+", default=[1.5, 2.5, 3.3, 3.7])
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    keep_freed_memory()
    how = UpscaleOptions(device=options.device, precision="float32")
    anything = Upscaler(options.any, options=how)
    rows = []
    for scale in options.scales:
        ways = {"fixed": Upscaler(options.fixed, options=how, scale=scale), "any": anything}
        figures = _measure(ways, options.data, scale)
        rows.append({"scale": scale, "fixed_model": ways["fixed"].name, **figures})
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()))
    values = {
        "data": options.data.parent.name,
        "fixed": options.fixed,
        "any": options.any,
        "device": str(anything.device),
        "scales": rows,
    }
    print(record("models/any-scale", values))


def _measure(ways: dict[str, Upscaler], data: Path, scale: float) -> dict[str, float]:
    """Mean dB and total seconds of each way."""
    found: dict[str, list[float]] = {f"{way}_{what}": [] for way in ways for what in ("psnr_y", "seconds")}
    for path in images.find_images(data):
        hr = images.read(path).colour
        sides = [lr_side(side, scale) for side in hr.shape[:2]]
        height, width = (round(side * scale) for side in sides)
        hr = np.ascontiguousarray(hr[:height, :width])
        lr = pil_resize(hr, (sides[0], sides[1]), "bicubic")
        size = TargetSize(width=width, height=height, fit="exact")
        for way, upscaler in ways.items():
            start = time.perf_counter()
            sr = upscaler(lr, size=size)
            found[f"{way}_seconds"].append(time.perf_counter() - start)
            inner = slice(math.ceil(scale), -math.ceil(scale))
            truth, result = (rgb_to_y(to_tensor(picture).double()) for picture in (hr, sr))
            found[f"{way}_psnr_y"].append(psnr(result[..., inner, inner], truth[..., inner, inner]))
    return {key: round(sum(x) / (len(x) if "psnr" in key else 1), 3) for key, x in found.items()}


if __name__ == "__main__":
    main()
