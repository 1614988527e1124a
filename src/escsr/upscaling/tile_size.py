"""The tile size that is fastest here: a short probe, remembered per model and device."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

import platformdirs
import torch
from pydantic import TypeAdapter

from escsr.errors import EscError
from escsr.files import atomic_path
from escsr.networks import ESC
from escsr.networks.inference_form import inference_form
from escsr.runtime.devices import device_name
from escsr.runtime.memory import is_out_of_memory
from escsr.runtime.precision import PrecisionPolicy

__all__ = ["fastest_tile_size", "probe"]

_TOLERANCE = 1.03
"""A smaller tile that is not slower than this is preferred: it takes less memory."""

_SECONDS = TypeAdapter(dict[str, dict[int, float]])
"""What is remembered: by model, device and arithmetic the seconds of each tile size."""

_too_large: dict[str, set[int]] = {}
"""Sizes that memory ran out for, by the same key: not tried again by this process, nor remembered."""

_LOG = logging.getLogger(__name__)


def fastest_tile_size(network: ESC, policy: PrecisionPolicy, candidates: Sequence[int]) -> int:
    """The fastest of some tile sizes on the network's device; measured once, then remembered.

    Args:
        network: The network, on its device.
        policy: How its functions are called.
        candidates: Tile sides, LR pixels; those that fit into memory.

    Returns:
        One of the candidates; the smallest where memory holds none.
    """
    key = _key(network, policy.precision)
    seconds = _recall().get(key, {})
    too_large = _too_large.setdefault(key, set())
    missing = [size for size in candidates if size not in seconds and size not in too_large]
    if missing:
        found = probe(network, policy, missing)
        too_large |= {size for size in found if found[size] == math.inf}
        seconds |= {size: each for size, each in found.items() if each < math.inf}
        _LOG.info("Seconds per megapixel and block by tile size: %s", seconds)
        _remember({**_recall(), key: seconds})
    seconds = dict.fromkeys(too_large, math.inf) | seconds
    limit = min(seconds[size] for size in candidates) * _TOLERANCE
    return min(size for size in candidates if seconds[size] <= limit)


@torch.no_grad()
def probe(network: ESC, policy: PrecisionPolicy, sizes: Sequence[int]) -> dict[int, float]:
    """Times one block of the network on noise, with tiles of each size.

    Args:
        network: The network, on its device.
        policy: How its functions are called.
        sizes: Tile sides, LR pixels.

    Returns:
        Seconds per megapixel, the better of two runs, by size; infinite where memory runs out.
    """
    form = inference_form(network)
    return {size: _seconds(form, policy, size) for size in sizes}


def _seconds(form: ESC, policy: PrecisionPolicy, size: int) -> float:
    parameter, large_kernel, block = next(form.parameters()), form.shared_kernel(), form.blocks[0]
    times = []
    try:
        noise = torch.randn(1, form.config.dim, size, size, device="cpu").to(parameter)
        x = noise.contiguous(memory_format=torch.channels_last)
        for _ in range(2):
            start = time.perf_counter()
            policy(block, (x, large_kernel)).sum().item()
            times.append(time.perf_counter() - start)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return math.inf
    return round(min(times) / size**2 * 1e6, 4)


def _key(network: ESC, precision: str) -> str:
    device = next(network.parameters()).device
    shape = hashlib.sha256(json.dumps(network.config.to_dict(), sort_keys=True).encode()).hexdigest()[:12]
    cores = f"{torch.get_num_threads()} threads of {os.cpu_count()}" if device.type == "cpu" else "1"
    versions = precision, f"torch {torch.__version__}"
    return " | ".join((shape, device.type, device_name(device), cores, *versions))


def _cache() -> Path:
    return platformdirs.user_cache_path("escsr") / "tile-sizes.json"


def _recall() -> dict[str, dict[int, float]]:
    try:
        return _SECONDS.validate_json(_cache().read_bytes())
    except (OSError, ValueError):
        return {}


def _remember(known: dict[str, dict[int, float]]) -> None:
    """A cache that cannot be written costs a second next time, nothing more."""
    try:
        with atomic_path(_cache()) as temporary:
            temporary.write_bytes(_SECONDS.dump_json(known, indent=1) + b"\n")
    except EscError as error:
        _LOG.debug("Tile sizes are not remembered: %s", error)
