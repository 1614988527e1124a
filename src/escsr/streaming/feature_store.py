"""Feature maps of a whole picture, in host memory or in a temporary file."""

from __future__ import annotations

import mmap
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from escsr.errors import DeviceError
from escsr.runtime.temporary import disk_folder, is_in_memory
from escsr.streaming.tiles import Tile

__all__ = ["FeatureStorage", "FeatureStore"]

FeatureStorage = Literal["float32", "float16", "file"]
"""How maps are kept: "float32" in memory (the network's own floating type), "float16" in half of it
(about 65 dB from the exact result), "file" exact in a temporary file, for when memory is short."""


class FeatureStore:
    """Maps (B, C, H, W) by name, each in memory of its own, channels last.

    Memory comes straight from the system and goes back to it when a map is dropped, so that the maps
    of a large picture leave no holes in the heap.

    Args:
        size: Rows H and columns W of the picture.
        storage: See `FeatureStorage`.
        folder: Where temporary files go; None for `disk_folder`.
        dtype: The network's type, in which maps are taken out.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        storage: FeatureStorage = "float32",
        folder: Path | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.size, self.dtype = size, dtype
        self.half = storage == "float16"
        self.in_file = storage == "file"
        self.folder = disk_folder() if folder is None and self.in_file else folder
        self.maps: dict[str, Tensor] = {}

    def take(self, name: str, region: Tile) -> Tensor:
        """A region of a map in the network's type; a view where nothing has to be converted."""
        return self.maps[name][..., region[0].slice, region[1].slice].to(self.dtype)

    def put(self, name: str, tile: Tile, values: Tensor) -> None:
        """Writes a tile of a map, (B, C, h, w); the map is made with the first."""
        if self.half and values.abs().amax() > torch.finfo(torch.float16).max:
            self._widen(values.dtype)
        is_whole = (len(tile[0]), len(tile[1])) == self.size
        if is_whole and not self.half and not self.in_file:
            self.maps[name] = values
            return
        if name not in self.maps:
            self.maps[name] = self._new(values.shape[0], values.shape[1], values.dtype)
        self.maps[name][..., tile[0].slice, tile[1].slice] = values

    def keep_only(self, names: set[str]) -> None:
        """Frees every other map."""
        for name in self.maps.keys() - names:
            del self.maps[name]

    def _widen(self, dtype: torch.dtype) -> None:
        """Half precision does not hold these values: all maps go on in the network's type."""
        self.half = False
        for name, old in self.maps.items():
            self.maps[name] = self._new(old.shape[0], old.shape[1], dtype).copy_(old)

    def _new(self, batch: int, channels: int, dtype: torch.dtype) -> Tensor:
        stored = torch.float16 if self.half else dtype
        shape = (batch, *self.size, channels)
        memory = self._memory(torch.Size(shape).numel() * stored.itemsize)
        return torch.frombuffer(memory, dtype=stored).reshape(shape).permute(0, 3, 1, 2)

    def _memory(self, size_bytes: int) -> mmap.mmap:
        place, advice = "memory", "keep maps as float16 or in a file (feature_storage=, --feature-storage)"
        if self.in_file and self.folder is not None:
            place = f"{self.folder}{', which is in memory,' * is_in_memory(self.folder)}"
            advice = "TMPDIR names another folder"
        try:
            if self.in_file:
                with tempfile.TemporaryFile(prefix="escsr-", dir=self.folder) as file:
                    _reserve(file.fileno(), size_bytes)
                    return mmap.mmap(file.fileno(), size_bytes)
            memory = mmap.mmap(-1, size_bytes)
        except OSError as error:
            raise DeviceError(
                f"No room in {place} for a feature map of {size_bytes / 2**30:.1f} GiB ({error.strerror}); "
                f"{advice}."
            ) from error
        with suppress(AttributeError, OSError):  # where the system has no huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)
        return memory


def _reserve(file: int, size_bytes: int) -> None:
    """Takes the disk space now: a full disk would otherwise end the process at a later write."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size_bytes)
    else:
        os.truncate(file, size_bytes)
