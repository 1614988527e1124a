"""LTE: the upsampler for any scale (Lee & Jin, "Local Texture Estimator", CVPR 2022).

Each output pixel is a query at a continuous place of the LR picture. The geometry of rows and of
columns is independent, so it is worked out once per side (`Axis`) and combined by broadcasting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor, nn

from escsr.networks.config import NetworkConfig
from escsr.networks.upsamplers import OutputRegion, OutputSpan, Upsampler

__all__ = ["LTE", "Axis", "query_axis", "sampled_axis"]

_CELL_SCALE_LIMIT = 4
_HIDDEN, _QUERY_CHUNK = 256, 32768
_WITH_FLOAT64 = ("cuda", "meta")


@dataclass(frozen=True)
class Axis:
    """Where the queries of one side fall among its LR pixels.

    Attributes:
        nearest: int64, (2, ...): LR pixel nearest to the query moved half a pixel back / forward.
        offset: (2, ...): from that pixel's centre to the query, in LR pixels times 2.
        low: int64, (...): first of the two LR pixels that bilinear sampling reads.
        high: int64, (...): the second.
        weight: (...): weight of the second, in [0, 1].
        cell: Size of an output pixel, in LR pixels times 2; held from scale 4 on. One number, or a tensor
            that broadcasts with the queries.
    """

    nearest: Tensor
    offset: Tensor
    low: Tensor
    high: Tensor
    weight: Tensor
    cell: float | Tensor

    def at(self, index: Tensor) -> Axis:
        """Some of the queries, where they have one dimension, in the shape of their indices."""
        names = ("nearest", "offset", "low", "high", "weight")
        return replace(self, **{name: getattr(self, name)[..., index] for name in names})


def query_axis(span: OutputSpan, like: Tensor) -> Axis:
    """Geometry of the output pixels of one side, whose LR pixels are counted from the span's origin.

    Coordinates are float32 on purpose, as the published weights expect: the 1e-6 decides ties at odd
    integer scales, and where an output row lies on the centre of a border pixel the ensemble's weights
    are the rounding error of this difference.

    Args:
        span: The wanted pixels, Q of them.
        like: Gives the device and the floating type of the result.

    Returns:
        The axis, query shape (Q,).
    """
    size, out_size = span.size, span.out_size
    cell = 2 * size / out_size * max(out_size / size / _CELL_SCALE_LIMIT, 1.0)
    q = _pixel_centres(out_size, span.start, span.stop).to(like.device)
    return _axis(q, size, cell, span.origin, like.dtype)


def sampled_axis(size: int, out_sizes: Tensor, positions: Tensor, origin: int | Tensor = 0) -> Axis:
    """Geometry of some output pixels of one side of many results, one for each picture of a batch.

    Args:
        size: LR pixels n, of all pictures.
        out_sizes: (B,), int64: output pixels of each.
        positions: (B, Q), int64: which of them are wanted.
        origin: Where LR pixels are counted from; one, or (B, 1).

    Returns:
        The axis, query shape (B, Q).
    """
    sides = out_sizes[:, None]
    # A GPU works it out itself where it can: to ask it for values would wait for all that it has to do.
    sides = (sides if sides.device.type in _WITH_FLOAT64 else sides.cpu()).double()
    cell = 2 * size / sides * (sides / size / _CELL_SCALE_LIMIT).clamp(min=1)
    # Rounded as `_pixel_centres` rounds, whose last bit may decide between two LR pixels.
    first, step, cell = (each.float().to(positions.device) for each in (1 / sides - 1, 2 / sides, cell))
    return _axis(first + step * positions, size, cell, origin, torch.float32)


def _axis(q: Tensor, size: int, cell: float | Tensor, origin: int | Tensor, dtype: torch.dtype) -> Axis:
    """Queries at q, float32 in [−1, 1], among n LR pixels."""
    centres = _pixel_centres(size, 0, size).to(q.device, non_blocking=True)
    nearest, offset = [], []
    for step in (-1.0, 1.0):
        moved = (q + step / size + 1e-6).clamp(-1 + 1e-6, 1 - 1e-6)
        index = (((moved + 1) * size - 1) / 2).round().clamp(0, size - 1).long()
        nearest.append(index - origin)
        offset.append((q - centres[index]) * size)
    place = (((q + 1) * size - 1) / 2).clamp(0, size - 1)
    low = place.floor().long()
    high, weight = (low + 1).clamp(max=size - 1), (place - low).to(dtype)
    offsets = torch.stack(offset).to(dtype)
    return Axis(torch.stack(nearest), offsets, low - origin, high - origin, weight, cell)


def _pixel_centres(size: int, start: int, stop: int) -> Tensor:
    """Centres of the pixels start..stop of a side that spans [−1, 1], float32."""
    return (-1 + 1 / size) + (2 / size) * torch.arange(start, stop, dtype=torch.float32, device="cpu")


class LTE(Upsampler):
    """Local Texture Estimator on encoder features, with a bilinear shortcut of the picture."""

    halo = 2
    input_range = (-1.0, 1.0)

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.coef = nn.Conv2d(config.dim, _HIDDEN, 3, padding=1)
        self.freq = nn.Conv2d(config.dim, _HIDDEN, 3, padding=1)
        self.phase = nn.Linear(2, _HIDDEN // 2, bias=False)
        layers = [layer for _ in range(3) for layer in (nn.Linear(_HIDDEN, _HIDDEN), nn.ReLU())]
        self.imnet = nn.Sequential(*layers, nn.Linear(_HIDDEN, 3))

    def forward(self, features: Tensor, lr: Tensor, region: OutputRegion) -> Tensor:
        """All output pixels at the crossings of rows and columns, in chunks of bounded memory."""
        rows, columns = (query_axis(span, lr) for span in region)
        every_row, every_column = (torch.arange(len(a.low), device=lr.device) for a in (rows, columns))
        coef, freq = self.texture(features)
        bands = []
        for band in torch.split(every_row, max(1, _QUERY_CHUNK // max(1, len(every_column)))):
            down = rows.at(band[:, None])
            parts = [
                self.query(coef, freq, lr, down, columns.at(part))
                for part in torch.split(every_column, _QUERY_CHUNK)
            ]
            bands.append(torch.cat(parts, dim=-1))  # (B, 3, rows of the band, K)
        return torch.cat(bands, dim=-2) * 0.5 + 0.5

    def sample(self, features: Tensor, lr: Tensor, sizes: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Some output pixels of every picture of a batch, as training wants them; see `ESC.sample`."""
        height, width = lr.shape[-2:]
        # The pictures are stacked into one tall picture, in which each query finds its own.
        tops = torch.arange(len(lr), device=lr.device)[:, None] * height
        down = sampled_axis(height, sizes[:, 0], rows, -tops)
        right = sampled_axis(width, sizes[:, 1], columns)
        coef, freq = (maps.flatten(0, 1)[None] for maps in self.texture(features))  # (1, B·H, W, 256)
        tall = lr.movedim(0, 1).flatten(1, 2)[None]  # (1, 3, B·H, W)
        sr = self.query(coef, freq, tall, down, right)[0]  # (3, B, Q)
        return sr.movedim(0, 1) * 0.5 + 0.5

    @staticmethod
    def workspace(config: NetworkConfig, pixels: int, out_pixels: float) -> float:  # noqa: ARG004
        return 4 * (2 * _HIDDEN * pixels + 9 * out_pixels + 8 * _HIDDEN * _QUERY_CHUNK)

    def texture(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Amplitudes and frequencies of every LR pixel: (B, C, H, W) → two (B, H, W, 256)."""
        return self.coef(features).permute(0, 2, 3, 1), self.freq(features).permute(0, 2, 3, 1)

    def query(self, coef: Tensor, freq: Tensor, lr: Tensor, rows: Axis, columns: Axis) -> Tensor:
        """Any set of output pixels (Eqs. 4–7 of the LTE paper, with its local ensemble).

        Args:
            coef: (B, H, W, 256), from `texture`.
            freq: (B, H, W, 256), from `texture`.
            lr: (B, 3, H, W), in [−1, 1].
            rows: Row geometry; its query shape broadcasts with that of `columns`.
            columns: Column geometry.

        Returns:
            (B, 3, *queries), about [−1, 1].
        """
        sides = (torch.as_tensor(a.cell, dtype=coef.dtype, device=coef.device) for a in (rows, columns))
        phase = self.phase(torch.stack(tuple(sides), -1))
        colours, areas = [], []
        for i, j in product((0, 1), repeat=2):
            down, right = rows.offset[i], columns.offset[j]
            amplitude = coef[:, rows.nearest[i], columns.nearest[j]]  # (B, *queries, 256)
            wave = freq[:, rows.nearest[i], columns.nearest[j]]  # (B, *queries, 256)
            turns = wave[..., 0::2] * down[..., None] + wave[..., 1::2] * right[..., None] + phase
            angle = math.pi * turns  # (B, *queries, 128)
            colours.append(self.imnet(amplitude * torch.cat((angle.cos(), angle.sin()), -1)))
            areas.append((down * right).abs() + 1e-9)
        total = torch.stack(areas).sum(0)
        opposite = zip(colours, reversed(areas), strict=True)
        ensemble = sum(colour * (area / total)[..., None] for colour, area in opposite)
        shortcut = _bilinear(lr.permute(0, 2, 3, 1), rows, columns)  # (B, *queries, 3)
        return torch.movedim(ensemble + shortcut, -1, 1)  # (B, 3, *queries)


def _bilinear(maps: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Bilinear samples with the border repeated: (B, H, W, C) → (B, queries..., C)."""
    down, right = rows.weight[..., None], columns.weight[..., None]
    top = maps[:, rows.low, columns.low].lerp(maps[:, rows.low, columns.high], right)
    bottom = maps[:, rows.high, columns.low].lerp(maps[:, rows.high, columns.high], right)
    return top.lerp(bottom, down)
