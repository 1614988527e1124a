"""MambaIRv2, the light variant: windows, and one scan of pixels sorted by content (Guo et al., 2025)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from escsr.evaluation.rivals.frame import LightFrame, ResidualGroup, convolve
from escsr.evaluation.rivals.mambair import StateSpace
from escsr.evaluation.rivals.windows import merge_windows, relative_index, split_windows, wrapped_pairs

__all__ = ["MambaIRv2"]

_DIM, _STATES, _HEADS, _WINDOW = 48, 8, 4, 16
_RANK, _TOKENS = 32, 64


class _WindowAttention(nn.Module):
    """Attention within windows, of queries, keys and values that are made already."""

    index: Tensor

    def __init__(self, index: Tensor) -> None:
        super().__init__()
        self.register_buffer("index", index, persistent=False)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * _WINDOW - 1) ** 2, _HEADS))
        self.proj = nn.Linear(_DIM, _DIM)

    def forward(self, qkv: Tensor, apart: Tensor | None) -> Tensor:
        """(B, H, W, 3C) → (B, H, W, C); pairs that are `apart` do not meet."""
        parts = split_windows(qkv, _WINDOW).unflatten(-1, (3, _HEADS, -1))  # (B, windows, w², 3, heads, d)
        q, k, v = parts.permute(3, 0, 1, 4, 2, 5)
        bias = self.relative_position_bias_table[self.index].permute(2, 0, 1)  # (heads, w², w²)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1) + bias
        if apart is not None:
            scores = scores - 100 * apart[:, None].to(scores.dtype)
        windows = (scores.softmax(-1) @ v).transpose(-3, -2).flatten(-2)
        return merge_windows(self.proj(windows), _WINDOW, qkv.shape[2])


class _AttentiveStateSpace(nn.Module):
    """Pixels are routed to 64 tokens, sorted by token and scanned once; tokens also prompt the scan's C.

    While training the route is drawn (Gumbel); else it is the likeliest one. Differs from the authors'
    code, which draws in evaluation too, so that no two of its results are equal. As there, prompts are in
    the picture's order, not in the scan's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.selectiveScan = StateSpace(_DIM, math.ceil(_DIM / 16), _STATES, 1)
        self.out_norm = nn.LayerNorm(_DIM)
        self.out_proj = nn.Linear(_DIM, _DIM)
        self.in_proj = nn.Sequential(nn.Conv2d(_DIM, _DIM, 1))
        self.CPE = nn.Sequential(nn.Conv2d(_DIM, _DIM, 3, padding=1, groups=_DIM))
        self.embeddingB = nn.Embedding(_TOKENS, _RANK)
        hidden = _DIM // 3
        self.route = nn.Sequential(nn.Linear(_DIM, hidden), nn.GELU(), nn.Linear(hidden, _TOKENS))

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """(B, H, W, C) and (rank, N) → (B, H, W, C)."""
        log_chances = self.route(x).flatten(1, 2).log_softmax(-1)  # (B, L, tokens)
        if self.training:
            policy = F.gumbel_softmax(log_chances, hard=True)
        else:
            policy = F.one_hot(log_chances.argmax(-1), _TOKENS).to(x.dtype)
        prompt = policy @ (self.embeddingB.weight @ tokens)  # (B, L, N)
        order = policy.argmax(-1).argsort(dim=-1, stable=True)  # (B, L)
        maps = self.in_proj(x.permute(0, 3, 1, 2))
        sequence = (maps * self.CPE(maps).sigmoid()).flatten(2)  # (B, C, L)
        place = order[:, None].expand_as(sequence)
        y = self.selectiveScan(sequence.gather(2, place)[:, None], prompt.transpose(1, 2)[:, None])[:, 0]
        y = self.out_proj(self.out_norm(y.transpose(1, 2).to(x.dtype)))  # (B, L, C), sorted
        back = torch.empty_like(y).scatter(1, order[..., None].expand_as(y), y)
        return back.unflatten(1, x.shape[1:3])


class _SpatialGate(nn.Module):
    """Half of the channels, through a depthwise 5×5, gate the other half: (B, H, W, 2C) → (B, H, W, C)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.conv = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        kept, gate = x.chunk(2, -1)
        return kept * convolve(self.conv, self.norm(gate))


class _GatedMLP(nn.Sequential):
    """(B, H, W, C) → (B, H, W, C)."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.act = nn.Linear(_DIM, _DIM), nn.GELU()
        self.sg, self.fc2 = _SpatialGate(_DIM // 2), nn.Linear(_DIM // 2, _DIM)


class _Layer(nn.Module):
    """Window attention, then the attentive state space: (B, H, W, C) → (B, H, W, C)."""

    def __init__(self, shift: int, index: Tensor) -> None:
        super().__init__()
        self.shift = shift
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(_DIM) for _ in range(4))
        self.scale1, self.scale2 = (nn.Parameter(torch.full((_DIM,), 1e-4)) for _ in range(2))
        self.wqkv = nn.Linear(_DIM, 3 * _DIM)
        self.win_mhsa = _WindowAttention(index)
        self.assm = _AttentiveStateSpace()
        self.convffn1, self.convffn2 = _GatedMLP(), _GatedMLP()
        self.embeddingA = nn.Embedding(_RANK, _STATES)

    def forward(self, x: Tensor) -> Tensor:
        y = x + self.attention(self.norm1(x))
        x = x * self.scale1 + y + self.convffn1(self.norm2(y))
        y = x + self.assm(self.norm3(x), self.embeddingA.weight)
        return x * self.scale2 + y + self.convffn2(self.norm4(y))

    def attention(self, x: Tensor) -> Tensor:
        """Within windows, in every second layer of the picture rolled by half a window."""
        shift = self.shift
        if not shift:
            return self.win_mhsa(self.wqkv(x), None)
        apart = wrapped_pairs(x.shape[1], x.shape[2], _WINDOW, shift, x.device)
        return self.win_mhsa(self.wqkv(x).roll((-shift, -shift), (1, 2)), apart).roll(
            (shift, shift), (1, 2)
        )


class MambaIRv2(LightFrame):
    """MambaIRv2-light: 4 groups of 5 layers, 48 channels, windows of 16, 8 states, 64 tokens.

    Args:
        scale: Output side per LR side; None for the encoder alone.
    """

    def __init__(self, scale: int | None) -> None:
        index = relative_index(_WINDOW)
        groups = (
            ResidualGroup(_DIM, (_Layer(layer % 2 * _WINDOW // 2, index) for layer in range(5)), "layers")
            for _ in range(4)
        )
        super().__init__(_DIM, groups, scale, multiple=_WINDOW, padding="symmetric")
        self.register_buffer("relative_position_index_SA", index)  # which the authors' files hold
