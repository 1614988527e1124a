"""Real photographs, by figures: models on pictures that were damaged by frozen seeds, and on clean ones.

    python benchmarks/real_photos.py --pictures FOLDER --clean SET14/HR --perceptual squeezenet.npz \
        --model esc-real-light-x4 --model esc-real-light-gan-x4 --record real/photos-x4

Bicubic interpolation and the fidelity model of the scale are always measured beside. Printed are means
over pictures and seeds of Y-PSNR, of the perceptual distance and, over all pictures, the largest shift of
the mean colour between LR and result, levels of 255.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

import escsr
from conditions import record
from escsr.data.degradations import PRESETS
from escsr.data.resize import imresize
from escsr.evaluation.metrics import psnr, rgb_to_y
from escsr.evaluation.pairs import Pair, degraded, read_pairs, to_tensor
from escsr.evaluation.perceptual import FeatureNetwork, load_feature_network, perceptual_distance
from escsr.evaluation.real import colour_shift
from escsr.runtime.allocator import keep_freed_memory
from escsr.upscaling.upscaler import Upscaler

_PRESETS = ("gentle", "real-esrgan")


def main() -> None:
    """Measures, prints and records."""
    options = _options()
    keep_freed_memory()
    features = load_feature_network(options.perceptual)
    pairs = list(read_pairs(options.pictures, None, options.scale))
    names = ["bicubic", f"esc-light-x{options.scale}", *options.model]
    models = {name: None if name == "bicubic" else Upscaler(name, precision="bfloat16") for name in names}
    rows: dict[str, dict[str, Any]] = {}
    for preset in _PRESETS:
        figures = _measure(models, pairs, preset, options, features)
        rows[preset] = figures
        print(preset)
        for name, values in figures.items():
            print(f"  {name:28s} " + "  ".join(f"{key} {value:7.3f}" for key, value in values.items()))
    clean = {name: escsr.evaluate(name, options.clean, scale=options.scale).psnr_y for name in names}
    print("clean", {name: round(value, 2) for name, value in clean.items()})
    results = {
        "scale": options.scale,
        "pictures": [pair.name for pair in pairs],
        "seeds": options.seeds,
        "perceptual": features.kind,
        "degraded": rows,
        "clean": {"set": options.clean.parent.name, "psnr_y": clean},
        "precision": "bfloat16 where degraded, float32 where clean",
    }
    if options.record:
        print(record(options.record, results))


def _measure(
    models: dict[str, Upscaler | None],
    pairs: list[Pair],
    preset: str,
    options: argparse.Namespace,
    features: FeatureNetwork,
) -> dict[str, dict[str, float]]:
    """Means by model."""
    collected: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for seed in range(options.seeds):
        for index, pair in enumerate(pairs):
            lr = degraded(pair.hr, PRESETS[preset], options.scale, seed=seed, index=index)
            for name, model in models.items():
                figures = collected[name]
                sr = imresize(lr, options.scale) if model is None else model(lr, scale=options.scale)
                result, small, truth = (to_tensor(x).float() for x in (sr, lr, pair.hr))
                border = options.scale
                luma = (rgb_to_y(x)[..., border:-border, border:-border] for x in (result, truth))
                figures["psnr_y"].append(psnr(*luma))
                figures["distance"].append(perceptual_distance(features, result / 255, truth / 255))
                figures["colour_shift"].append(colour_shift(result, small))
    return {
        name: {
            "psnr_y": float(np.mean(figures["psnr_y"])),
            "distance": float(np.mean(figures["distance"])),
            "largest_colour_shift": float(np.max(figures["colour_shift"])),
        }
        for name, figures in collected.items()
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, required=True, help="folder of clean pictures")
    parser.add_argument("--clean", type=Path, required=True, help="set that must stay sharp")
    parser.add_argument("--perceptual", type=Path, required=True, help="a feature network's file")
    parser.add_argument("--model", action="append", default=[], help="name or file")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--record", help="name of the record under results/")
    return parser.parse_args()


if __name__ == "__main__":
    main()
