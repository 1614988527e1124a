"""A contact sheet of damaged images: people look at what they train on."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from escsr import images
from escsr.data.degradations.chain import apply_steps
from escsr.data.degradations.config import Mixture
from escsr.data.degradations.filters import sharpen
from escsr.data.degradations.presets import named_mixture
from escsr.data.degradations.sample import draw_sample
from escsr.data.degradations.steps import Step
from escsr.data.pictures import read_rgb
from escsr.errors import ConfigError, DataError
from escsr.files import check_not_source

__all__ = ["Sheet", "contact_sheet", "write_contact_sheet"]

_GAP = 4


@dataclass(frozen=True)
class Sheet:
    """Degraded samples of one image.

    Attributes:
        pixels: uint8 (rows, columns, 3): the HR image first, then the samples row by row.
        steps: What happened to each sample, in order.
    """

    pixels: NDArray[np.uint8]
    steps: list[list[Step]]


def contact_sheet(
    hr: NDArray[np.uint8], settings: Mixture, *, scale: int = 4, count: int = 12, seed: int = 0
) -> Sheet:
    """The HR image and samples of its degraded LR, each pixel of which is repeated `scale` times.

    Args:
        hr: uint8 (H, W, 3).
        settings: See `PRESETS`.
        scale: HR over LR.
        count: Samples.
        seed: Of the run.

    Returns:
        The sheet.

    Raises:
        ConfigError: `count` or `scale` are too small.
        DataError: The image is too small.
    """
    if count < 1 or scale < 1:
        raise ConfigError(f"count and scale must be at least 1, not {count} and {scale}.")
    rows, columns = (side // scale for side in hr.shape[:2])
    if min(rows, columns) < 1:
        raise DataError(f"An image of {hr.shape[1]}×{hr.shape[0]} pixels is too small for ×{scale}.")
    whole = torch.from_numpy(hr[: rows * scale, : columns * scale].copy()).permute(2, 0, 1).float() / 255
    source = sharpen(whole) if settings.sharpen_target else whole
    tiles, drawn = [whole], []
    for index in range(count):
        steps, generator = draw_sample(settings, seed=seed, index=index)
        lr = apply_steps(source, steps, (rows, columns), generator)
        tiles.append(lr.repeat_interleave(scale, -1).repeat_interleave(scale, -2))  # (3, H, W)
        drawn.append(steps)
    across = math.ceil(math.sqrt(len(tiles)))
    height, width = rows * scale + _GAP, columns * scale + _GAP
    sheet = torch.ones(3, math.ceil(len(tiles) / across) * height - _GAP, across * width - _GAP)
    for place, tile in enumerate(tiles):
        top, left = place // across * height, place % across * width
        sheet[:, top : top + height - _GAP, left : left + width - _GAP] = tile
    return Sheet((sheet * 255).round().byte().permute(1, 2, 0).numpy(), drawn)


def write_contact_sheet(
    picture: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    preset: str = "real-esrgan",
    count: int = 12,
    scale: int = 4,
    side: int = 256,
    seed: int = 0,
) -> Sheet:
    """Writes a sheet of samples of the middle of a picture file.

    Args:
        picture: The file.
        output: File to write.
        preset: Name of the degradation, see `PRESETS`.
        count: Samples.
        scale: HR over LR.
        side: HR pixels that are shown of each side, at most.
        seed: Of the samples.

    Returns:
        The sheet.

    Raises:
        ConfigError: There is no such preset, or a number is too small.
        DataError: The picture is too small, or cannot be read.
        OutputError: The sheet cannot be written, or would replace the picture.
    """
    settings = named_mixture(preset)
    images.check_suffix(Path(output))
    check_not_source(output, picture)
    if side < 1:
        raise ConfigError(f"side must be at least 1, not {side}.")
    pixels = read_rgb(Path(picture))
    top, left = (max(0, whole - side) // 2 for whole in pixels.shape[:2])
    sheet = contact_sheet(
        pixels[top : top + side, left : left + side], settings, scale=scale, count=count, seed=seed
    )
    images.write(images.Picture(sheet.pixels), output)
    return sheet
