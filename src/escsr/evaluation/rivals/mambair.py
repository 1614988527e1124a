"""MambaIR, the light variant: scans in four directions, and channel attention (Guo et al., ECCV 2024)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from escsr.evaluation.rivals.frame import LightFrame, ResidualGroup, convolve
from escsr.evaluation.rivals.scan import selective_scan

__all__ = ["MambaIR", "StateSpace"]

_DIM, _INNER, _STATES = 60, 72, 10


class StateSpace(nn.Module):
    """What a selective scan needs, made from the sequences themselves, for G of them.

    Args:
        dim: Channels D of the sequences.
        rank: Of the projection that makes the step sizes.
        states: N of each channel.
        groups: G.
    """

    def __init__(self, dim: int, rank: int, states: int, groups: int) -> None:
        super().__init__()
        self.groups, self.sizes = groups, (rank, states, states)
        bound = rank**-0.5
        self.x_proj_weight = nn.Parameter(_uniform(dim**-0.5, groups, rank + 2 * states, dim))
        self.dt_projs_weight = nn.Parameter(_uniform(bound, groups, dim, rank))
        # softplus of the bias is a step size between 0.001 and 0.1, evenly in its logarithm.
        step = torch.exp(torch.empty(groups, dim).uniform_(math.log(0.001), math.log(0.1)))
        self.dt_projs_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))
        self.A_logs = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(groups * dim, 1))
        self.Ds = nn.Parameter(torch.ones(groups * dim))

    def forward(self, x: Tensor, prompt: Tensor | float = 0.0) -> Tensor:
        """Scans: (B, G, D, L) → (B, G, D, L), float32 or wider; `prompt` is added to C."""
        projected = torch.einsum("bgdl,gcd->bgcl", x, self.x_proj_weight)
        steps, b, c = projected.split(self.sizes, 2)
        steps = torch.einsum("bgrl,gdr->bgdl", steps, self.dt_projs_weight)
        wide = torch.promote_types(x.dtype, torch.float32)
        delta = F.softplus(steps.to(wide) + self.dt_projs_bias.to(wide)[..., None])
        a = -self.A_logs.to(wide).exp().unflatten(0, (self.groups, -1))
        d = self.Ds.to(wide).unflatten(0, (self.groups, -1))
        return selective_scan(x.to(wide), delta, a, b.to(wide), c.to(wide) + prompt, d)


def _uniform(bound: float, *shape: int) -> Tensor:
    return torch.empty(shape).uniform_(-bound, bound)


class _Scan2D(StateSpace):
    """A gated state space along rows and columns, each forwards and backwards: (B, H, W, C) → same."""

    def __init__(self) -> None:
        super().__init__(_INNER, math.ceil(_DIM / 16), _STATES, 4)
        self.in_proj = nn.Linear(_DIM, 2 * _INNER, bias=False)
        self.conv2d = nn.Conv2d(_INNER, _INNER, 3, padding=1, groups=_INNER)
        self.out_norm = nn.LayerNorm(_INNER)
        self.out_proj = nn.Linear(_INNER, _DIM, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        h, gate = self.in_proj(x).chunk(2, -1)
        maps = F.silu(self.conv2d(h.permute(0, 3, 1, 2)))  # (B, D, H, W)
        ways = torch.stack((maps.flatten(2), maps.transpose(2, 3).flatten(2)), 1)  # along rows, columns
        y = super().forward(torch.cat((ways, ways.flip(-1)), 1))  # (B, 4, D, L)
        along = y[:, :2] + y[:, 2:].flip(-1)
        rows, columns = x.shape[1:3]
        summed = along[:, 0].unflatten(-1, (rows, columns))
        summed = summed + along[:, 1].unflatten(-1, (columns, rows)).transpose(2, 3)
        return self.out_proj(self.out_norm(summed.permute(0, 2, 3, 1).to(x.dtype)) * F.silu(gate))


class _ChannelAttention(nn.Module):
    """Weights of channels from their means: (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(dim, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, dim, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.attention(x)


class _Layer(nn.Module):
    """State space and convolution with channel attention, their residuals scaled: (B, H, W, C) → same."""

    def __init__(self) -> None:
        super().__init__()
        narrow = _DIM // 2
        self.ln_1 = nn.LayerNorm(_DIM)
        self.self_attention = _Scan2D()
        self.skip_scale = nn.Parameter(torch.ones(_DIM))
        layers = (
            nn.Conv2d(_DIM, narrow, 1),
            nn.Conv2d(narrow, narrow, 3, padding=1, groups=narrow),
            nn.GELU(),
            nn.Conv2d(narrow, _DIM, 1),
            nn.Conv2d(_DIM, _DIM, 3, padding=2, dilation=2, groups=_DIM),
            _ChannelAttention(_DIM, _DIM // 30),
        )
        self.conv_blk = nn.ModuleDict({"cab": nn.Sequential(*layers)})
        self.ln_2 = nn.LayerNorm(_DIM)
        self.skip_scale2 = nn.Parameter(torch.ones(_DIM))

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.skip_scale + self.self_attention(self.ln_1(x))
        return x * self.skip_scale2 + convolve(self.conv_blk["cab"], self.ln_2(x))


class MambaIR(LightFrame):
    """MambaIR-light: 4 groups of 6 layers, 60 channels, 72 in the scans, 10 states.

    Args:
        scale: Output side per LR side; None for the encoder alone.
    """

    def __init__(self, scale: int | None) -> None:
        super().__init__(_DIM, (ResidualGroup(_DIM, (_Layer() for _ in range(6))) for _ in range(4)), scale)
