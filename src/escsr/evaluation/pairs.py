"""Pictures to measure on: HR files of a folder, each with its LR picture where one is given."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from escsr import images
from escsr.data.degradations import degrade
from escsr.data.degradations.config import Mixture
from escsr.data.pictures import find_unmixed, lr_name, read_headers, read_uint8
from escsr.errors import DataError

__all__ = ["Pair", "check_sizes", "degraded", "lr_side", "read_pairs", "to_tensor"]


@dataclass(frozen=True)
class Pair:
    """A picture to measure on.

    Attributes:
        name: Its place below the folder, without the ending, with forward slashes.
        hr: uint8 (H, W, C), cropped to what an LR picture of the scale covers.
        lr: uint8 (h, w, C), or None where the protocol makes it.
    """

    name: str
    hr: NDArray[Any]
    lr: NDArray[Any] | None = None


def lr_side(side: int, scale: float) -> int:
    """LR pixels of a side of HR pixels: as many as fit."""
    return math.floor(side / scale + 1e-9)


def check_sizes(data: Path, scale: float, least: int) -> int:
    """Looks at sizes and depths in the headers of all HR pictures, so that none fails after hours of work.

    Args:
        data: Folder of HR pictures.
        scale: From LR to HR.
        least: Sides that are needed, HR pixels.

    Returns:
        How many pictures there are.

    Raises:
        DataError: The folder holds no pictures, or one that is too small or has other than 8 bits.
    """
    files = find_unmixed(data)
    for file, header in zip(files, read_headers(files), strict=True):
        sides = (header.width, header.height)
        if min(round(lr_side(side, scale) * scale) for side in sides) < least:
            raise DataError(
                f"{file}: {sides[0]}×{sides[1]} pixels are too small to be measured: at ×{scale:g} sides "
                f"of {least} pixels are needed. Remove it from the set."
            )
        if header.depth != "uint8":
            read_uint8(file)  # which knows how to refuse it, and depths that no header tells
    return len(files)


def read_pairs(data: Path, lr: Path | None, scale: float) -> Iterator[Pair]:
    """Reads a folder of HR pictures, and the LR pictures that belong to them.

    The HR picture is cropped at the right and at the bottom to round(LR side · scale).

    Args:
        data: Folder of HR pictures.
        lr: Folder of LR pictures named as the HR ones, or as `lr_name` says, in the same subfolders or,
            where a name is there once among LR and among HR pictures, in any; None for none.
        scale: From LR to HR.

    Yields:
        The pairs, by name.

    Raises:
        DataError: LR pictures lie among the HR ones; a picture is missing, too small, of other than 8
            bits; or LR and HR do not fit.
    """
    paths = find_unmixed(data)
    sources: Sequence[Path | None] = (
        [None] * len(paths) if lr is None else _lr_paths(paths, data, lr, scale)
    )
    for path, source in zip(paths, sources, strict=True):
        hr, small, name = read_uint8(path), None, _name_of(path, data)
        sides = [lr_side(side, scale) for side in hr.shape[:2]]
        if min(sides) < 1:
            raise DataError(f"{path}: too small for ×{scale:g}.")
        if source is not None:
            small = read_uint8(source)
            if list(small.shape[:2]) != sides:
                raise DataError(f"{source}: {small.shape[:2]} times {scale:g} does not fit {hr.shape[:2]}.")
        height, width = (round(side * scale) for side in sides)
        yield Pair(name, hr[:height, :width], small)


def _lr_paths(paths: Sequence[Path], data: Path, lr: Path, scale: float) -> list[Path]:
    """The LR picture of each HR picture; by names and headers, before the work on any.

    Raises:
        DataError: One is missing, or does not fit.
    """
    known = _by_name(lr)
    found: list[Path] = []
    counts = Counter(path.stem for path in paths)
    for path in paths:
        name = _name_of(path, data)
        names = [name, lr_name(name, scale)]
        if counts[path.stem] == 1:
            names += [path.stem, lr_name(path.stem, scale)]
        source = next((known[each] for each in names if each in known), None)
        if source is None:
            raise DataError(
                f"{lr}: no LR picture for {path.relative_to(data)} ({lr_name(name, scale)}.png)."
            )
        found.append(source)
    for source, small, hr in zip(found, read_headers(found), read_headers(paths), strict=True):
        # Sorted, since pictures may lie on their side.
        sides = sorted(lr_side(side, scale) for side in (hr.height, hr.width))
        if sorted((small.height, small.width)) != sides:
            has, of = (small.height, small.width), (hr.height, hr.width)
            raise DataError(f"{source}: {has} times {scale:g} does not fit {of}.")
    return found


def _name_of(path: Path, root: Path) -> str:
    return path.relative_to(root).with_suffix("").as_posix()


def _by_name(root: Path) -> dict[str, Path]:
    """The pictures below a folder by their place in it and, where there is one alone, by their own name."""
    paths = images.find_images(root)
    counts = Counter(path.stem for path in paths)
    alone = {path.stem: path for path in paths if counts[path.stem] == 1}
    return alone | {_name_of(path, root): path for path in paths}


def to_tensor(pixels: NDArray[Any]) -> Tensor:
    """(H, W, C) → (C, H, W), of the same type."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def degraded(
    hr: NDArray[Any], degradation: Mixture, scale: int, *, seed: int, index: int
) -> NDArray[np.uint8]:
    """LR made by a degradation; of grey HR too it is RGB, as cameras and files have it.

    Args:
        hr: uint8 (H, W, C), sides multiples of the scale.
        degradation: See `degrade`.
        scale: From LR to HR.
        seed: Of the degradation.
        index: Number of the picture.

    Returns:
        uint8 (H/scale, W/scale, 3).
    """
    image = to_tensor(hr).float().expand(3, -1, -1) / 255
    lr, _ = degrade(image, degradation, scale=scale, seed=seed, index=index)
    return (lr * 255).round().byte().permute(1, 2, 0).numpy()
