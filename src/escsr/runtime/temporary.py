"""Where temporary files go that shall take no memory: many systems keep their temporary folder in it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import psutil

__all__ = ["disk_folder", "is_in_memory"]

_IN_MEMORY = {"tmpfs", "ramfs"}

_ON_DISK = Path("/var/tmp")
"""Linux's other folder of temporary files, which outlive a restart and so are on a disk."""


def disk_folder() -> Path:
    """The system's temporary folder, or where that is in memory another on a disk, where there is one."""
    usual = Path(tempfile.gettempdir())
    other = _ON_DISK
    if is_in_memory(usual) and os.access(other, os.W_OK | os.X_OK) and not is_in_memory(other):
        return other
    return usual


def is_in_memory(folder: Path) -> bool:
    """Whether files of a folder take memory; false where the system does not tell."""
    try:
        kinds = {Path(each.mountpoint): each.fstype for each in psutil.disk_partitions(all=True)}
        place = folder.resolve()
    except (OSError, RuntimeError, psutil.Error):
        return False
    return next((kinds[each] for each in (place, *place.parents) if each in kinds), "") in _IN_MEMORY
