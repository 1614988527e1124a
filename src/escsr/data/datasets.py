"""A folder of HR pictures as a pool of training patches, drawn by a counter-based generator."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from escsr import images
from escsr.data.resize import imresize
from escsr.errors import DataError, EscError

__all__ = ["PatchPool"]


class PatchPool:
    """HR pictures and their LR as uint8 in memory; a batch is a pure function of (seed, iteration).

    Args:
        lr: LR pictures, uint8 (h, w, 3).
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

    @classmethod
    def from_folder(
        cls,
        folder: str | os.PathLike[str],
        *,
        scale: int,
        patch_size: int,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> PatchPool:
        """Reads every picture below a folder and makes its LR with MATLAB's `imresize`.

        Args:
            folder: HR pictures, in any nesting.
            scale: Enlargement r; HR is cropped to a multiple of it.
            patch_size: LR patch side the pool must serve; smaller pictures are left out.
            on_progress: Called with (done, total).

        Returns:
            The pool.

        Raises:
            DataError: No picture is large enough, or one cannot be read.
        """
        files = images.find_images(folder)
        pairs: list[tuple[Tensor, Tensor]] = []
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
            for done, pair in enumerate(threads.map(lambda file: _load_pair(file, scale), files), 1):
                if min(pair[0].shape[:2]) >= patch_size:
                    pairs.append(pair)
                if on_progress is not None:
                    on_progress(done, len(files))
        if not pairs:
            raise DataError(
                f"{folder}: none of {len(files)} pictures has sides of {patch_size * scale} pixels, as "
                f"patches of {patch_size} at ×{scale} need; choose smaller patches or larger pictures."
            )
        return cls([lr for lr, _ in pairs], [hr for _, hr in pairs], scale)

    def __len__(self) -> int:
        return len(self.hr)

    def batch(self, seed: int, iteration: int, batch_size: int, patch_size: int) -> tuple[Tensor, Tensor]:
        """Random patches, flipped and transposed at random; the same for the same arguments, always.

        Pictures are drawn by the number of patches they hold.

        Args:
            seed: Any non-negative integer.
            iteration: Counter of the step.
            batch_size: Patches B.
            patch_size: LR side p.

        Returns:
            LR (B, 3, p, p) and HR (B, 3, rp, rp), float32 in [0, 1].
        """
        generator = np.random.Generator(np.random.Philox(key=np.array([seed, iteration], np.uint64)))
        places = np.array([(x.shape[0] - patch_size + 1) * (x.shape[1] - patch_size + 1) for x in self.lr])
        ends = np.cumsum(places)
        draws = generator.integers(ends[-1], size=batch_size)
        chosen = np.searchsorted(ends, draws, side="right")
        offsets = draws - (ends - places)[chosen]
        flips = generator.random((batch_size, 3)) < 0.5
        lr, hr = [], []
        for index, offset, flip in zip(chosen, offsets, flips, strict=True):
            small, large = self.lr[index], self.hr[index]
            top, left = divmod(int(offset), small.shape[1] - patch_size + 1)
            lr.append(_augment(_crop(small, top, left, patch_size), flip))
            hr.append(_augment(_crop(large, *(self.scale * v for v in (top, left, patch_size))), flip))
        return _to_batch(lr), _to_batch(hr)


def _load_pair(path: Path, scale: int) -> tuple[Tensor, Tensor]:
    try:
        colour = images.read(path).colour
        if colour.dtype != np.uint8:
            raise DataError(f"{path}: training pictures must have 8 bits.")
        height, width = (side // scale * scale for side in colour.shape[:2])
        if not (height and width):
            raise DataError(f"{path}: too small for ×{scale}.")
        hr = np.array(np.broadcast_to(colour[:height, :width], (height, width, 3)))
        return torch.from_numpy(imresize(hr, 1 / scale)), torch.from_numpy(hr)
    except EscError as error:
        raise DataError(str(error)) from error


def _crop(image: Tensor, top: int, left: int, size: int) -> Tensor:
    return image[top : top + size, left : left + size]


def _augment(patch: Tensor, flip: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Tensor:
    """Horizontal flip, vertical flip and transpose, each by its own coin."""
    if flip[0]:
        patch = patch.flip(1)
    if flip[1]:
        patch = patch.flip(0)
    return patch.transpose(0, 1) if flip[2] else patch


def _to_batch(patches: list[Tensor]) -> Tensor:
    return torch.stack(patches).permute(0, 3, 1, 2).float().div_(255)
