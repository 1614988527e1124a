"""Real photographs, by figures: models on pictures that were damaged by frozen seeds, and on clean ones.

    python benchmarks/real_photos.py --pictures FOLDER --clean SET14/HR --perceptual squeezenet.npz \
        --model esc-real-light-x4 --gan esc-real-light-gan-x4 --record real/photos-x4

Bicubic interpolation and the fidelity model of the scale are always measured beside. For every model, name
or file, it prints means over pictures and seeds of Y-PSNR and of the perceptual distance; Y-PSNR on the
clean set; how far a grey picture's result is from that grey; what is left of noise on a flat patch as a
pattern of 2, 4 or 8 pixels; how much fine detail it makes on a smooth slope that was a JPEG of quality 25;
the largest activation. Then, best model first, which bars (`_bars`) are met.
`--quick` takes crops and one seed, to rank weights.

The pictures of the record are four photographs and astronaut, chelsea, coffee and rocket of scikit-image.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import escsr
from conditions import record
from escsr import images
from escsr.data.degradations import PRESETS
from escsr.data.degradations.jpeg import libjpeg
from escsr.data.resize import imresize
from escsr.evaluation.metrics import psnr, rgb_to_y
from escsr.evaluation.pairs import Pair, degraded, read_pairs, to_tensor
from escsr.evaluation.perceptual import FeatureNetwork, load_feature_network, perceptual_distance
from escsr.evaluation.real import colour_shift
from escsr.evaluation.stability import BORDER, HALF_LIMIT, measure_stability, pattern_peak
from escsr.runtime.allocator import keep_freed_memory
from escsr.runtime.choices import Precision
from escsr.runtime.processor import has_bfloat16
from escsr.upscaling.upscaler import Upscaler

Figures = dict[str, Any]

DAMAGES = ("gentle", "real-esrgan", "clean")
"""Presets, and none."""

QUICKEST: Precision = "bfloat16" if has_bfloat16() else "float32"
"""Precision for means over many pictures."""

_QUICK_SIDE = 256
_GREYS = (0, 3, 64, 128, 192, 255)
_FLAT_SIDE = 64
_NOISE = 8.0
"""Standard deviation of the noise on the flat patch, levels of 255."""

_FINE = 9
"""Pixels: detail within squares of this side is fine."""

_QUALITY = 25
"""Of the JPEG of the slope."""


class Setting(NamedTuple):
    """What all models are measured on."""

    pairs: list[Pair]
    scale: int
    seeds: int
    features: FeatureNetwork


def main() -> None:
    """Measures, prints and records."""
    options = _options()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as crops:
        folders, clean = options.pictures, options.clean
        if options.quick:
            folders = [_cropped(folder, Path(crops) / str(n)) for n, folder in enumerate(folders)]
            clean = _cropped(clean, Path(crops) / "clean")
        setting = read_setting(folders, options.scale, options.seeds, options.perceptual)
        reference = f"esc-light-x{options.scale}"
        rows: dict[str, Figures] = {}
        for name in ("bicubic", reference, *options.model, *options.gan):
            rows[name] = measure(None if name == "bicubic" else _opened(name, options.scale), setting)
            rows[name]["clean_psnr_y"] = escsr.evaluate(name, clean, scale=options.scale).psnr_y
            if name != "bicubic":
                rows[name]["behaviour"] = _behaviour(name, options.scale)
            print(name, _shown(rows[name]), flush=True)
    candidates = sorted((*options.model, *options.gan), key=lambda name: _mean_distance(rows[name]))
    bars = {
        name: _bars(rows[name], rows, reference, gan=name in options.gan)
        for name in dict.fromkeys(candidates)
    }
    for name, of_model in bars.items():
        print(f"\n{name}: {sum(bar['met'] for bar in of_model.values())} of {len(of_model)} bars met")
        for text, bar in of_model.items():
            print(f"  {'+' if bar['met'] else '-'} {text}: {bar['is']:.3f}")
    results = {
        "scale": options.scale,
        "pictures": [pair.name for pair in setting.pairs],
        "seeds": options.seeds,
        "perceptual": setting.features.kind,
        "crops": _QUICK_SIDE if options.quick else None,
        "degraded": {damage: {name: row[damage] for name, row in rows.items()} for damage in DAMAGES[:2]},
        "shrunk": {name: row["clean"] for name, row in rows.items()},
        "clean": {
            "set": options.clean.parent.name,
            "psnr_y": {name: row["clean_psnr_y"] for name, row in rows.items()},
        },
        "behaviour": {name: row["behaviour"] for name, row in rows.items() if "behaviour" in row},
        "bars": bars,
        "precision": f"{QUICKEST} where degraded, else float32",
    }
    if options.record:
        print(record(options.record, results))


def read_setting(folders: Iterable[Path], scale: int, seeds: int, perceptual: Path) -> Setting:
    """The pictures of folders, in their order, and the feature network."""
    pairs = [pair for folder in folders for pair in read_pairs(folder, None, scale)]
    return Setting(pairs, scale, seeds, load_feature_network(perceptual))


def measure(model: Upscaler | None, setting: Setting) -> Figures:
    """By damage, means over pictures and seeds and the largest shift of colour; bicubic for no model."""
    figures: Figures = {}
    for damage in DAMAGES:
        collected: dict[str, list[float]] = defaultdict(list)
        shifts: list[float] = []
        for seed in range(1 if damage == "clean" else setting.seeds):
            for index, pair in enumerate(setting.pairs):
                lr = small_of(pair, damage, setting.scale, seed=seed, index=index)
                sr = imresize(lr, setting.scale) if model is None else model(lr, scale=setting.scale)
                for key, value in figures_of(sr, pair.hr, setting).items():
                    collected[key].append(value)
                shifts.append(colour_shift(to_tensor(sr).float(), to_tensor(lr).float()))
        means = {key: float(np.mean(values)) for key, values in collected.items()}
        figures[damage] = {**means, "largest_colour_shift": max(shifts)}
    return figures


def small_of(pair: Pair, damage: str, scale: int, *, seed: int, index: int) -> np.ndarray:
    """LR of a picture, uint8 (h, w, 3): damaged by a preset, or only shrunk."""
    if damage != "clean":
        return degraded(pair.hr, PRESETS[damage], scale, seed=seed, index=index)
    return imresize(pair.hr, 1 / scale)


def figures_of(sr: np.ndarray, hr: np.ndarray, setting: Setting) -> dict[str, float]:
    """Y-PSNR without the border, and the perceptual distance, of uint8 (H, W, 3)."""
    result, truth = (to_tensor(x).float() for x in (sr, hr))
    edge = setting.scale
    luma = (rgb_to_y(x)[..., edge:-edge, edge:-edge] for x in (result, truth))
    return {
        "psnr_y": psnr(*luma),
        "distance": perceptual_distance(setting.features, result / 255, truth / 255),
    }


def _behaviour(name: str, scale: int) -> Figures:
    """On pictures that no camera makes: greys, noise on a flat patch, the range of the activations."""
    upscaler = _opened(name, scale, precision="float32")
    side = np.full((_FLAT_SIDE // 2, _FLAT_SIDE // 2, 3), 1 / 255, np.float32)
    errors = [np.abs(upscaler(side * grey) * 255 - grey) for grey in _GREYS]
    edge = scale * BORDER
    noise = np.random.default_rng(0).normal(128, _NOISE, (_FLAT_SIDE, _FLAT_SIDE, 3))
    flat = to_tensor(upscaler(noise.clip(0, 255).round().astype(np.uint8)))[..., edge:-edge, edge:-edge]
    return {
        "grey_inside": float(max(error[edge:-edge, edge:-edge].max() for error in errors)),
        "grey_border": float(max(error.max() for error in errors)),
        "pattern": pattern_peak(flat),
        "grain": _grain(upscaler(_slope_as_jpeg()), edge),
        "largest_activation": max(measure_stability(upscaler.inference).activations.values()),
    }


def _slope_as_jpeg() -> np.ndarray:
    """Brown that becomes lighter along the diagonal, with the blocks of a JPEG; uint8 (64, 64, 3)."""
    steps = np.add.outer(np.arange(_FLAT_SIDE), np.arange(_FLAT_SIDE)) / (2 * _FLAT_SIDE)
    slope = np.array([120, 70, 40]) + steps[..., None] * np.array([80, 60, 40])
    encoded = libjpeg(to_tensor(slope).float() / 255, _QUALITY)  # (3, 64, 64) in [0, 1]
    return np.ascontiguousarray((encoded * 255).round().byte().permute(1, 2, 0).numpy())


def _grain(result: np.ndarray, edge: int) -> float:
    """Standard deviation of luma from its local mean, without the border, levels of 255."""
    luma = rgb_to_y(to_tensor(result).float())[None]  # (1, 1, R, S)
    fine = luma - torch.nn.functional.avg_pool2d(luma, _FINE, 1, _FINE // 2)
    return float(fine[..., edge:-edge, edge:-edge].std())


def _bars(figures: Figures, rows: dict[str, Figures], reference: str, *, gan: bool) -> dict[str, Figures]:
    """Each bar in words, the figure, and whether it is met."""
    bars: dict[str, Figures] = {}

    def bar(text: str, value: float, *, met: bool) -> None:
        bars[text] = {"is": value, "met": bool(met)}

    for other in ("bicubic", reference):
        for damage in DAMAGES[:2]:
            ratio = figures[damage]["distance"] / rows[other][damage]["distance"]
            bar(f"{damage}: distance at most 0.8 of {other}'s", ratio, met=ratio <= 0.8)
    for damage, least in () if gan else (("gentle", 0.5), ("real-esrgan", 0.1)):
        gain = figures[damage]["psnr_y"] - rows["bicubic"][damage]["psnr_y"]
        bar(f"{damage}: at least {least} dB above bicubic", gain, met=gain >= least)
    most = 1.5 if gan else 0.7
    loss = rows[reference]["clean_psnr_y"] - figures["clean_psnr_y"]
    bar(f"clean: at most {most} dB below {reference}", loss, met=loss <= most)
    shift = max(figures[damage]["largest_colour_shift"] for damage in DAMAGES)
    bar("shift of a mean colour at most 0.5 of 255", shift, met=shift <= 0.5)
    behaviour = figures["behaviour"]
    grey, pattern, largest = (behaviour[key] for key in ("grey_border", "pattern", "largest_activation"))
    bar("greys within 1 of 255, at the border too", grey, met=grey <= 1)
    bar("no pattern of 2, 4 or 8 pixels: below 0.1", pattern, met=pattern < 0.1)
    bar("largest activation within float16", largest, met=largest < HALF_LIMIT)
    return bars


def _mean_distance(figures: Figures) -> float:
    return float(np.mean([figures[damage]["distance"] for damage in DAMAGES[:2]]))


def _opened(name: str, scale: int, precision: Precision = QUICKEST) -> Upscaler:
    return Upscaler(name, scale=scale, device="cpu", precision=precision)


def _cropped(folder: Path, target: Path) -> Path:
    """The middles of a folder's pictures, written to another folder, which is returned."""
    for path in images.find_images(folder):
        pixels = images.read(path).pixels
        top, left = (max(0, side - _QUICK_SIDE) // 2 for side in pixels.shape[:2])
        middle = pixels[top : top + _QUICK_SIDE, left : left + _QUICK_SIDE]
        images.write(images.Picture(np.ascontiguousarray(middle)), target / f"{path.stem}.png")
    return target


def _shown(figures: Figures) -> str:
    parts = [f"{d} {figures[d]['psnr_y']:.2f} dB / {figures[d]['distance']:.3f}" for d in DAMAGES]
    rest = {"clean_psnr_y": figures["clean_psnr_y"], **figures.get("behaviour", {})}
    return "  ".join([*parts, *(f"{key} {value:.3f}" for key, value in rest.items())])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    folder = "folder of clean pictures; may be repeated"
    parser.add_argument("--pictures", type=Path, action="append", required=True, help=folder)
    parser.add_argument("--clean", type=Path, required=True, help="set that must stay sharp")
    parser.add_argument("--perceptual", type=Path, required=True, help="a feature network's file")
    parser.add_argument("--model", action="append", default=[], help="fidelity form, name or file")
    parser.add_argument("--gan", action="append", default=[], help="GAN form, judged by its own bars")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--seeds", type=int, help="default: 5, or 1 with --quick")
    parser.add_argument("--quick", action="store_true", help="crops and one seed, to rank weights")
    parser.add_argument("--record", help="name of the record under results/")
    options = parser.parse_args()
    options.seeds = options.seeds or (1 if options.quick else 5)
    return options


if __name__ == "__main__":
    with torch.inference_mode():
        main()
