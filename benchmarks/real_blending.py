"""Two ways between the fidelity form and the GAN form of a model: their weights blended, or their outputs.

    python benchmarks/real_blending.py --pictures FOLDER --perceptual squeezenet.npz \
        --fidelity esc-real-light-x4 --gan esc-real-light-gan-x4 --record real/blending-x4

Prints for each strength and both ways the means of Y-PSNR and of the perceptual distance over pictures,
seeds and presets. At one PSNR the better way has the lower distance; blended weights take one run in place
of two.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from conditions import record
from escsr.models.bundled import find_model
from escsr.runtime.allocator import keep_freed_memory
from escsr.upscaling.upscaler import Upscaler
from real_photos import QUICKEST, Setting, figures_of, read_setting, small_of

Pixels = NDArray[np.uint8]

_PRESETS = ("gentle", "real-esrgan")


def main() -> None:
    """Measures, prints and records."""
    options = _options()
    keep_freed_memory()
    strengths = sorted({0.0, 1.0, *options.strength})
    setting = read_setting(options.pictures, options.scale, options.seeds, options.perceptual)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"pair-x{options.scale}.safetensors"
        shutil.copy(find_model(options.fidelity), path)
        shutil.copy(find_model(options.gan), path.with_name(f"pair-gan-x{options.scale}.safetensors"))
        models = {each: Upscaler(path, strength=each, precision=QUICKEST) for each in strengths}
        rows = {preset: _measure(models, setting, preset) for preset in _PRESETS}
    for preset, ways in rows.items():
        print(preset)
        for way, figures in ways.items():
            print(f"  {way:14s} {figures['psnr_y']:.3f} dB  {figures['distance']:.4f}")
    results = {
        "scale": options.scale,
        "models": [options.fidelity, options.gan],
        "pictures": [pair.name for pair in setting.pairs],
        "seeds": options.seeds,
        "perceptual": setting.features.kind,
        "blends": rows,
        "precision": QUICKEST,
    }
    if options.record:
        print(record(options.record, results))


def _measure(models: dict[float, Upscaler], setting: Setting, preset: str) -> dict[str, dict[str, float]]:
    """Means by way and strength, "weights 0.5"."""
    collected: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for seed in range(setting.seeds):
        for index, pair in enumerate(setting.pairs):
            lr = small_of(pair, preset, setting.scale, seed=seed, index=index).astype(np.float32) / 255
            results = {strength: model(lr) for strength, model in models.items()}
            ends = results[0.0], results[1.0]
            for strength, result in results.items():
                both = {"weights": result, "outputs": ends[0] * (1 - strength) + ends[1] * strength}
                for way, sr in both.items():
                    for key, value in figures_of(_rounded(sr), pair.hr, setting).items():
                        collected[f"{way} {strength:g}"][key].append(value)
    return {
        way: {key: float(np.mean(values)) for key, values in collected[way].items()}
        for way in sorted(collected)
    }


def _rounded(image: NDArray[np.float32]) -> Pixels:
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    folder = "folder of clean pictures; may be repeated"
    parser.add_argument("--pictures", type=Path, action="append", required=True, help=folder)
    parser.add_argument("--perceptual", type=Path, required=True, help="a feature network's file")
    parser.add_argument("--fidelity", required=True, help="name or file")
    parser.add_argument("--gan", required=True, help="name or file of the same shape")
    parser.add_argument("--strength", type=float, nargs="+", default=[0.25, 0.5, 0.75, 0.9])
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--record", help="name of the record under results/")
    return parser.parse_args()


if __name__ == "__main__":
    with torch.inference_mode():
        main()
