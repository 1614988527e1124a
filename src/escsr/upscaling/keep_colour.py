"""Colours of a restored photograph held to those of the photograph itself."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from escsr.networks.layers import reflect_pad

__all__ = ["KEEP_SIGMA", "MIRRORED", "keep_colour_", "mirrored", "without_mirrored"]

KEEP_SIGMA = 10.0
"""LR pixels. Narrower, noise of the photograph comes back as blotches; wider, small things shift."""

MIRRORED = 4
"""LR pixels that a picture is mirrored by beyond its border, for the time of the network. Its convolutions
see zeros there, by which a grey's border is off by 2 levels of 255; behind these pixels by 0.3."""

_ROWS = 64
"""LR rows whose correction is computed at a time, so that it takes little memory."""


def mirrored(lr: Tensor) -> Tensor:
    """(B, 3, H, W) with `MIRRORED` more pixels at each side."""
    return reflect_pad(lr, left=MIRRORED, right=MIRRORED, top=MIRRORED, bottom=MIRRORED)


def without_mirrored(sr: Tensor, scale: int) -> Tensor:
    """The result of a `mirrored` picture at a scale → that of the picture."""
    edge = scale * MIRRORED
    return sr[..., edge:-edge, edge:-edge].contiguous()


def keep_colour_(sr: Tensor, lr: Tensor, sigma: float = KEEP_SIGMA) -> Tensor:
    """Gives a result the low frequencies of its picture, in place.

    A network that removes noise and sharpens is free to shift colours by some levels of 255, and does.
    What is added is blur(LR − shrunk result), enlarged.

    Args:
        sr: (B, 3, R, S), about [0, 1], sides at least those of `lr`.
        lr: (B, 3, H, W) in [0, 1].
        sigma: Standard deviation of the Gaussian, LR pixels.

    Returns:
        `sr`, not clamped.
    """
    height, width = lr.shape[-2:]
    rows, columns = sr.shape[-2:]
    shrunk = torch.cat(
        [
            F.interpolate(part.clamp(0, 1), size=(part_rows, width), mode="area")
            for part, part_rows in _bands(sr, height)
        ],
        dim=-2,
    )
    drift = _blur(lr - shrunk, sigma)
    for start in range(0, rows, _ROWS):
        stop = min(rows, start + _ROWS)
        sr[..., start:stop, :] += _enlarged_rows(drift, rows, columns, start, stop)
    return sr


def _bands(sr: Tensor, height: int) -> list[tuple[Tensor, int]]:
    """Whole boxes of rows, and how many LR rows each gives; one band where sides are no whole multiples."""
    scale, rest = divmod(sr.shape[-2], height)
    if rest:
        return [(sr, height)]
    return [
        (sr[..., scale * top : scale * min(height, top + _ROWS), :], min(height, top + _ROWS) - top)
        for top in range(0, height, _ROWS)
    ]


def _blur(image: Tensor, sigma: float) -> Tensor:
    """A Gaussian, normalised over what lies within the picture."""
    radius = math.ceil(3 * sigma)
    offset = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    line = torch.exp(-offset.square() / (2 * sigma**2))
    for axis in (-2, -1):
        image = image.mT if axis == -2 else image
        flat = image.reshape(-1, 1, image.shape[-1])
        weight = F.conv1d(torch.ones_like(flat[:1]), line[None, None], padding=radius)
        image = (F.conv1d(flat, line[None, None], padding=radius) / weight).reshape(image.shape)
        image = image.mT if axis == -2 else image
    return image


def _enlarged_rows(image: Tensor, rows: int, columns: int, start: int, stop: int) -> Tensor:
    """Rows start to stop of the image enlarged to so many rows and columns, bilinearly."""
    height = image.shape[-2]
    row = torch.arange(start, stop, dtype=torch.float64, device=image.device)
    place = ((row + 0.5) * height / rows - 0.5).clamp(0, height - 1)
    upper = place.floor().long()
    share = (place - upper).to(image.dtype)[:, None]
    lower = (upper + 1).clamp_max(height - 1)
    lines = image[..., upper, :].lerp(image[..., lower, :], share)  # (B, 3, stop − start, W)
    return F.interpolate(lines, size=(stop - start, columns), mode="bilinear", align_corners=False)
