"""Tells glibc to keep freed memory: large tensors then need no new pages at every operation."""

from __future__ import annotations

import ctypes
from contextlib import suppress

__all__ = ["keep_freed_memory", "return_freed_memory"]

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> None:
    """Makes this process reuse its memory instead of returning it to the system (Linux with glibc).

    PyTorch on a CPU allocates every result anew; above 32 MiB glibc maps and unmaps it each time,
    and the page faults cost up to half of the time. For commands, which own their process; call it
    before the first tensor. Results are the same to the bit. Elsewhere nothing happens.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        for name, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 256 * 2**20)):
            mallopt(name, value)


def return_freed_memory() -> None:
    """Gives memory that is kept for nothing back to the system (Linux with glibc); for idle times."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
