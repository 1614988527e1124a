"""Position bias of low rank, made from coordinates: RIB, of ESC's successor (arXiv 2603.06738)."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from escsr.networks.config import NetworkConfig
from escsr.networks.layers import initial

__all__ = ["COORDINATE_FEATURES", "ImplicitBias", "coordinate_features"]

_FREQUENCIES = 10

COORDINATE_FEATURES = 2 + 4 * _FREQUENCIES
"""Numbers that describe where in a window a pixel lies."""


def coordinate_features(window: int, like: Tensor) -> Tensor:
    """What a window's pixels are known by: x, y, then sin 2ⁱx, sin 2ⁱy, cos 2ⁱx, cos 2ⁱy for i = 0 ... 9.

    Args:
        window: Side w of the window. Pixel centres are at 2(i + ½)/w − 1, so they lie in (−1, 1).
        like: A tensor of the wanted type and device.

    Returns:
        (w², 42), pixels row by row.
    """
    centres = (torch.arange(window, dtype=like.dtype, device=like.device) + 0.5) * (2 / window) - 1
    at = torch.stack((centres.repeat(window), centres.repeat_interleave(window)), 1)  # (w², 2): x, y
    powers = 2.0 ** torch.arange(_FREQUENCIES, dtype=like.dtype, device=like.device)
    angles = powers[:, None] * at[:, None]  # (w², 10, 2)
    waves = torch.cat((angles.sin(), angles.cos()), -1)  # (w², 10, 4)
    return torch.cat((at, waves.flatten(1)), 1)


class ImplicitBias(nn.Module):
    """Factors of a position bias of rank R: a hidden layer on coordinates, then a matrix for each head.

    h = ReLU(features·W₁ + b), φ_q = h·W_q, φ_k = h·W_k; the bias is φ_q·φ_kᵀ/√R. It depends on the weights
    alone, so the inference form keeps it.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        hidden, rank = config.bias_hidden_dim, config.bias_rank
        assert hidden is not None
        assert rank is not None
        fill = partial(nn.init.normal_, std=0.05)
        self.window = config.window_size
        self.hidden_weight = initial(fill, COORDINATE_FEATURES, hidden)
        self.hidden_bias = initial(nn.init.zeros_, 1, hidden)
        self.query = initial(fill, config.num_heads, hidden, rank)
        self.key = initial(fill, config.num_heads, hidden, rank)
        self.factors: Tensor | None
        self.register_buffer("factors", None, persistent=False)

    def forward(self) -> Tensor:
        """φ_q/√R and φ_k: (2, heads, w², R), in the type of the weights under autocast too."""
        if self.factors is not None:
            return self.factors
        device = self.query.device.type
        exactly = nullcontext() if device == "meta" else torch.autocast(device, enabled=False)
        with exactly:
            features = coordinate_features(self.window, self.query)
            hidden = (features @ self.hidden_weight + self.hidden_bias).relu()  # (w², hidden)
            return torch.stack((hidden @ self.query * self.query.shape[-1] ** -0.5, hidden @ self.key))
