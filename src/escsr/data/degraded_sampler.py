"""Training patches of damaged photographs: HR crops, and LR by a degradation drawn for each sample."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from escsr.data.augment import augment
from escsr.data.degradations import degrade
from escsr.data.degradations.config import Mixture
from escsr.data.patch_sampler import check_draw, shard_of_batch
from escsr.data.pictures import Folders, TrainingFile, find_training_images, read_rgb
from escsr.data.sample_thread import SampleThread
from escsr.data.storage import Group, load_large_enough
from escsr.errors import DataError

__all__ = ["DegradedBatch", "DegradedSampler"]


@dataclass(frozen=True)
class DegradedBatch:
    """B samples.

    Attributes:
        lr: (B, 3, p, p), float32, multiples of 1/255.
        hr: (B, 3, rp, rp), float32 in [0, 1]: the crops as they are.
        target: (B, 3, rp, rp), float32 in [0, 1]: the same, sharpened where the settings say so.
    """

    lr: Tensor
    hr: Tensor
    target: Tensor


class DegradedSampler:
    """HR pictures as uint8; a batch is a pure function of (seed, iteration).

    A sample is a picture, drawn by how many pixels it has, a crop with a margin around the patch, flipped
    and transposed at random, its LR (`degrade`), and a patch at random within both. The margin keeps most
    of what blurs, blocks and resizes do at the border of a crop out of the patches.

    Differs from Real-ESRGAN: everything is drawn for each sample, so that no pool of pairs is needed;
    patches are also flipped top to bottom and transposed; they are cut after sharpening, not before.

    Args:
        hr: HR pictures, uint8 (H, W, 3).
        scale: From LR to HR.
        degradation: What happens to them, see `PRESETS`.
        margin: LR pixels on each side of a patch that are degraded with it and cut off.

    Raises:
        DataError: There are no pictures.
    """

    def __init__(self, hr: list[Tensor], scale: int, degradation: Mixture, margin: int = 4) -> None:
        if not hr:
            raise DataError("A sampler needs pictures; none were given.")
        self.hr = self.images = hr
        self.scale, self.degradation, self.margin = scale, degradation, margin
        self._sides = np.array([picture.shape[:2] for picture in hr])
        self._thread = SampleThread()

    @classmethod
    def from_folder(
        cls,
        folder: Folders,
        *,
        scale: int,
        patch_size: int,
        degradation: Mixture,
        margin: int = 4,
        storage: str = "auto",
        cache: str | os.PathLike[str] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> DegradedSampler:
        """Reads every picture below a folder or several.

        Args:
            folder: HR pictures, in any nesting.
            scale: From LR to HR.
            patch_size: LR patch side to be served; pictures too small for it and its margin are left out.
            degradation: See `DegradedSampler`.
            margin: See `DegradedSampler`.
            storage: See `PatchSampler.from_folder`; crops are degraded on the CPU, so a device is no gain.
            cache: Folder for a mapped file; None for the platform's cache folder.
            on_progress: Called with (pictures done, pictures in all).

        Returns:
            The sampler.

        Raises:
            DataError: No picture is large enough, or one cannot be read.
            OutputError: The cache cannot be written.
        """
        files = [(file,) for file in find_training_images(folder)]
        side = patch_size + 2 * margin
        hr = load_large_enough(files, _read, "HR", side, scale, storage, cache, on_progress)
        return cls([image for (image,) in hr], scale, degradation, margin)

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
    ) -> DegradedBatch:
        """Random samples; the same for the same arguments, always.

        Args:
            seed: Any non-negative integer.
            iteration: Counter of the step.
            batch_size: Samples B, of all shards together.
            patch_size: LR side p.
            shard: Which of the shards to draw, from 0.
            num_shards: How many the batch is split into, as by `PatchSampler.batch`.

        Returns:
            The shard of the batch.

        Raises:
            ConfigError: The batch cannot be split so, or a number is impossible.
            DataError: No picture holds a patch with its margin.
        """
        check_draw(seed, iteration, patch_size)
        share = shard_of_batch(batch_size, shard, num_shards)
        draw = partial(self._draw, seed, iteration, patch_size)
        samples = self._thread.map(draw, range(share.start, share.stop))
        return DegradedBatch(*(torch.stack(tensors) for tensors in zip(*samples, strict=True)))

    def _draw(self, seed: int, iteration: int, patch_size: int, index: int) -> tuple[Tensor, ...]:
        """LR (3, p, p), HR and target (3, rp, rp) of one sample; independent of others."""
        key, counter = np.array([seed, iteration], np.uint64), np.array([0, 0, 0, index], np.uint64)
        generator = np.random.Generator(np.random.Philox(key=key, counter=counter))
        scale, margin = self.scale, self.margin
        side = (patch_size + 2 * margin) * scale
        places = np.maximum(self._sides - side + 1, 0).prod(1)
        ends = np.cumsum(places)
        if not ends[-1]:
            raise DataError(f"No picture has sides of {side} pixels, as patches of {patch_size} need.")
        draw = int(generator.integers(ends[-1]))
        chosen = int(np.searchsorted(ends, draw, side="right"))
        picture = self.hr[chosen]
        top, left = divmod(draw - int(ends[chosen] - places[chosen]), picture.shape[1] - side + 1)
        crop = augment(picture[top : top + side, left : left + side], generator.random(3) < 0.5)
        hr = crop.cpu().permute(2, 0, 1).float().div_(255)  # (3, side, side)
        top, left = (int(start) for start in generator.integers(2 * margin + 1, size=2))
        lr, target = degrade(hr, self.degradation, scale=scale, seed=seed, iteration=iteration, index=index)
        rows, columns = (slice(scale * start, scale * (start + patch_size)) for start in (top, left))
        patch = lr[:, top : top + patch_size, left : left + patch_size]
        return patch, hr[:, rows, columns], target[:, rows, columns]


def _read(group: tuple[TrainingFile, ...]) -> Group:
    return (read_rgb(group[0].path),)
