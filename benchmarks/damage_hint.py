"""How often `measure_damage` finds noise and JPEG blocks where they are, and where they are not.

    python benchmarks/damage_hint.py --fit B100/HR examples --report Set14/HR Set5/HR

Pictures as they are, and their bicubic ×2 and ×4 LR, count as clean; damaged ones are made of them and of
their LR ×2. The thresholds were chosen on the pictures of `--fit`, so those of `--report` tell more. It
records results/real/damage-hint.json: shares found by kind, precision where clean and damaged pictures are
equally many, the names of clean ones that were taken for damaged, and the time for 12 megapixels.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from conditions import record
from escsr import images
from escsr.data.degradations import PRESETS
from escsr.data.degradations.chain import apply_steps
from escsr.data.degradations.filters import sharpen
from escsr.data.degradations.jpeg import libjpeg
from escsr.data.degradations.sample import draw_sample
from escsr.data.degradations.steps import Compress
from escsr.data.pictures import read_rgb
from escsr.data.resize import imresize
from escsr.upscaling.damage import Damage, measure_damage

Pixels = NDArray[np.uint8]
QUALITIES = (25, 40, 60, 75, 90, 95)
SIGMAS = (2, 5, 8, 10, 15, 25)
DEGRADATIONS = ("gentle", "real-esrgan", "compressed", "bsrgan")
SCALES = (2, 4)


def main() -> None:
    """Measures every kind on both groups of pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fit", type=Path, nargs="+", required=True)
    parser.add_argument("--report", type=Path, nargs="+", required=True)
    options = parser.parse_args()
    values: dict[str, Any] = {"milliseconds_12_megapixels": _milliseconds()}
    for group in ("fit", "report"):
        print(f"{group}: {', '.join(map(str, getattr(options, group)))}")
        values[group] = _measured(getattr(options, group))
    print(f"12 megapixels: {values['milliseconds_12_megapixels']} ms")
    print(record("real/damage-hint", values))


def _measured(folders: list[Path]) -> dict[str, Any]:
    paths = [path for folder in folders for path in images.find_images(folder)]
    found: dict[str, list[Damage]] = defaultdict(list)
    false: list[dict[str, Any]] = []
    for index, path in enumerate(paths):
        hr = read_rgb(path)
        height, width = (side // 4 * 4 for side in hr.shape[:2])
        for kind, pixels in _versions(np.ascontiguousarray(hr[:height, :width]), index):
            damage = measure_damage(pixels)
            found[kind].append(damage)
            if kind.startswith("clean") and damage.is_damaged:
                false.append({"picture": path.name, "kind": kind, "damage": str(damage)})
    rates = {kind: mean(damage.is_damaged for damage in several) for kind, several in found.items()}
    false_share = mean(rate for kind, rate in rates.items() if kind.startswith("clean"))
    rows = [_row(kind, several, false_share) for kind, several in found.items()]
    print(f"clean pictures found damaged: {false_share:.3f}")
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    for case in false:
        print("  ".join(case.values()))
    return {
        "folders": [folder.parent.name if folder.name == "HR" else folder.name for folder in folders],
        "pictures": len(paths),
        "clean_found_damaged": round(false_share, 4),
        "kinds": rows,
        "clean_taken_for_damaged": false,
    }


def _row(kind: str, several: list[Damage], false_share: float) -> dict[str, Any]:
    recall = mean(damage.is_damaged for damage in several)
    row: dict[str, Any] = {"kind": kind, "count": len(several), "found": round(recall, 3)}
    if not kind.startswith("clean"):
        row["precision"] = round(recall / (recall + false_share), 3) if recall else None
    noise, blockiness = ([getattr(d, name) for d in several] for name in ("noise", "blockiness"))
    return row | {
        "noise": round(median(noise), 2),
        "blockiness": round(median(blockiness), 2),
        "noisy": round(mean(damage.is_noisy for damage in several), 3),
        "blocky": round(mean(damage.is_blocky for damage in several), 3),
    }


def _versions(hr: Pixels, index: int) -> Iterator[tuple[str, Pixels]]:
    """A picture clean and damaged, with the name of the kind."""
    half = imresize(hr, 1 / 2)
    yield from (("clean", hr), ("clean ×½", half), ("clean ×¼", imresize(hr, 1 / 4)))
    for size, pixels in (("", hr), (" of ×½", half)):
        for quality in QUALITIES:
            damaged = _array(libjpeg(_tensor(pixels), quality))
            yield f"quality {quality}{size}", damaged
            if not size:
                yield f"quality {quality}, then ×½", imresize(damaged, 1 / 2)
        for sigma in SIGMAS:
            noise = np.random.default_rng(index).normal(0, sigma, pixels.shape)
            damaged = np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)
            yield f"σ {sigma}{size}", damaged
            if not size:
                yield f"σ {sigma}, then ×½", imresize(damaged, 1 / 2)
    for name in DEGRADATIONS:
        for scale in SCALES:
            yield from _degraded(name, hr, scale, index)


def _degraded(name: str, hr: Pixels, scale: int, index: int) -> Iterator[tuple[str, Pixels]]:
    """As `degrade`; those with JPEG as the last step, and no resize after it, also on their own."""
    settings = PRESETS[name]
    steps, generator = draw_sample(settings, seed=0, index=index)
    source = sharpen(_tensor(hr)) if settings.sharpen_target else _tensor(hr)
    lr = _array(apply_steps(source, steps, (hr.shape[0] // scale, hr.shape[1] // scale), generator))
    yield f"{name} ×{scale}", lr
    if isinstance(steps[-1], Compress):
        yield f"{name} ×{scale}, JPEG last", lr


def _tensor(pixels: Pixels) -> torch.Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255


def _array(image: torch.Tensor) -> Pixels:
    return (image * 255).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()


def _milliseconds() -> float:
    """Of processor time for a picture of 12 megapixels in colour, the best of ten."""
    pixels = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), dtype=np.uint8)
    spent = []
    for _ in range(10):
        start = time.process_time()
        measure_damage(pixels)
        spent.append(1000 * (time.process_time() - start))
    return round(min(spent), 1)


if __name__ == "__main__":
    main()
