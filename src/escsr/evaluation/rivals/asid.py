"""ASID-D8: eight blocks of distilled attention, the first makes all maps (Park et al., AAAI 2025)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from escsr.evaluation.rivals.padding import pad_to_multiple
from escsr.evaluation.rivals.windows import relative_index
from escsr.networks.layers import LayerNorm

__all__ = ["ASID"]

_DIM, _KEPT, _BLOCKS, _WINDOW = 48, 12, 8, 8


def _split(x: Tensor, *, grid: bool) -> Tensor:
    """(B, C, H, W) → (B, h, w, 64, C): windows of 8×8 neighbours, or of a grid over the picture."""
    sides = (_WINDOW, -1) if grid else (-1, _WINDOW)
    x = x.unflatten(2, sides).unflatten(4, sides)  # (B, C, ·, ·, ·, ·)
    order = (0, 3, 5, 2, 4, 1) if grid else (0, 2, 4, 3, 5, 1)
    return x.permute(order).flatten(3, 4)


def _merge(windows: Tensor, *, grid: bool) -> Tensor:
    """The inverse of `_split`."""
    x = windows.unflatten(3, (_WINDOW, _WINDOW))  # (B, h, w, 8, 8, C)
    order = (0, 5, 3, 1, 4, 2) if grid else (0, 5, 1, 3, 2, 4)
    return x.permute(order).flatten(4, 5).flatten(2, 3)


class _GatedFFN(nn.Module):
    """1×1, depthwise 3×3, one half gates the other, 1×1: (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.project_in = nn.Conv2d(dim, 2 * dim, 1, bias=False)
        self.dwconv = nn.Conv2d(2 * dim, 2 * dim, 3, padding=1, groups=2 * dim, bias=False)
        self.project_out = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, kept = self.dwconv(self.project_in(x)).chunk(2, 1)
        return self.project_out(F.gelu(gate) * kept)


class _Excitation(nn.Module):
    """Weights of channels from their means: (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        narrow = dim // 4
        layers = (
            nn.Linear(dim, narrow, bias=False),
            nn.SiLU(),
            nn.Linear(narrow, dim, bias=False),
            nn.Sigmoid(),
        )
        self.gate = nn.Sequential(nn.Identity(), *layers)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean((2, 3)))[..., None, None]


class _LocalBlock(nn.Module):
    """An inverted bottleneck that widens nothing, with a residual: (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        layers = (
            nn.Conv2d(dim, dim, 1),
            nn.GELU(),
            nn.Conv2d(dim, dim, 3, padding=1, groups=dim),
            nn.GELU(),
            _Excitation(dim),
            nn.Conv2d(dim, dim, 1),
        )
        self.net = nn.ModuleDict({"fn": nn.Sequential(*layers)})

    def forward(self, x: Tensor) -> Tensor:
        return x + self.net["fn"](x)


class _Attention(nn.Module):
    """One head over the 64 pixels of a window, with a bias table if it makes its map."""

    index: Tensor

    def __init__(self, dim: int, *, makes_map: bool) -> None:
        super().__init__()
        self.makes_map = makes_map
        if makes_map:
            self.to_qkv = nn.Linear(dim, 3 * dim, bias=False)
            self.rel_pos_bias = nn.Embedding((2 * _WINDOW - 1) ** 2, 1)
            self.register_buffer("index", relative_index(_WINDOW), persistent=False)
        else:
            self.to_v = nn.Linear(dim, dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(dim, dim, bias=False))

    def forward(self, windows: Tensor, attention: Tensor | None) -> tuple[Tensor, Tensor]:
        """(..., 64, C) and a map (..., 64, 64) or None → (..., 64, C) and the map."""
        if self.makes_map:
            q, k, v = self.to_qkv(windows).chunk(3, -1)
            scores = q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1) + self.rel_pos_bias(self.index)[..., 0]
            attention = scores.softmax(-1)
        else:
            v = self.to_v(windows)
        assert attention is not None
        return self.to_out(attention @ v), attention


class _SpatialAttention(nn.Module):
    """Attention and gated FFN, normalised before: (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, dim: int, *, grid: bool, makes_map: bool) -> None:
        super().__init__()
        self.grid = grid
        self.norm = nn.LayerNorm(dim)
        self.attn = _Attention(dim, makes_map=makes_map)
        self.cnorm = LayerNorm(dim)
        self.gfn = _GatedFFN(dim)

    def forward(self, x: Tensor, attention: Tensor | None) -> tuple[Tensor, Tensor]:
        windows = _split(x, grid=self.grid)
        attended, attention = self.attn(self.norm(windows), attention)
        x = _merge(windows + attended, grid=self.grid)
        return x + self.gfn(self.cnorm(x)), attention


class _ChannelAttention(nn.Module):
    """Each channel meets each other: over the pixels of a window of 8×8, or of a grid 8 pixels wide.

    (B, C, H, W) → (B, C, H, W). Unlike the grids of spatial attention, which have 64 pixels, these have
    as many as the picture has windows.
    """

    def __init__(self, dim: int, *, grid: bool) -> None:
        super().__init__()
        self.grid = grid
        self.temperature = nn.Parameter(torch.ones(1, 1, 1))
        self.qkv = nn.Conv2d(dim, 3 * dim, 1, bias=False)
        self.qkv_dwconv = nn.Conv2d(3 * dim, 3 * dim, 3, padding=1, groups=3 * dim, bias=False)
        self.project_out = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        windows = _split(self.qkv_dwconv(self.qkv(x)), grid=False)  # (B, h, w, 64, 3C)
        rows, columns = windows.shape[1:3]
        pixels = windows.flatten(1, 2)  # (B, hw, 64, 3C)
        maps = pixels.permute(0, 2, 3, 1) if self.grid else pixels.transpose(2, 3)  # (B, ·, 3C, pixels)
        q, k, v = maps.chunk(3, 2)
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        attended = (scores * self.temperature).softmax(-1) @ v  # (B, ·, C, pixels)
        pixels = attended.permute(0, 3, 1, 2) if self.grid else attended.transpose(2, 3)
        return self.project_out(_merge(pixels.unflatten(1, (rows, columns)), grid=False))


class _ChannelBlock(nn.Module):
    """Channel attention in windows, then in grids, each with a gated FFN."""

    def __init__(self) -> None:
        super().__init__()
        self.canorm1, self.canorm2 = LayerNorm(_DIM), LayerNorm(_DIM)
        self.cttn1, self.cttn2 = (_ChannelAttention(_DIM, grid=grid) for grid in (False, True))
        self.cnorm1, self.cnorm2 = LayerNorm(_DIM), LayerNorm(_DIM)
        self.gfn1, self.gfn2 = _GatedFFN(_DIM), _GatedFFN(_DIM)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.cttn1(self.canorm1(x))
        x = x + self.gfn1(self.cnorm1(x))
        x = x + self.cttn2(self.canorm2(x))
        return x + self.gfn2(self.cnorm2(x))


class _Distillation(nn.Module):
    """Three steps on ever fewer channels (48, 36, 24), each of which keeps 12 aside (Section 3.2)."""

    def __init__(self, *, makes_maps: bool) -> None:
        super().__init__()
        wide, middle, narrow = _DIM, _DIM - _KEPT, _DIM - 2 * _KEPT
        self.LB1, self.LB2, self.LB3 = (_LocalBlock(dim) for dim in (wide, middle, narrow))
        for step, dim in enumerate((middle, narrow, _KEPT), start=1):
            setattr(self, f"SLA{step}", _SpatialAttention(dim, grid=False, makes_map=makes_maps))
            setattr(self, f"SGA{step}", _SpatialAttention(dim, grid=True, makes_map=makes_maps))
        self.BlockC = _ChannelBlock()
        self.pw1, self.pw2, self.pw3 = (nn.Conv2d(dim, dim, 1) for dim in (wide, middle, wide))

    def forward(self, x: Tensor, maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        kept: list[Tensor] = []
        used: list[Tensor] = []
        for step in (1, 2, 3):
            local, x = getattr(self, f"LB{step}")(x).tensor_split((_KEPT,), 1)
            for attention in (getattr(self, f"SLA{step}"), getattr(self, f"SGA{step}")):
                x, used_map = attention(x, maps[len(used)] if maps else None)
                used.append(used_map)
            if step < 3:
                aside, x = getattr(self, f"pw{step}")(torch.cat((x, local), 1)).tensor_split((_KEPT,), 1)
                kept.append(aside)
        return self.BlockC(self.pw3(torch.cat((*kept, x, local), 1))), used


class _SpatialGate(nn.Module):
    """ESA: weights of pixels from a small, pooled picture of the features (RFANet)."""

    def __init__(self, dim: int, narrow: int) -> None:
        super().__init__()
        self.conv1, self.conv_f = nn.Conv2d(dim, narrow, 1), nn.Conv2d(narrow, narrow, 1)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, stride=2)
        self.conv3 = nn.Conv2d(narrow, narrow, 3, padding=1)
        self.conv4 = nn.Conv2d(narrow, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(x)
        small = self.conv3(F.max_pool2d(self.conv2(h), 7, 3))
        large = F.interpolate(small, x.shape[2:], mode="bilinear", align_corners=False)
        return x * self.conv4(large + self.conv_f(h)).sigmoid()


class _Block(nn.Module):
    """Distillation, 1×1, residual, spatial gate: (B, C, H, W) → (B, C, H, W), and the maps used."""

    def __init__(self, *, makes_maps: bool) -> None:
        super().__init__()
        layer = _Distillation(makes_maps=makes_maps)
        self.residual_layer = (
            nn.ModuleList([layer]) if makes_maps else layer
        )  # as the authors' files have it
        self.res_end = nn.Conv2d(_DIM, _DIM, 1)
        self.esa = _SpatialGate(_DIM, 16)

    def forward(self, x: Tensor, maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        layer = self.residual_layer
        y, used = (layer[0] if isinstance(layer, nn.ModuleList) else layer)(x, maps)
        return self.esa(x + self.res_end(y)), used


class ASID(nn.Module):
    """ASID-D8: 8 blocks of 48 channels; pictures are padded with black, to 16×16 at least.

    Args:
        scale: Output side per LR side.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        for index in range(_BLOCKS):
            setattr(self, f"block{index}", _Block(makes_maps=index == 0))
        self.input, self.output = (nn.Conv2d(dim, _DIM, 3, padding=1) for dim in (3, _DIM))
        self.up = nn.Sequential(nn.Conv2d(_DIM, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, lr: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → (B, 3, rH, rW)."""
        x = shallow = self.input(pad_to_multiple(lr, _WINDOW, "zeros", smallest=16))
        maps: list[Tensor] = []
        for index in range(_BLOCKS):
            x, maps = getattr(self, f"block{index}")(x, maps)
        sr = self.up(self.output(x) + shallow)
        return sr[..., : self.scale * lr.shape[-2], : self.scale * lr.shape[-1]]
