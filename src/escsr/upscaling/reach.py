"""How far a model sees that is known by what it does alone: the margin that its tiles need."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from escsr.models.foreign import ForeignModel

__all__ = ["Reach", "measure_reach", "rounded_up"]

_LARGEST = 64
"""LR pixels. What reaches further, as a mean over the picture does, is not to be had in tiles."""

_GRIDS = (1, 2, 4, 8, 16, 32, 64)
"""LR pixels; what attention has for windows, and what strides are."""

_FELT = 0.1 / 255
"""A tenth of a level of 8 bits: photographs may ask for more than the picture that is measured on."""

_DARK = 0.25
"""Of one half of the picture that is measured on: the means of its parts differ."""


class Reach(NamedTuple):
    """What a model sees around a tile, LR pixels.

    Attributes:
        halo: Margin beyond which an edge is not felt.
        grid: Tiles must begin at multiples of this, where attention has windows.
        is_bounded: Whether the halo is enough; not so for what pools the whole picture.
    """

    halo: int
    grid: int
    is_bounded: bool = True


@torch.no_grad()
def measure_reach(model: ForeignModel) -> Reach:
    """Measures how far from an edge a result is another than in the whole picture.

    Other means by a tenth of a level of 8 bits, on a picture of noise and white, which is harder on a model
    than photographs, and which is computed whole and cut in two.

    Args:
        model: The model, on its device.

    Returns:
        The smallest grid that will do, with its margin; or the largest.
    """
    side, r = 2 * _LARGEST, model.scale
    generator = torch.Generator("cpu").manual_seed(0)
    noise = torch.rand(1, 3, max(16, model.smallest), 2 * side, generator=generator, device="cpu")
    picture = torch.cat((noise, torch.ones_like(noise)), dim=-2)
    picture[..., :side] *= _DARK
    picture = picture.to(next(model.module.parameters()).device)
    whole = model(picture)
    for grid in _GRIDS:
        cut = side - _LARGEST + grid  # on this grid, and on none that is larger
        if grid % model.multiple:
            continue
        left, right = picture[..., :cut].contiguous(), picture[..., cut:].contiguous()
        behind = _felt_columns(whole[..., r * cut :], model(right))
        before = _felt_columns(whole[..., : r * cut].flip(-1), model(left).flip(-1))
        reach = rounded_up(max(behind, before), r) // r
        if reach <= _LARGEST:
            return Reach(rounded_up(reach, grid), grid)
    largest = rounded_up(_LARGEST, model.multiple)
    return Reach(largest, largest, is_bounded=False)


def rounded_up(value: int, multiple: int) -> int:
    """The next multiple that is not below a value."""
    return -(-value // multiple) * multiple


def _felt_columns(whole: Tensor, part: Tensor) -> int:
    """Columns from the first on up to the last that differ."""
    differing = ((whole - part).abs().amax((0, 1, 2)) > _FELT).nonzero()
    return int(differing.max()) + 1 if len(differing) else 0
