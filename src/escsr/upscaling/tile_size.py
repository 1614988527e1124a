"""The tile size that is fastest here: a short probe, remembered per model and device."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import platformdirs
import torch

from escsr.errors import EscError
from escsr.files import atomic_path
from escsr.networks import ESC
from escsr.networks.inference_form import inference_form
from escsr.runtime.devices import device_name
from escsr.streaming import Compute

__all__ = ["fastest_tile_size", "forget_tile_sizes", "probe"]

_TOLERANCE = 1.03
"""A smaller tile that is not slower than this is preferred: it takes less memory."""

_LOG = logging.getLogger(__name__)


def fastest_tile_size(
    network: ESC, compute: Compute, candidates: Sequence[int], *, precision: str, folder: Path | None = None
) -> int:
    """The fastest of some tile sizes on the network's device; measured once, then remembered.

    Args:
        network: The network, on its device.
        compute: How its functions are called.
        candidates: Tile sides, LR pixels; those that fit into memory.
        precision: Name of the arithmetic, to remember by.
        folder: Where to remember; None for the user's cache folder.

    Returns:
        One of the candidates.
    """
    path = (folder or platformdirs.user_cache_path("escsr")) / "tile-sizes.json"
    key = _key(network, precision)
    known = _recall(path)
    seconds = {int(size): value for size, value in known.get(key, {}).items()}
    missing = [size for size in candidates if size not in seconds]
    if missing:
        seconds |= probe(network, compute, missing)
        _LOG.info("Seconds per megapixel and block by tile size: %s", seconds)
        _remember(path, {**_recall(path), key: {str(size): value for size, value in seconds.items()}})
    limit = min(seconds[size] for size in candidates) * _TOLERANCE
    return min(size for size in candidates if seconds[size] <= limit)


@torch.no_grad()
def probe(network: ESC, compute: Compute, sizes: Sequence[int]) -> dict[int, float]:
    """Times one block of the network on noise, with tiles of each size.

    Args:
        network: The network, on its device.
        compute: How its functions are called.
        sizes: Tile sides, LR pixels.

    Returns:
        Seconds per megapixel, the better of two runs, by size.
    """
    parameter = next(network.parameters())
    form = inference_form(network)
    large_kernel, block = form.shared_kernel(), form.blocks[0]
    seconds = {}
    for size in sizes:
        noise = torch.randn(
            1, network.config.dim, size, size, device=parameter.device, dtype=parameter.dtype
        )
        x = noise.contiguous(memory_format=torch.channels_last)
        times = []
        for _ in range(2):
            start = time.perf_counter()
            compute(block, (x, large_kernel)).sum().item()
            times.append(time.perf_counter() - start)
        seconds[size] = round(min(times) / size**2 * 1e6, 4)
    return seconds


def forget_tile_sizes() -> None:
    """Deletes what was measured, so that it is measured again."""
    (platformdirs.user_cache_path("escsr") / "tile-sizes.json").unlink(missing_ok=True)


def _key(network: ESC, precision: str) -> str:
    device = next(network.parameters()).device
    shape = hashlib.sha256(json.dumps(network.config.to_dict(), sort_keys=True).encode()).hexdigest()[:12]
    cores = f"{torch.get_num_threads()} threads of {os.cpu_count()}" if device.type == "cpu" else "1"
    return " | ".join(
        (shape, device.type, device_name(device), cores, precision, f"torch {torch.__version__}")
    )


def _recall(path: Path) -> dict[str, dict[str, float]]:
    try:
        found = json.loads(path.read_text())
        return {str(key): {str(int(s)): float(t) for s, t in sizes.items()} for key, sizes in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _remember(path: Path, known: dict[str, dict[str, float]]) -> None:
    """A cache that cannot be written costs a second next time, nothing more."""
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(known, indent=1) + "\n")
    except EscError as error:
        _LOG.debug("Tile sizes are not remembered: %s", error)
