"""HR pictures and their LR as a pool of training patches, drawn by a counter-based generator."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from escsr.data.pictures import (
    Folders,
    find_pairs,
    find_training_images,
    fit_pair,
    folders_text,
    read_rgb,
    read_sizes,
)
from escsr.data.resizers import Resizer, downscale
from escsr.data.storage import ImageSource, load_images
from escsr.errors import ConfigError, DataError

__all__ = ["PatchSampler", "shard_of_batch"]


class PatchSampler:
    """HR pictures and their LR as uint8; a batch is a pure function of (seed, iteration).

    Args:
        lr: LR pictures, uint8 (h, w, 3), all on one device.
        hr: HR pictures, uint8 (h·scale, w·scale, 3), in the same order.
        scale: Enlargement.

    Raises:
        DataError: The pictures do not pair.
    """

    def __init__(self, lr: list[Tensor], hr: list[Tensor], scale: int) -> None:
        if not hr or len(lr) != len(hr):
            raise DataError(f"{len(lr)} LR and {len(hr)} HR pictures do not make pairs.")
        for small, large in zip(lr, hr, strict=True):
            if (small.shape[0] * scale, small.shape[1] * scale) != large.shape[:2]:
                raise DataError(f"LR {tuple(small.shape)} times {scale} is not HR {tuple(large.shape)}.")
        self.lr, self.hr, self.scale = lr, hr, scale
        self._sides = np.array([picture.shape[:2] for picture in lr])

    @classmethod
    def from_folder(
        cls,
        folder: Folders,
        *,
        scale: int,
        patch_size: int,
        lr: Folders | None = None,
        resizer: Resizer = "matlab-bicubic",
        storage: str = "auto",
        cache: str | os.PathLike[str] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> PatchSampler:
        """Reads every picture below a folder or several, and reads or makes their LR.

        Args:
            folder: HR pictures, in any nesting; several folders are one sampler, in this order.
            scale: Enlargement r; HR is cropped to a multiple of it, or to what the LR covers.
            patch_size: LR patch side the sampler must serve; smaller pictures are left out.
            lr: Folder of LR pictures of the same names (see `find_pairs`), one for each folder of HR;
                None to make them.
            resizer: What makes the LR where it is not given.
            storage: "memory", "mapped" for a memory-mapped file, "cuda" or another device to keep the
                pictures there, or "auto": memory, or mapped where half of it would not do.
            cache: Folder for the mapped file; None for the platform's cache folder.
            on_progress: Called with (pictures done, pictures in all).

        Returns:
            The sampler. What a batch holds depends neither on `storage` nor on the device.

        Raises:
            DataError: No picture is large enough, one cannot be read, lacks its LR, or does not fit it.
            DeviceError: There is no such device.
            OutputError: The cache cannot be written.
        """
        files = _find_files(folder, lr, scale)
        sides = read_sizes([group[0] for group in files]) // scale
        wanted = [group for group, side in zip(files, sides, strict=True) if min(side) >= patch_size]
        if not wanted:
            raise DataError(
                f"{folders_text(folder)}: none of {len(files)} pictures has sides of "
                f"{patch_size * scale} pixels, as patches of {patch_size} at ×{scale} need; choose smaller "
                f"patches or larger pictures."
            )
        left_out = len(files) - len(wanted)

        def decode(index: int) -> tuple[NDArray[np.uint8], ...]:
            return _read_pair(wanted[index], scale, resizer)

        def report(done: int, _total: int) -> None:
            if on_progress is not None:
                on_progress(left_out + done, len(files))

        num_bytes = 3 * int(sides.prod(1)[sides.min(1) >= patch_size].sum()) * (1 + scale**2)
        recipe = f"×{scale} {resizer if lr is None else 'given LR'}"
        source = ImageSource(wanted, decode, recipe, num_bytes)
        pairs = load_images(
            source, storage, cache=None if cache is None else Path(cache), on_progress=report
        )
        return cls([pair[0] for pair in pairs], [pair[1] for pair in pairs], scale)

    def __len__(self) -> int:
        return len(self.hr)

    def batch(
        self,
        seed: int,
        iteration: int,
        batch_size: int,
        patch_size: int,
        *,
        rank: int = 0,
        world_size: int = 1,
    ) -> tuple[Tensor, Tensor]:
        """Random patches, flipped and transposed at random; the same for the same arguments, always.

        Pictures are drawn by the number of patches they hold. Of several processes each asks for its
        part of the one batch, which does not depend on how many they are.

        Args:
            seed: Any non-negative integer.
            iteration: Counter of the step.
            batch_size: Patches B, of all processes together.
            patch_size: LR side p.
            rank: Which process asks.
            world_size: How many processes N share the batch; B must be a multiple of it.

        Returns:
            LR (B/N, 3, p, p) and HR (B/N, 3, rp, rp), float32 in [0, 1], where the pictures are kept.

        Raises:
            ConfigError: The batch cannot be shared so, or no picture holds a patch.
        """
        part = shard_of_batch(batch_size, rank, world_size)
        generator = np.random.Generator(np.random.Philox(key=np.array([seed, iteration], np.uint64)))
        places = np.maximum(self._sides - patch_size + 1, 0).prod(1)
        ends = np.cumsum(places)
        if not ends[-1]:
            raise ConfigError(f"No picture holds a patch of {patch_size}; choose a smaller patch_size.")
        draws = generator.integers(ends[-1], size=batch_size)
        chosen = np.searchsorted(ends, draws, side="right")
        offsets = draws - (ends - places)[chosen]
        flips = generator.random((batch_size, 3)) < 0.5
        lr, hr = [], []
        for index, offset, flip in zip(chosen[part], offsets[part], flips[part], strict=True):
            small, large = self.lr[index], self.hr[index]
            top, left = divmod(int(offset), small.shape[1] - patch_size + 1)
            lr.append(_augment(_crop(small, top, left, patch_size), flip))
            hr.append(_augment(_crop(large, *(self.scale * v for v in (top, left, patch_size))), flip))
        return _to_batch(lr), _to_batch(hr)


def shard_of_batch(batch_size: int, rank: int, world_size: int) -> slice:
    """The samples of a batch that one of several processes takes, in order of rank.

    Raises:
        ConfigError: They are not equally many for each, or there is no such rank.
    """
    if not 0 <= rank < world_size or batch_size % world_size:
        raise ConfigError(
            f"A batch of {batch_size} cannot be shared by {world_size} processes (rank {rank}): it must "
            f"be a multiple of their number, and ranks count from 0."
        )
    size = batch_size // world_size
    return slice(rank * size, (rank + 1) * size)


def _find_files(hr: Folders, lr: Folders | None, scale: int) -> list[tuple[Path, ...]]:
    """(HR file,) or (HR file, LR file) of each picture."""
    if lr is None:
        return [(file.path,) for file in find_training_images(hr)]
    return [(large.path, small.path) for large, small in find_pairs(hr, lr, scale)]


def _read_pair(
    group: tuple[Path, ...], scale: int, resizer: Resizer
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """LR and HR of one picture, from (HR file,) or (HR file, LR file)."""
    hr = read_rgb(group[0])
    if len(group) > 1:
        lr = read_rgb(group[1])
        return lr, fit_pair(hr, lr, scale, str(group[1]))
    height, width = (side // scale * scale for side in hr.shape[:2])
    hr = np.ascontiguousarray(hr[:height, :width])
    return downscale(hr, scale, resizer), hr


def _crop(image: Tensor, top: int, left: int, size: int) -> Tensor:
    return image[top : top + size, left : left + size]


def _augment(patch: Tensor, flip: NDArray[np.bool_]) -> Tensor:
    """Horizontal flip, vertical flip and transpose, each by its own coin."""
    if flip[0]:
        patch = patch.flip(1)
    if flip[1]:
        patch = patch.flip(0)
    return patch.transpose(0, 1) if flip[2] else patch


def _to_batch(patches: list[Tensor]) -> Tensor:
    return torch.stack(patches).permute(0, 3, 1, 2).float().div_(255)
