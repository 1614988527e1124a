"""Transparency in upscaled pictures: no fringes of hidden colours, no holes in what was whole."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["bleed", "keep_hidden", "within_neighbourhood"]


def bleed(colour: Tensor, alpha: Tensor) -> Tensor:
    """Spreads visible colours under the fully transparent parts of a picture.

    Files keep arbitrary colours there, mostly black; a network would draw them into the edges of what
    is visible. Averages weighted by opacity are taken over ever larger squares until all is filled.

    Args:
        colour: (C, H, W), not premultiplied.
        alpha: (1, H, W), in [0, 1].

    Returns:
        (C, H, W): as it was where alpha is above 0, smooth where it is 0.
    """
    hidden = alpha <= 0
    if not hidden.any() or hidden.all():
        return colour
    pyramid = [torch.cat([colour * alpha, alpha])[None]]
    while pyramid[-1].shape[-2:] != (1, 1):
        pyramid.append(functional.avg_pool2d(pyramid[-1], 2, ceil_mode=True))
    *finer, top = pyramid
    filled = top[:, :-1] / top[:, -1:]
    for level in reversed(finer):
        weighted, weights = level[:, :-1], level[:, -1:]
        coarse = functional.interpolate(filled, size=weights.shape[-2:], mode="bilinear")
        mean = weighted / weights.clamp_min(torch.finfo(weights.dtype).tiny)
        filled = torch.where(weights > 0, mean, coarse)
    return torch.where(hidden, filled[0], colour)


def within_neighbourhood(sr: Tensor, lr: Tensor) -> Tensor:
    """Holds upscaled opacity or colour between the least and the greatest of the 3×3 pixels it comes from.

    What was fully opaque, fully transparent or of one value stays exactly so, and nothing rings.

    Args:
        sr: (C, R, S), of any size.
        lr: (C, H, W), what it was upscaled from.

    Returns:
        (C, R, S).
    """
    padded = functional.pad(lr[None], (1, 1, 1, 1), mode="replicate")
    greatest = functional.max_pool2d(padded, 3, stride=1)[0]
    least = -functional.max_pool2d(-padded, 3, stride=1)[0]
    size = sr.shape[-2:]
    return torch.clamp(sr, _nearest(least, size), _nearest(greatest, size))


def keep_hidden(sr: Tensor, sr_alpha: Tensor, colour: Tensor) -> Tensor:
    """Puts back the colours a file holds where nothing is seen, each at the nearest pixel.

    Args:
        sr: (C, R, S), the upscaled colours.
        sr_alpha: (1, R, S), their opacity.
        colour: (C, H, W), the colours before `bleed`.

    Returns:
        (C, R, S).
    """
    hidden = sr_alpha <= 0
    return torch.where(hidden, _nearest(colour, sr.shape[-2:]), sr) if hidden.any() else sr


def _nearest(planes: Tensor, size: torch.Size) -> Tensor:
    return functional.interpolate(planes[None], size=tuple(size), mode="nearest-exact")[0]
