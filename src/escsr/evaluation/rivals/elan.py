"""ELAN, the light variant: shifts, and attention whose maps two layers share (Zhang et al., ECCV 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from escsr.evaluation.rivals.padding import pad_to_multiple

__all__ = ["ELAN"]

_DIM, _LAYERS = 60, 24
_WINDOWS = (4, 8, 16)
_RANGE = 255.0
_DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
_TAPS = ((1, 2), (1, 0), (2, 1), (0, 1), (1, 1))


class _ShiftConv(nn.Module):
    """A fifth of the channels comes from each of four neighbours and from the pixel; then a 1×1.

    The shift is a depthwise 3×3 with frozen weights, as in the authors' code, whose files hold them.
    """

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        weight = torch.zeros(dim, 1, 3, 3)
        for part, (row, column) in enumerate(_TAPS):
            weight[part * dim // 5 : (part + 1) * dim // 5, 0, row, column] = 1
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.conv1x1 = nn.Conv2d(dim, out_dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1x1(F.conv2d(x, self.weight, padding=1, groups=x.shape[1]))


class _LocalFeatures(nn.Module):
    """Two shift convolutions with ReLU between: (B, C, H, W) → (B, C, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        wide = 2 * _DIM
        self.conv0 = nn.ModuleDict({"shift_conv": _ShiftConv(_DIM, wide)})
        self.conv1 = nn.ModuleDict({"shift_conv": _ShiftConv(wide, _DIM)})

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1["shift_conv"](F.relu(self.conv0["shift_conv"](x)))


class _GroupedAttention(nn.Module):
    """Attention of a third of the channels in windows of 4, of 8 and of 16; queries are the keys.

    Args:
        shifts: Whether the picture is rolled by half a window (nothing is masked).
        makes_maps: Whether it makes maps, or takes those of the layer before.
    """

    def __init__(self, *, shifts: bool, makes_maps: bool) -> None:
        super().__init__()
        self.shifts, self.makes_maps = shifts, makes_maps
        wide = _DIM * (2 if makes_maps else 1)
        self.project_inp = nn.Sequential(nn.Conv2d(_DIM, wide, 1), nn.BatchNorm2d(wide))
        self.project_out = nn.Conv2d(_DIM, _DIM, 1)

    def forward(self, x: Tensor, maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """(B, C, H, W) → the same, and the maps (B, h, w, side², side²) of each size."""
        parts, used = [], []
        for index, part in enumerate(self.project_inp(x).chunk(3, 1)):
            side = _WINDOWS[index]
            roll = side // 2 if self.shifts else 0
            windows = _split(part.roll((-roll, -roll), (2, 3)), side)  # (B, h, w, side², C/3 or 2C/3)
            if self.makes_maps:
                q, windows = windows.chunk(2, -1)
                used.append((q @ q.transpose(-2, -1)).softmax(-1))
            else:
                used.append(maps[index])
            parts.append(_merge(used[index] @ windows, side).roll((roll, roll), (2, 3)))
        return self.project_out(torch.cat(parts, 1)), used


def _split(x: Tensor, side: int) -> Tensor:
    """(B, C, H, W) → (B, H/side, W/side, side², C)."""
    return x.unflatten(2, (-1, side)).unflatten(4, (-1, side)).permute(0, 2, 4, 3, 5, 1).flatten(3, 4)


def _merge(windows: Tensor, side: int) -> Tensor:
    """The inverse of `_split`."""
    x = windows.unflatten(3, (side, side)).permute(0, 5, 1, 3, 2, 4)
    return x.flatten(4, 5).flatten(2, 3)


class _SharedBlock(nn.Module):
    """Two layers of local features and attention; the second uses the first one's maps."""

    def __init__(self, *, shifts: bool) -> None:
        super().__init__()
        self.modules_lfe = nn.ModuleDict({f"lfe_{index}": _LocalFeatures() for index in range(2)})
        self.modules_gmsa = nn.ModuleDict(
            {f"gmsa_{index}": _GroupedAttention(shifts=shifts, makes_maps=index == 0) for index in range(2)}
        )

    def forward(self, x: Tensor) -> Tensor:
        maps: list[Tensor] = []
        for local, attention in zip(self.modules_lfe.values(), self.modules_gmsa.values(), strict=True):
            x = x + local(x)
            attended, maps = attention(x, maps)
            x = x + attended
        return x


class ELAN(nn.Module):
    """ELAN-light: 24 layers of 60 channels. BatchNorm is not folded into the convolutions before it.

    Args:
        scale: Output side per LR side.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.sub_mean, self.add_mean = _mean_shift(-1), _mean_shift(1)
        self.head = nn.Sequential(nn.Conv2d(3, _DIM, 3, padding=1))
        self.body = nn.Sequential(*(_SharedBlock(shifts=index % 2 == 1) for index in range(_LAYERS // 2)))
        self.tail = nn.Sequential(nn.Conv2d(_DIM, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, lr: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → (B, 3, rH, rW)."""
        shallow = self.head(self.sub_mean(_RANGE * pad_to_multiple(lr, max(_WINDOWS), "reflect")))
        sr = self.add_mean(self.tail(self.body(shallow) + shallow)) / _RANGE
        return sr[..., : self.scale * lr.shape[-2], : self.scale * lr.shape[-1]]


def _mean_shift(sign: int) -> nn.Conv2d:
    """Subtracts or adds the mean colour of DIV2K, as a frozen 1×1 that the authors' files hold."""
    shift = nn.Conv2d(3, 3, 1).requires_grad_(False)
    nn.init.dirac_(shift.weight)
    shift.bias = nn.Parameter(sign * _RANGE * torch.tensor(_DIV2K_MEAN), requires_grad=False)
    return shift
