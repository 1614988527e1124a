"""What a network costs: parameters and multiply-accumulates, counted on the network as it runs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from escsr.networks import ESC, NetworkConfig

__all__ = ["count_macs", "count_parameters"]


def count_parameters(config: NetworkConfig) -> int:
    """Trainable values of a network."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in ESC(config).parameters())


def count_macs(config: NetworkConfig, height: int, width: int, *, scale: float | None = None) -> int:
    """Multiply-accumulates of one forward pass, by the rule behind the paper's "FLOPs" (Table 2).

    All convolutions and matrix products, attention on the padded size, 5 per element of a LayerNorm,
    1 per pooled element. Nothing is computed: the network runs on
    shapes alone.

    Args:
        config: The network.
        height: LR rows.
        width: LR columns.
        scale: For networks of any scale.

    Returns:
        The count.

    Example:
        >>> from escsr.networks import variant_config
        >>> round(count_macs(variant_config("esc", scale=4), 180, 320) / 1e9, 3)
        149.19
    """
    with torch.device("meta"):
        network = ESC(config).eval().set_attention_backend("plain")
        lr = torch.empty(1, 3, height, width)
    counted = {torch.ops.aten.native_layer_norm: _layer_norm, torch.ops.aten.mean: _mean}
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=counted) as counter:
        network(lr, scale=scale)
    return counter.get_total_flops() // 2


def _layer_norm(shape: Any, *_: Any, **__: Any) -> int:
    """Twice 5 per element: the counter counts operations, two of which are one MAC."""
    return 2 * 5 * math.prod(shape)


def _mean(shape: Any, *_: Any, **__: Any) -> int:
    return 2 * math.prod(shape)
