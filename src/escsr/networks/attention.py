"""Window self-attention with relative position bias, in three equal implementations.

ESC, ICCV 2025, section 3.2; the low-rank bias after FlashBias (NeurIPS 2025); the gate and the bias made
from coordinates are ESC-RIB's (arXiv 2603.06738).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from escsr.networks import training_kernels
from escsr.networks.config import NetworkConfig
from escsr.networks.implicit_bias import ImplicitBias
from escsr.networks.layers import NO_MARGIN, Margin, Projection, crop, initial, reflect_pad

__all__ = [
    "AttentionBackend",
    "Gate",
    "WindowAttention",
    "choose_backend",
    "merge_windows",
    "partition_windows",
    "relative_position_bias",
]

AttentionBackend = Literal["auto", "plain", "sdpa", "flex"]
"""How attention is computed: "plain" (matrix products and softmax), "sdpa" (PyTorch's
`scaled_dot_product_attention`), "flex" (compiled flex attention), "auto" (see `choose_backend`)."""


def choose_backend(device_type: str, *, differentiable: bool) -> AttentionBackend:
    """What "auto" stands for.

    Args:
        device_type: "cpu", "cuda", ...
        differentiable: Whether gradients will be asked for.

    Returns:
        "plain" where a gradient is needed on a CPU (PyTorch's fused kernel has none for the bias and
        falls back to a slower one; where there is a kernel of ours, it goes first, see
        `training_kernels`), "sdpa" everywhere else.
    """
    return "plain" if differentiable and device_type == "cpu" else "sdpa"


def relative_position_bias(table: Tensor, window: int) -> Tensor:
    """Bias of every pair of pixels of a window, as overlapping views of the table (no index tables).

    Entry (h, q, k) is `table[h, (k_row − q_row + w − 1)·(2w − 1) + (k_col − q_col + w − 1)]`: the
    transpose of Swin's sign.

    Args:
        table: (heads, (2w − 1)²).
        window: Side w of the window.

    Returns:
        (heads, w², w²): queries × keys.
    """
    side = 2 * window - 1
    grid = table.reshape(-1, side, side)  # (heads, 2w − 1, 2w − 1)
    views = grid.unfold(1, window, 1).unfold(2, window, 1).flip(1, 2)  # (heads, w, w, w, w)
    return views.reshape(-1, window * window, window * window)  # (heads, w², w²)


def partition_windows(x: Tensor, window: int, parts: int, heads: int) -> tuple[Tensor, ...]:
    """Cuts a map into windows and its channels into parts and heads.

    Args:
        x: (B, parts·heads·d, H, W), H and W multiples of the window; channels ordered (part, head, d).
        window: Side w of a window.
        parts: 3 for queries, keys and values.
        heads: Attention heads.

    Returns:
        `parts` tensors (B·H/w·W/w, heads, w², d).
    """
    batch, channels, height, width = x.shape
    rows, columns, dim = height // window, width // window, channels // (parts * heads)
    cut = x.reshape(batch, parts, heads, dim, rows, window, columns, window)
    cut = cut.permute(1, 0, 4, 6, 2, 5, 7, 3)  # (parts, B, H/w, W/w, heads, w, w, d)
    cut = cut.reshape(parts, batch * rows * columns, heads, window * window, dim)
    return cut.unbind(0)  # parts × (B·H/w·W/w, heads, w², d)


def merge_windows(windows: Tensor, window: int, height: int, width: int) -> Tensor:
    """The inverse of `partition_windows` for one part.

    Args:
        windows: (B·H/w·W/w, heads, w², d).
        window: Side w of a window.
        height: H, a multiple of w.
        width: W, a multiple of w.

    Returns:
        (B, heads·d, H, W).
    """
    _, heads, _, dim = windows.shape
    rows, columns = height // window, width // window
    x = windows.reshape(-1, rows, columns, heads, window, window, dim)
    x = x.permute(0, 3, 6, 1, 4, 2, 5)  # (B, heads, d, H/w, w, W/w, w)
    return x.reshape(-1, heads * dim, height, width)  # (B, C, H, W)


def _attend_plain(q: Tensor, k: Tensor, v: Tensor, scale: float, module: WindowAttention) -> Tensor:
    scores = (q * scale) @ k.transpose(-2, -1)  # (windows, heads, w², w²)
    bias = module.position_bias()
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    return scores.softmax(-1) @ v


def _attend_sdpa(q: Tensor, k: Tensor, v: Tensor, scale: float, module: WindowAttention) -> Tensor:
    bias = module.position_bias()
    mask = None if bias is None else bias.to(q.dtype)[None]  # (1, heads, w², w²)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


def _attend_flex(q: Tensor, k: Tensor, v: Tensor, scale: float, module: WindowAttention) -> Tensor:
    table, window = module.bias_table, module.window
    if table is None:
        return _compiled_flex()(q, k, v, scale=scale)
    side = 2 * window - 1

    def add_bias(score: Tensor, _: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        row = key // window - query // window + window - 1
        column = key % window - query % window + window - 1
        return score + table[head, row * side + column]

    return _compiled_flex()(q, k, v, score_mod=add_bias, scale=scale)


@cache
def _compiled_flex() -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)


class Gate(nn.Module):
    """How much of what attention gives is used: sigmoid(1×1(depthwise 3×3(x))), less the margin."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.project = Projection(dim, dim)

    def forward(self, x: Tensor, margin: Margin = NO_MARGIN) -> Tensor:
        """(B, C, top + H + bottom, left + W + right) → (B, C, H, W), in (0, 1)."""
        return self.project(crop(self.depthwise(x), margin)).sigmoid()


