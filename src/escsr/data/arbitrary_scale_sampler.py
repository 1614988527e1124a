"""Training batches for any scale: every sample has its own, and a few thousand query pixels of HR."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from escsr.data.patch_sampler import shard_of_batch
from escsr.data.pictures import Folders, find_training_images, folders_text, read_rgb, read_sizes
from escsr.data.pil_resize import pil_resize
from escsr.data.storage import ImageSource, load_images
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
        self.hr = hr
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
        files = [file.path for file in find_training_images(folder)]
        sides = read_sizes(files)
        least = math.ceil(patch_size * LARGEST_SCALE)
        wanted = [file for file, side in zip(files, sides, strict=True) if min(side) >= least]
        if not wanted:
            raise DataError(
                f"{folders_text(folder)}: none of {len(files)} pictures has sides of {least} pixels, as "
                f"patches of {patch_size} at ×{LARGEST_SCALE:g} need; smaller patches need less."
            )
        left_out = len(files) - len(wanted)

        def decode(index: int) -> tuple[NDArray[np.uint8]]:
            return (read_rgb(wanted[index]),)

        def report(done: int, _total: int) -> None:
            if on_progress is not None:
                on_progress(left_out + done, len(files))

        source = ImageSource(
            [(file,) for file in wanted], decode, "HR", 3 * int(sides[sides.min(1) >= least].prod(1).sum())
        )
        kept = load_images(
            source, storage, cache=None if cache is None else Path(cache), on_progress=report
        )
        return cls([picture for (picture,) in kept])

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
        rank: int = 0,
        world_size: int = 1,
    ) -> ArbitraryScaleBatch:
        """Random samples; the same for the same arguments, always.

        Args:
            seed: Any non-negative integer.
            iteration: Counter of the step.
            batch_size: Samples B, of all processes together.
            patch_size: LR side p.
            queries: HR pixels Q of each sample, at most p².
            rank: Which process asks.
            world_size: How many share the batch; each gets its part of it, as of `PatchSampler.batch`.

        Returns:
            The batch, or this process's part of it.

        Raises:
            ConfigError: The batch cannot be shared so, or there are more queries than pixels.
            DataError: A picture is too small for the patch size at the largest scale.
        """
        least = math.ceil(patch_size * LARGEST_SCALE)
        if self._least_side < least:
            raise DataError(
                f"Patches of {patch_size} at ×{LARGEST_SCALE:g} need pictures with sides of {least} "
                f"pixels; the smallest has {self._least_side}."
            )
        if not 1 <= queries <= patch_size**2:
            raise ConfigError(f"queries must be 1 to {patch_size**2}, the pixels at ×1, not {queries}.")
        part = shard_of_batch(batch_size, rank, world_size)
        samples = [
            _draw(self.hr, _generator(seed, iteration, index), patch_size, queries)
            for index in range(part.start, part.stop)
        ]
        lr, targets, rows, columns, sizes = zip(*samples, strict=True)
        return ArbitraryScaleBatch(
            lr=torch.from_numpy(np.stack(lr)).permute(0, 3, 1, 2).float().div_(255),
            targets=torch.from_numpy(np.stack(targets)).permute(0, 2, 1).float().div_(255),
            rows=torch.from_numpy(np.stack(rows)),
            columns=torch.from_numpy(np.stack(columns)),
            sizes=torch.tensor(sizes),
        )


def _generator(seed: int, iteration: int, index: int) -> np.random.Generator:
    """Random numbers of one sample, independent of all other samples."""
    key, counter = np.array([seed, iteration], np.uint64), np.array([0, 0, 0, index], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


_Sample = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], int]


def _draw(pictures: list[Tensor], generator: np.random.Generator, patch_size: int, queries: int) -> _Sample:
    """LR (p, p, 3), targets (Q, 3), rows and columns (Q,), side of the crop."""
    picture = pictures[generator.integers(len(pictures))]
    size = round(patch_size * generator.uniform(1, LARGEST_SCALE))
    top, left = (int(generator.integers(side - size + 1)) for side in picture.shape[:2])
    crop = picture[top : top + size, left : left + size].cpu().numpy()
    flips = generator.random(3) < 0.5
    lr = _augment(pil_resize(crop, (patch_size, patch_size)), flips)
    chosen = generator.choice(size * size, queries, replace=False)
    rows, columns = np.divmod(chosen, size)
    return lr, _augment(crop, flips)[rows, columns], rows, columns, size


def _augment(picture: NDArray[np.uint8], flips: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Horizontal flip, vertical flip and transpose, each by its own coin."""
    picture = picture[:, ::-1] if flips[0] else picture
    picture = picture[::-1] if flips[1] else picture
    return picture.transpose(1, 0, 2) if flips[2] else picture
