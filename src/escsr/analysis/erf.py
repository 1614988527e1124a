"""Effective receptive field: how far around a pixel the input changes it.

As RepLKNet measures it (Ding et al., CVPR 2022); after Luo et al., NeurIPS 2016. The ESC paper has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from escsr.analysis.differentiable import DifferentiableModel
from escsr.errors import ConfigError
from escsr.runtime.progress import OnProgress

__all__ = ["SHARES", "ReceptiveField", "receptive_field", "side_of_share"]

SHARES = (0.2, 0.3, 0.5, 0.99)
"""Of the sum, whose squares are told."""


@dataclass(frozen=True)
class ReceptiveField:
    """What the middle of a result depends on.

    Attributes:
        model: What figures call it.
        map: (H, W), log10(x + 1) over its largest, x being the mean positive gradient.
        pictures: Pictures averaged over.
    """

    model: str
    map: Tensor
    pictures: int

    @property
    def areas(self) -> dict[float, float]:
        """By each of `SHARES`, the part of the input's area in the smallest middle square that holds it."""
        rows, columns = self.map.shape
        sides = {share: side_of_share(self.map, share) for share in SHARES}
        return {
            share: min(side, rows) * min(side, columns) / (rows * columns) for share, side in sides.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Figures as plain values for JSON."""
        rows, columns = self.map.shape
        areas = {f"{share:g}": area for share, area in self.areas.items()}
        return {"areas": areas, "rows": rows, "columns": columns, "pictures": self.pictures}


def receptive_field(
    model: DifferentiableModel, inputs: Tensor, *, on_progress: OnProgress | None = None
) -> ReceptiveField:
    """Averages the gradient of the middle of results with respect to the inputs.

    The middle is all that becomes of the middle input pixel, r×r pixels with their channels, summed.
    Negative gradients count as none.

    Args:
        model: The model.
        inputs: (N, 3, H, W) in [0, 1].
        on_progress: Called with the share of the work done, in [0, 1].

    Returns:
        The field.

    Raises:
        ConfigError: Results have no gradient.
    """
    height, width = inputs.shape[-2:]
    total = torch.zeros(height, width, dtype=torch.float64)
    with model.evaluating(), torch.enable_grad():
        for index, picture in enumerate(torch.split(inputs, 1)):
            lr = picture.detach().to(model.device, copy=True).requires_grad_()
            sr = model(lr)
            if not sr.requires_grad:
                raise ConfigError(
                    f"{model.name} gives results without a gradient; it cannot be analysed so."
                )
            middle = _middle(sr.shape[-2], height), _middle(sr.shape[-1], width)
            (gradient,) = torch.autograd.grad(sr[(..., *middle)].sum(), lr)
            total += gradient.relu().sum((0, 1)).cpu().double()  # not all devices have float64
            if on_progress is not None:
                on_progress((index + 1) / len(inputs))
    field = (total / len(inputs) + 1).log10()
    return ReceptiveField(model.name, field / field.max().clamp_min(1e-300), len(inputs))


def _middle(out_side: int, side: int) -> slice:
    """What becomes of the middle input pixel."""
    start = side // 2 * out_side // side
    return slice(start, max(start + 1, (side // 2 + 1) * out_side // side))


def side_of_share(field: Tensor, share: float) -> int:
    """Side of the smallest square around the middle that holds a share of a map's sum.

    Args:
        field: (H, W), not negative.
        share: In [0, 1].

    Returns:
        Odd number of pixels; what lies beyond the map counts as nothing.
    """
    rows, columns = (torch.arange(side) - side // 2 for side in field.shape)
    ring = torch.maximum(rows.abs()[:, None].expand(field.shape), columns.abs().expand(field.shape))
    sums = torch.zeros(int(ring.max()) + 1, dtype=torch.float64)
    sums.index_add_(0, ring.flatten(), field.double().flatten())
    held = sums.cumsum(0) / sums.sum()
    return 2 * int((held < share - 1e-12).sum()) + 1
