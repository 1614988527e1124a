"""LTE: the upsampler for any scale (Lee & Jin, "Local Texture Estimator", CVPR 2022).

Each output pixel is a query at a continuous place of the LR picture. The geometry of rows and of
columns is independent, so it is worked out once per side (`Axis`) and combined by broadcasting.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from escsr.networks.config import NetworkConfig
from escsr.networks.upsamplers import OutputRegion, OutputSpan, Upsampler

__all__ = ["LTE", "Axis", "query_axis", "sampled_axis"]

_CELL_SCALE_LIMIT = 4
_HIDDEN, _QUERY_CHUNK = 256, 32768


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

    def part(self, start: int, stop: int) -> Axis:
        """The queries start..stop, where they have one dimension."""
        return self._each(lambda values: values[..., start:stop])

    def moved(self, origin: int | Tensor) -> Axis:
        """The same queries, with LR pixels counted from `origin`, one or a tensor that broadcasts."""
        places = {name: getattr(self, name) - origin for name in ("nearest", "low", "high")}
        return replace(self, **places)

    def reshaped(self, *shape: int) -> Axis:
        """The same queries, of one dimension, reshaped for broadcasting."""
        return self._each(lambda values: values.reshape(*values.shape[:-1], *shape))  # (2, *shape) or shape

    def _each(self, change: Callable[[Tensor], Tensor]) -> Axis:
        tensors = (self.nearest, self.offset, self.low, self.high, self.weight)
        nearest, offset, low, high, weight = map(change, tensors)
        return Axis(nearest, offset, low, high, weight, self.cell)


def query_axis(
    size: int,
    out_size: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    start: int = 0,
    stop: int | None = None,
) -> Axis:
    """Geometry of the output pixels of one side.

    Coordinates are float32 on purpose, as the published weights expect: the 1e-6 decides ties at odd
    integer scales, and where an output row lies on the centre of a border pixel the ensemble's weights
    are the rounding error of this difference.

    Args:
        size: LR pixels n.
        out_size: Output pixels.
        device: Where the result goes.
        dtype: Floating type of the result.
        start: First output pixel.
        stop: The one behind the last; None for `out_size`.

    Returns:
        The axis, query shape (stop − start,).
    """
    cell = 2 * size / out_size * max(out_size / size / _CELL_SCALE_LIMIT, 1.0)
    centres = _pixel_centres(out_size, start, out_size if stop is None else stop)
    return _axis(centres, size, cell, device, dtype)


def sampled_axis(size: int, out_sizes: Tensor, positions: Tensor) -> Axis:
    """Geometry of some output pixels of one side of many results, one for each picture of a batch.

    Args:
        size: LR pixels n, of all pictures.
        out_sizes: (B,), int64: output pixels of each.
        positions: (B, Q), int64: which of them are wanted.

    Returns:
        The axis, query shape (B, Q).
    """
    sides = out_sizes[:, None].double()
    # Rounded as `_pixel_centres` rounds, whose last bit may decide between two LR pixels.
    q = (1 / sides - 1).float() + (2 / sides).float() * positions
    cell = 2 * size / sides * (sides / size / _CELL_SCALE_LIMIT).clamp(min=1)
    return _axis(q, size, cell.float(), q.device, torch.float32)


def _axis(
    q: Tensor, size: int, cell: float | Tensor, device: torch.device | str, dtype: torch.dtype
) -> Axis:
    """Queries at q, float32 in [−1, 1], among n LR pixels."""
    centres = _pixel_centres(size, 0, size).to(q.device)
    nearest, offset = [], []
    for step in (-1.0, 1.0):
        moved = (q + step / size + 1e-6).clamp(-1 + 1e-6, 1 - 1e-6)
        index = (((moved + 1) * size - 1) / 2).round().clamp(0, size - 1).long()
        nearest.append(index)
        offset.append((q - centres[index]) * size)
    place = (((q + 1) * size - 1) / 2).clamp(0, size - 1)
    low = place.floor()
    return Axis(
        nearest=torch.stack(nearest).to(device),
        offset=torch.stack(offset).to(device, dtype),
        low=low.long().to(device),
        high=(low + 1).clamp(max=size - 1).long().to(device),
        weight=(place - low).to(device, dtype),
        cell=cell,
    )


def _pixel_centres(size: int, start: int, stop: int) -> Tensor:
    """Centres of the pixels start..stop of a side that spans [−1, 1], float32."""
    return (-1 + 1 / size) + (2 / size) * torch.arange(start, stop, dtype=torch.float32)


def _sample(maps: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Picks pixels: (B, H, W, C), row and column index tensors that broadcast → (B, queries..., C)."""
    return maps[:, row, column]


