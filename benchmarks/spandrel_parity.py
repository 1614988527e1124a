"""Our models in spandrel, and other models in our tiles: how far results are from each other.

    PYTHONPATH=tests python benchmarks/spandrel_parity.py

Needs spandrel (`pip install --no-deps -c constraints.txt spandrel einops`); the networks of other
architectures are small ones with random weights, from `tests/other_models.py`. Records
results/integrations/spandrel.json: largest differences of any value, in [0, 1].
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

import escsr
from conditions import record
from escsr.integrations.publishing import publish
from escsr.integrations.spandrel import install
from escsr.models.bundled import find_model
from escsr.upscaling.opening import open_inference
from escsr.upscaling.tiled import TiledInference
from other_models import OTHERS, real_spandrel

SIZE = (37, 41)
LARGE, TILE = (150, 210), 64


def main() -> None:
    """Compares all, prints and records."""
    torch.manual_seed(0)
    spandrel = real_spandrel()
    install()
    with TemporaryDirectory() as name:
        folder = Path(name)
        ours = [
            _ours(model, spandrel, folder)
            for model in escsr.list_models()
            if escsr.load_network(model).config.scale is not None
        ]
        others = [_other(kind, folder) for kind in OTHERS]
    values = {
        "spandrel": importlib.metadata.version("spandrel"),
        "python": sys.version.split()[0],
        "size": SIZE,
        "models": ours,
        "large_size": LARGE,
        "tile_size": TILE,
        "other_models": others,
    }
    print(record("integrations/spandrel", values))


def _ours(model: str, spandrel: Any, folder: Path) -> dict[str, Any]:
    lr = torch.rand(1, 3, *SIZE)
    expected = escsr.Upscaler(model, device="cpu", keep_colour=False)(lr)
    published, *_ = publish(model, folder / model)
    loader = spandrel.ModelLoader()
    row = {
        "model": model,
        "our_file": _distance(loader.load_from_file(find_model(model))(lr), expected),
        "published_file": _distance(loader.load_from_file(published)(lr), expected),
        "published_folder": _distance(
            escsr.Upscaler(folder / model, device="cpu", keep_colour=False)(lr), expected
        ),
    }
    print(row)
    return row


def _other(kind: str, folder: Path) -> dict[str, Any]:
    torch.save(OTHERS[kind][0]().state_dict(), folder / f"{kind}.pth")
    cpu = torch.device("cpu")
    whole, tiled = (
        open_inference(folder / f"{kind}.pth", device=cpu, tile_size=size).inference
        for size in (None, TILE)
    )
    assert isinstance(tiled, TiledInference)
    lr = torch.rand(1, 3, *LARGE)
    row = {
        "architecture": tiled.model.name,
        **tiled.reach._asdict(),
        "tiles_to_whole": _distance(tiled(lr), whole(lr)),
    }
    print(row)
    return row


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


if __name__ == "__main__":
    main()
