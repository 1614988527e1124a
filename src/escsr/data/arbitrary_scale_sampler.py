"""Training batches for any scale: every sample has its own, and a few thousand query pixels of HR."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from escsr.data.augment import augment
from escsr.data.patch_sampler import check_draw, shard_of_batch, to_batch
from escsr.data.pictures import Folders, TrainingFile, find_training_images, read_rgb
from escsr.data.pil_resize import pil_resize
from escsr.data.storage import Group, load_large_enough
from escsr.errors import ConfigError, DataError

__all__ = ["ArbitraryScaleBatch", "ArbitraryScaleSampler"]

LARGEST_SCALE = 4.0
"""Scales are drawn from 1 to here, as the paper does; LTE's cell is held beyond."""


@dataclass(frozen=True)
class ArbitraryScaleBatch:
    """B samples of LR pictures, each with Q query pixels of its own HR picture.

    Attributes:
        lr: (B, 3, p, p), float32 in [0, 1].
        targets: (B, 3, Q), float32 in [0, 1]: the HR pixels at the queries.
        rows: (B, Q), int64: rows of the queries in the HR picture.
        columns: (B, Q), int64: their columns.
        sizes: (B,), int64: side of each HR picture, round(p · s).
    """

    lr: Tensor
    targets: Tensor
    rows: Tensor
    columns: Tensor
    sizes: Tensor


class ArbitraryScaleSampler:
    """HR pictures as uint8; a batch is a pure function of (seed, iteration).

    A sample is a picture drawn evenly, a scale s ~ U[1, 4], a crop of round(p·s) pixels, its LR of p
    pixels by Pillow's bicubic, both flipped and transposed at random, and Q pixels drawn without
    replacement.

    Differs from the reference: pictures are drawn one by one, not by a permutation in each epoch.

    Args:
        hr: HR pictures, uint8 (H, W, 3), large enough for a patch at the largest scale.

    Raises:
        DataError: There are no pictures.
    """

    def __init__(self, hr: list[Tensor]) -> None:
        if not hr:
            raise DataError("A sampler needs pictures; none were given.")
        self.hr = self.images = hr
        self._least_side = min(side for picture in hr for side in picture.shape[:2])

    @classmethod
    def from_folder(
        cls,
        folder: Folders,
        *,
        patch_size: int = 64,
        storage: str = "auto",
        cache: str | os.PathLike[str] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> ArbitraryScaleSampler:
        """Reads every picture below a folder or several.

        Args:
            folder: HR pictures, in any nesting.
            patch_size: LR patch side p to be served; pictures with a side below 4p are left out.
            storage: See `PatchSampler.from_folder`; crops are resized on the CPU, so a device is no gain.
            cache: Folder for a mapped file; None for the platform's cache folder.
            on_progress: Called with (pictures done, pictures in all).

        Returns:
            The sampler.

        Raises:
            DataError: No picture is large enough, or one cannot be read.
            OutputError: The cache cannot be written.
        """
        files = [(file,) for file in find_training_images(folder)]
        hr = load_large_enough(files, _read, "HR", patch_size, LARGEST_SCALE, storage, cache, on_progress)
        return cls([image for (image,) in hr])

    def __len__(self) -> int:
        return len(self.hr)

    def batch(
        self,
        seed: int,
        iteration: int,
        batch_size: int,
        patch_size: int = 64,
        *,
        queries: int = 2304,
        shard: int = 0,
        num_shards: int = 1,
    ) -> ArbitraryScaleBatch:
        """Random samples; the same for the same arguments, always.

        Args:
            seed: Any non-negative integer.
            iteration: Counter of the step.
            batch_size: Samples B, of all shards together.
            patch_size: LR side p.
            queries: HR pixels Q of each sample, at most p².
            shard: Which of the shards to draw, from 0.
            num_shards: How many the batch is split into, as by `PatchSampler.batch`.

        Returns:
            The shard of the batch.

        Raises:
            ConfigError: The batch cannot be split so, there are more queries than pixels, or a number is
                impossible.
            DataError: A picture is too small for the patch size at the largest scale.
        """
        check_draw(seed, iteration, patch_size)
        least = math.ceil(patch_size * LARGEST_SCALE)
        if self._least_side < least:
            raise DataError(
                f"Patches of {patch_size} at ×{LARGEST_SCALE:g} need pictures with sides of {least} "
                f"pixels; the smallest has {self._least_side}."
            )
        if not 1 <= queries <= patch_size**2:
            raise ConfigError(f"queries must be 1 to {patch_size**2}, the pixels at ×1, not {queries}.")
        share = shard_of_batch(batch_size, shard, num_shards)
        samples = [
            _draw(self.hr, seed, iteration, index, patch_size, queries)
            for index in range(share.start, share.stop)
        ]
        lr, targets, rows, columns, sizes = zip(*samples, strict=True)
        hr = torch.stack(targets).permute(0, 2, 1).float().div_(255)
        return ArbitraryScaleBatch(
            to_batch(lr), hr, torch.stack(rows), torch.stack(columns), torch.tensor(sizes)
        )


def _read(group: tuple[TrainingFile, ...]) -> Group:
    return (read_rgb(group[0].path),)


def _draw(
    pictures: list[Tensor], seed: int, iteration: int, index: int, patch_size: int, queries: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """LR (p, p, 3), targets (Q, 3), rows and columns (Q,), side of the crop; independent of others."""
    key, counter = np.array([seed, iteration], np.uint64), np.array([0, 0, 0, index], np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key, counter=counter))
    picture = pictures[generator.integers(len(pictures))]
    size = round(patch_size * generator.uniform(1, LARGEST_SCALE))
    top, left = (int(generator.integers(side - size + 1)) for side in picture.shape[:2])
    crop = picture[top : top + size, left : left + size].cpu()
    flips = generator.random(3) < 0.5
    lr = torch.from_numpy(pil_resize(crop.numpy(), (patch_size, patch_size)))
    queried = torch.from_numpy(generator.choice(size * size, queries, replace=False))
    rows, columns = queried // size, queried % size
    return augment(lr, flips), augment(crop, flips)[rows, columns], rows, columns, size
