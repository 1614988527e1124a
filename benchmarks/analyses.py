"""The figures of docs/analysis.md, and the numbers that the page says of them.

    python benchmarks/analyses.py B100/HR               # all
    python benchmarks/analyses.py B100/HR lam features  # some

Writes docs/images/analysis-*.png and records results/analysis/NAME.json, by the functions behind
`escsr analyse` with the settings that the page shows.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from conditions import record
from escsr import analysis
from escsr.runtime.allocator import keep_freed_memory

ROOT = Path(__file__).resolve().parent.parent
MODELS = ("esc-light-x4", "esc-x4", "esc-fp-x4")


def image(name: str) -> Path:
    """Where the page looks for a figure."""
    return ROOT / "docs" / "images" / f"analysis-{name}.png"


def cka(folder: Path, *, name: str, layers: str, cosine: bool = True) -> dict[str, Any]:
    result = analysis.analyse_cka(
        [folder],
        image(name),
        model=["esc-x4"],
        layers=layers,
        cosine=cosine,
        shrink="matlab-bicubic",
        side=32,
        device="cpu",
    )
    return result.to_dict()


def lam(_: Path) -> dict[str, Any]:
    settings: dict[str, Any] = {"shrink": "pil-bicubic", "crop": "80,40,64,64", "window": "192,90,16,16"}
    picture = ROOT / "examples" / "city.png"
    found = analysis.analyse_lam(picture, image("lam"), model=MODELS, device="cpu", **settings)
    return {name: each.to_dict() for name, each in found.items()}


def erf(folder: Path) -> dict[str, Any]:
    settings: dict[str, Any] = {"shrink": "matlab-bicubic", "side": 64, "max_images": 4}
    fields = analysis.analyse_erf([folder], image("erf"), model=MODELS, device="cpu", **settings)
    return {name: each.to_dict() for name, each in fields.items()}


def features(_: Path) -> dict[str, Any]:
    settings: dict[str, Any] = {"shrink": "matlab-bicubic", "crop": "20,10,96,96"}
    picture, models = ROOT / "examples" / "flowers.png", ["esc-x4", "esc-fp-x4"]
    found = analysis.analyse_features(picture, image("features"), model=models, device="cpu", **settings)
    return {
        name: {kind: float(each.mean(kind).std()) for kind in each.maps} for name, each in found.items()
    }


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "conv-attn": partial(cka, name="conv-attn", layers="conv-attn", cosine=False),
    "attention": partial(cka, name="attention", layers="attention"),
    "maps": partial(cka, name="maps", layers="attention-maps"),
    "features": features,
    "erf": erf,
    "lam": lam,
}


def main() -> None:
    keep_freed_memory()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="B100's originals")
    parser.add_argument(
        "parts", nargs="*", choices=[*PARTS, []], help="figures to make; all if none is given"
    )
    arguments = parser.parse_args()
    for part in arguments.parts or PARTS:
        values = PARTS[part](arguments.folder)
        small = Image.open(image(part)).convert("RGB").quantize(256)  # a third of the bytes
        small.save(image(part), optimize=True)
        print(record(f"analysis/{part}", values))


if __name__ == "__main__":
    main()
