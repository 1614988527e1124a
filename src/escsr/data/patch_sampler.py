"""Training patches of HR pictures and their LR, drawn by a counter-based generator."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from escsr.data.augment import augment
from escsr.data.pictures import Folders, TrainingFile, find_pairs, find_training_images, fit_pair, read_rgb
from escsr.data.resizers import Resizer, downscale
from escsr.data.storage import Group, load_large_enough
from escsr.errors import ConfigError, DataError

__all__ = ["PatchSampler", "check_draw", "shard_of_batch", "to_batch"]


class PatchSampler:
    """HR pictures and their LR as uint8; a batch is a pure function of (seed, iteration).

    Args:
        lr: LR pictures, uint8 (h, w, 3), all on one device.
        hr: HR pictures, uint8 (h·scale, w·scale, 3), in the same order.
        scale: From LR to HR.

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
            scale: Scale r; HR is cropped to a multiple of it, or to what the LR covers.
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
        files: Sequence[tuple[TrainingFile, ...]] = (
            [(file,) for file in find_training_images(folder)]
            if lr is None
            else find_pairs(folder, lr, scale)
        )
        decode = partial(_read_pair, scale=scale, resizer=resizer)
        recipe = f"×{scale} {resizer if lr is None else 'given LR'}"
        pairs = load_large_enough(files, decode, recipe, patch_size, scale, storage, cache, on_progress)
        return cls([pair[0] for pair in pairs], [pair[1] for pair in pairs], scale)

    @property
    def images(self) -> list[Tensor]:
        """All that training is shown, LR and HR; uint8 (H, W, 3)."""
        return self.lr + self.hr

    def __len__(self) -> int:
        return len(self.hr)

    def batch(
        self,
        seed: int,
        iteration: int,
        batch_size: int,
        patch_size: int,
        *,
        shard: int = 0,
        num_shards: int = 1,
    ) -> tuple[Tensor, Tensor]:
        """Random patches, flipped and transposed at random; the same for the same arguments, always.

        Pictures are drawn by the number of patches they hold. Processes that share the work each
        draw a shard of the one batch, which does not depend on how many they are.

        Args:
            seed: Any non-negative integer.
            iteration: Counter of the step.
            batch_size: Patches B, of all shards together.
            patch_size: LR side p.
            shard: Which of the shards to draw, from 0.
            num_shards: How many N the batch is split into; B must be a multiple of it.

        Returns:
            LR (B/N, 3, p, p) and HR (B/N, 3, rp, rp), float32 in [0, 1], where the pictures are kept.

        Raises:
            ConfigError: The batch cannot be split so, no picture holds a patch, or a number is impossible.
        """
        check_draw(seed, iteration, patch_size)
        share = shard_of_batch(batch_size, shard, num_shards)
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
        for index, offset, flip in zip(chosen[share], offsets[share], flips[share], strict=True):
            small, large = self.lr[index], self.hr[index]
            top, left = divmod(int(offset), small.shape[1] - patch_size + 1)
            lr.append(augment(_crop(small, top, left, patch_size), flip))
            hr.append(augment(_crop(large, *(self.scale * v for v in (top, left, patch_size))), flip))
        return to_batch(lr), to_batch(hr)


def check_draw(seed: int, iteration: int, patch_size: int) -> None:
    """Refuses numbers by which no batch can be drawn.

    Raises:
        ConfigError: A counter of the generator is below 0 or has more than 64 bits, or patches are empty.
    """
    for name, value in (("seed", seed), ("iteration", iteration)):
        if not 0 <= value < 2**64:
            raise ConfigError(f"{name} must be from 0 to 2^64 - 1, not {value}.")
    if patch_size < 1:
        raise ConfigError(f"patch_size must be at least 1, not {patch_size}.")


def shard_of_batch(batch_size: int, shard: int, num_shards: int) -> slice:
    """The samples of a batch that belong to one of its shards, all of one size.

    Raises:
        ConfigError: They are not equally many for each, there are none, or there is no such shard.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, not {batch_size}.")
    if not 0 <= shard < num_shards or batch_size % num_shards:
        raise ConfigError(
            f"A batch of {batch_size} cannot be split into {num_shards} shards (shard {shard}): it must be "
            f"a multiple of their number, and shards count from 0."
        )
    size = batch_size // num_shards
    return slice(shard * size, (shard + 1) * size)


def _read_pair(group: tuple[TrainingFile, ...], scale: int, resizer: Resizer) -> Group:
    """LR and HR of one picture, from (HR file,) or (HR file, LR file)."""
    hr = read_rgb(group[0].path)
    if len(group) > 1:
        lr = read_rgb(group[1].path)
        return lr, fit_pair(hr, lr, scale, str(group[1].path))
    height, width = (side // scale * scale for side in hr.shape[:2])
    hr = np.ascontiguousarray(hr[:height, :width])
    return downscale(hr, scale, resizer), hr


def _crop(image: Tensor, top: int, left: int, size: int) -> Tensor:
    return image[top : top + size, left : left + size]


def to_batch(patches: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    """Uint8 (H, W, C) each → float32 (B, C, H, W) in [0, 1]."""
    return torch.stack(patches).permute(0, 3, 1, 2).float().div_(255)