class WindowAttention(nn.Module):
    """Self-attention inside windows without shift: softmax(q·kᵀ/√d + bias)·v, in ESC-RIB times a gate.

    The input is reflect-padded right and bottom to a multiple of the window, queries, keys and
    values are made after the pad, and the result is cropped before gate and output projection.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        heads, window, rank = config.num_heads, config.window_size, config.bias_rank
        self.window, self.heads = window, heads
        self.backend = "auto"
        self.qkv = Projection(config.dim, 3 * config.dim)
        self.out = Projection(config.dim, config.dim)
        fill = partial(nn.init.normal_, std=1e-3 if rank is None else 1e-2)
        self.bias_table = initial(fill, heads, (2 * window - 1) ** 2) if rank is None else None
        learned = rank if config.bias_hidden_dim is None else None
        self.bias_query = initial(fill, heads, window**2, learned) if learned else None
        self.bias_key = initial(fill, heads, window**2, learned) if learned else None
        self.implicit_bias = ImplicitBias(config) if config.bias_hidden_dim else None
        self.gate = Gate(config.dim) if config.attention_gate else None
        self.halo = 0 if self.gate is None else 1
        self.bias: Tensor | None
        self.register_buffer("bias", None, persistent=False)

    def position_bias(self) -> Tensor | None:
        """The bias matrix, (heads, w², w²), of a table; in the inference form the one made there."""
        if self.bias is not None or self.bias_table is None:
            return self.bias
        return relative_position_bias(self.bias_table, self.window)

    def bias_factors(self) -> tuple[Tensor, Tensor] | None:
        """φ_q and φ_k, (heads, w², R) each, of a bias φ_q·φ_kᵀ; None where it has a table."""
        if self.implicit_bias is not None:
            query, key = self.implicit_bias()
            return query, key
        if self.bias_query is not None and self.bias_key is not None:
            return self.bias_query, self.bias_key
        return None

    def forward(self, x: Tensor, margin: Margin = NO_MARGIN) -> Tensor:
        """(B, C, top + H + bottom, left + W + right) → (B, C, H, W), any size from 1×1.

        Only the gate looks at the margin.
        """
        inside = crop(x, margin)
        height, width = inside.shape[-2:]
        qkv = self.qkv(reflect_pad(inside, right=-width % self.window, bottom=-height % self.window))
        attended = None
        if self.backend == "auto":
            attended = training_kernels.attend(qkv, self.bias_table, self.window)
        if attended is None:
            attended = self._attend(qkv)
        attended = attended[..., :height, :width]
        return self.out(attended if self.gate is None else attended * self.gate(x, margin))

    def _attend(self, qkv: Tensor) -> Tensor:
        """Attention without projections: (B, 3·C, H, W) → (B, C, H, W), H and W multiples of the window."""
        q, k, v = partition_windows(qkv, self.window, 3, self.heads)
        head_dim = q.shape[-1]
        scale = head_dim**-0.5
        factors = self.bias_factors()
        if factors is not None:
            of_queries, of_keys = (each.to(q.dtype).expand(len(q), -1, -1, -1) for each in factors)
            q, k = torch.cat((q * scale, of_queries), -1), torch.cat((k, of_keys), -1)
            v = F.pad(v, (0, of_keys.shape[-1]))  # fused kernels want one head dimension
            scale = 1.0
        backend = self.backend
        if backend == "auto":
            is_traced = torch._C._get_tracing_state() is not None  # one graph, with gradients and without
            needs_gradient = torch.is_grad_enabled() and qkv.requires_grad and not is_traced
            backend = choose_backend(qkv.device.type, differentiable=needs_gradient)
        attended = _BACKENDS[backend](q, k, v, scale, self)[..., :head_dim]  # (windows, heads, w², d)
        return merge_windows(attended, self.window, qkv.shape[-2], qkv.shape[-1])


_BACKENDS: dict[str, Callable[[Tensor, Tensor, Tensor, float, WindowAttention], Tensor]] = {
    "plain": _attend_plain,
    "sdpa": _attend_sdpa,
    "flex": _attend_flex,
}
