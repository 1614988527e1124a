"""What the processor has for training and for estimates of its time, without PyTorch."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["has_bfloat16", "num_cores"]

_CPU = Path("/proc/cpuinfo")


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself, by AVX-512, AMX or NEON; False if unknown.

    Without, PyTorch converts every product's factors, which makes a step of training ten times slower.
    """
    with suppress(OSError):
        words = set(_CPU.read_text().split())
        return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
    return False