class LTE(Upsampler):
    """Local Texture Estimator on encoder features, with a bilinear shortcut of the picture."""

    halo = 2
    input_range = (-1.0, 1.0)

    def __init__(self, config: NetworkConfig, hidden: int = _HIDDEN) -> None:
        super().__init__()
        self.coef = nn.Conv2d(config.dim, hidden, 3, padding=1)
        self.freq = nn.Conv2d(config.dim, hidden, 3, padding=1)
        self.phase = nn.Linear(2, hidden // 2, bias=False)
        self.imnet = nn.Sequential(
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 3),
        )

    def forward(self, features: Tensor, lr: Tensor, region: OutputRegion) -> Tensor:
        """All output pixels at the crossings of rows and columns, in chunks of bounded memory."""
        rows, columns = (_axis_of(span, lr) for span in region)
        num_rows, num_columns = len(rows.low), len(columns.low)
        if 0 in (num_rows, num_columns):
            return lr.new_empty(len(lr), 3, num_rows, num_columns)
        coef, freq = self.texture(features)
        bands = []
        for top, bottom in _chunks(num_rows, max(1, _QUERY_CHUNK // num_columns)):
            band = rows.part(top, bottom).reshaped(-1, 1)
            parts = [
                self.query(coef, freq, lr, band, columns.part(left, right).reshaped(1, -1))
                for left, right in _chunks(num_columns, _QUERY_CHUNK)
            ]
            bands.append(torch.cat(parts, dim=-1))  # (B, 3, rows of the band, K)
        return torch.cat(bands, dim=-2) * 0.5 + 0.5

    def sample(self, features: Tensor, lr: Tensor, sizes: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Some output pixels of every picture of a batch, as training wants them; see `ESC.sample`."""
        places = zip(lr.shape[-2:], sizes.unbind(1), (rows, columns), strict=True)
        down, right = (sampled_axis(side, size, positions) for side, size, positions in places)
        # The pictures are stacked into one tall picture, in which each query finds its own.
        tops = torch.arange(len(lr), device=lr.device)[:, None] * lr.shape[-2]
        coef, freq = (maps.flatten(0, 1)[None] for maps in self.texture(features))  # (1, B·H, W, 256)
        tall = lr.movedim(0, 1).flatten(1, 2)[None]  # (1, 3, B·H, W)
        sr = self.query(coef, freq, tall, down.moved(-tops), right)[0]  # (3, B, Q)
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
        for i in (0, 1):
            for j in (0, 1):
                down, right = rows.offset[i], columns.offset[j]
                amplitude = _sample(coef, rows.nearest[i], columns.nearest[j])
                wave = _sample(freq, rows.nearest[i], columns.nearest[j])
                angle = math.pi * (
                    wave[..., 0::2] * down[..., None] + wave[..., 1::2] * right[..., None] + phase
                )
                colours.append(self.imnet(amplitude * torch.cat((angle.cos(), angle.sin()), -1)))
                areas.append((down * right).abs() + 1e-9)
        total = torch.stack(areas).sum(0)
        ensemble = sum(
            colour * (area / total)[..., None]
            for colour, area in zip(colours, reversed(areas), strict=True)
        )
        shortcut = _bilinear(lr.permute(0, 2, 3, 1), rows, columns)  # (B, *queries, 3)
        return torch.movedim(ensemble + shortcut, -1, 1)  # (B, 3, *queries)


def _axis_of(span: OutputSpan, lr: Tensor) -> Axis:
    """The wanted pixels of a side, with LR pixels counted as those of `lr`."""
    size, out_size, start, stop = span.size, span.out_size, span.start, span.stop
    return query_axis(size, out_size, lr.device, lr.dtype, start=start, stop=stop).moved(span.origin)


def _bilinear(maps: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Bilinear samples with the border repeated: (B, H, W, C) → (B, queries..., C)."""
    down, right = rows.weight[..., None], columns.weight[..., None]
    top = _sample(maps, rows.low, columns.low).lerp(_sample(maps, rows.low, columns.high), right)
    bottom = _sample(maps, rows.high, columns.low).lerp(_sample(maps, rows.high, columns.high), right)
    return top.lerp(bottom, down)


def _chunks(total: int, size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, total, size):
        yield start, min(start + size, total)
