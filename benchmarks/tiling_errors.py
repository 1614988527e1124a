"""What ordinary tiling does to a picture, and what exact streaming does: dB against the whole picture.

    python benchmarks/tiling_errors.py --model esc-light-x2 --picture examples/city.png

Ordinary tiling runs the whole network on each tile with some pixels around it and cuts them off.
"aligned" tiles begin on the window grid, their margins a multiple of the window too; others do not.
Records results/streaming/tiling-errors-MODEL.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conditions import record
from escsr import images, streaming
from escsr.models.checkpoints import load_network
from escsr.networks import ESC
from escsr.runtime.allocator import keep_freed_memory
from escsr.streaming.tiles import Span, output_region

CASES = [
    ("aligned", 128, 0),
    ("aligned", 128, 32),
    ("aligned", 128, 64),
    ("unaligned", 128, 10),
    ("unaligned", 120, 0),
    ("unaligned", 120, 10),
    ("unaligned", 120, 32),
    ("unaligned", 120, 64),
]


def main() -> None:
    """Measures every case."""
    options = _options()
    keep_freed_memory()
    network = load_network(options.model).requires_grad_(False)
    pixels = images.read(options.picture).colour
    lr = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
    with torch.no_grad():
        whole = network(lr)
        rows: list[dict[str, Any]] = []
        for kind, tile_size, halo in CASES:
            tiled = ordinary_tiling(network, lr, tile_size, halo)
            rows.append({"tiling": kind, "tile_size": tile_size, "halo": halo, **_compare(tiled, whole)})
            print(rows[-1], flush=True)
        for tile_size in (64, 128):
            exact = streaming.run(network, lr, tile_size=tile_size)
            rows.append({"tiling": "exact", "tile_size": tile_size, "halo": None, **_compare(exact, whole)})
            print(rows[-1], flush=True)
    values = {"model": options.model, "picture": options.picture.name, "rows": rows}
    print(record(f"streaming/tiling-errors-{options.model}", values))


def ordinary_tiling(network: ESC, lr: Tensor, tile_size: int, halo: int) -> Tensor:
    """The network on each tile by itself, with a margin that is cut off."""
    scale = network.config.scale
    assert scale is not None
    height, width = lr.shape[-2:]
    sr = lr.new_empty(1, 3, height * scale, width * scale)
    for top in range(0, height, tile_size):
        for left in range(0, width, tile_size):
            rows, columns = (
                Span(top, min(height, top + tile_size)),
                Span(left, min(width, left + tile_size)),
            )
            outer_rows, outer_columns = rows.widened(halo, height), columns.widened(halo, width)
            part = network(lr[..., outer_rows.slice, outer_columns.slice])
            tile, region, size = (rows, columns), (outer_rows, outer_columns), (height, width)
            wanted = output_region(tile, region, size, (height * scale, width * scale))
            inner = [side.within(scale) for side in wanted]
            where = [slice(side.start, side.stop) for side in wanted]
            sr[..., where[0], where[1]] = part[..., inner[0], inner[1]]
    return sr


def _compare(result: Tensor, whole: Tensor) -> dict[str, float]:
    """PSNR and largest error against the whole picture; 8-bit values that differ."""
    difference = (result - whole).double()
    as_bytes = [(sr.clamp(0, 1) * 255).round() for sr in (result, whole)]
    return {
        "psnr_db": float(-10 * difference.square().mean().log10()),
        "max_error": float(difference.abs().max()),
        "bytes_that_differ": float((as_bytes[0] != as_bytes[1]).double().mean()),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="esc-light-x2")
    parser.add_argument("--picture", type=Path, default=Path("examples/city.png"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
