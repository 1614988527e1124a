"""Pictures that models are analysed on: their inputs, as they are or made from originals."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from escsr import images
from escsr.data.resizers import downscale
from escsr.errors import ConfigError
from escsr.evaluation.crops import parse_crop
from escsr.evaluation.enlargement import read_rgb
from escsr.runtime.choices import Resizer

__all__ = ["picture_files", "read_batch", "read_input"]


def read_input(
    path: str | os.PathLike[str], *, scale: float, shrink: Resizer | None = None, crop: str | None = None
) -> Tensor:
    """Reads a picture as a model gets it.

    Args:
        path: The file; colours are converted to sRGB, transparency is put on white.
        scale: Of the model, for `shrink`.
        shrink: The picture is an original, and is made smaller by this resizer; None for an input.
        crop: Part of the input, "X,Y,W,H"; None for all of it.

    Returns:
        (1, 3, H, W), float32 in [0, 1].

    Raises:
        ConfigError: The crop is impossible, or the scale is no whole number to shrink by.
        ImageError: It cannot be read.
    """
    pixels: NDArray[Any] = read_rgb(Path(path))[0]
    if shrink is not None:
        if scale != (factor := round(scale)):
            raise ConfigError(f"Originals can be shrunk by whole numbers only, not by {scale:g}.")
        rows, columns = (side // factor * factor for side in pixels.shape[:2])
        pixels = downscale(np.ascontiguousarray(pixels[:rows, :columns]), factor, shrink)
    if crop is not None:
        pixels = pixels[parse_crop(crop, *pixels.shape[:2]).slices]
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255


def read_batch(
    pictures: Sequence[str | os.PathLike[str]],
    *,
    scale: float,
    shrink: Resizer | None = None,
    side: int | None = None,
    max_images: int | None = None,
) -> Tensor:
    """Reads the middles of several pictures as one batch.

    Args:
        pictures: Files, and folders with all in them.
        scale: See `read_input`.
        shrink: See `read_input`.
        side: Of the squares taken from the middle, input pixels; None for the largest rectangle that all
            pictures have.
        max_images: Take at most so many, spread over all.

    Returns:
        (N, 3, H, W), float32 in [0, 1].

    Raises:
        ConfigError: A number is impossible, or a picture is smaller than `side`.
        DataError: There is no such folder, or no picture in it.
        ImageError: A picture cannot be read.
    """
    for name, value in (("side", side), ("max_images", max_images)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} must be at least 1, not {value}.")
    paths = picture_files(pictures)
    if max_images is not None and len(paths) > max_images:
        paths = [paths[index * len(paths) // max_images] for index in range(max_images)]
    inputs = []
    for path in paths:
        lr = read_input(path, scale=scale, shrink=shrink)
        if side is not None:
            height, width = lr.shape[-2:]
            if side > min(height, width):
                raise ConfigError(
                    f"side is {side}, but {path} has {width}×{height} pixels as an input; "
                    "give a smaller side."
                )
            lr = _middle(lr, side, side).clone()  # the picture itself is not kept
        inputs.append(lr)
    least = [min(each.shape[axis] for each in inputs) for axis in (-2, -1)]
    return torch.cat([_middle(each, *least) for each in inputs])


def picture_files(pictures: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Files as they are, and those in folders.

    Raises:
        DataError: A folder cannot be read.
        NoImagesError: A folder holds no picture.
    """
    paths = map(Path, pictures)
    return [file for path in paths for file in (images.find_images(path) if path.is_dir() else [path])]


def _middle(lr: Tensor, height: int, width: int) -> Tensor:
    top, left = (lr.shape[-2] - height) // 2, (lr.shape[-1] - width) // 2
    return lr[..., top : top + height, left : left + width]
