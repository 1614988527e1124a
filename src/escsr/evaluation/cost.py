"""What a model costs: parameters and multiply-accumulates, counted on the model as it runs."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from escsr.evaluation.mac_convention import PAPERS_OWN
from escsr.networks import ESC, NetworkConfig
from escsr.upscaling.inference import Inference
from escsr.upscaling.super_resolver import SuperResolver
from escsr.upscaling.tiled import TiledInference

__all__ = ["count_macs", "count_parameters"]


def count_parameters(model: NetworkConfig | nn.Module | SuperResolver) -> int:
    """Values of a model that training changes; 0 for what is no network, as bicubic interpolation.

    Example:
        >>> from escsr.networks import variant_config
        >>> count_parameters(variant_config("esc", scale=4))
        967500
    """
    if isinstance(model, NetworkConfig):
        model = _shape_only(model)
    elif isinstance(model, (Inference, TiledInference)):
        model = model.network
    return sum(each.numel() for each in model.parameters()) if isinstance(model, nn.Module) else 0


def count_macs(
    model: NetworkConfig | SuperResolver, height: int, width: int, *, scale: float | None = None
) -> int:
    """Multiply-accumulates of one forward pass, by the rule behind the paper's "FLOPs" (Table 2).

    All convolutions and matrix products, attention on the padded size, 5 per normalised element, 1 per
    pooled element. Of a network of ours nothing is computed, it runs on shapes alone; another
    model runs once on a black image.

    Args:
        model: A network's shape, or a model.
        height: LR rows.
        width: LR columns.
        scale: For models of any scale.

    Returns:
        The count.

    Example:
        >>> from escsr.networks import variant_config
        >>> round(count_macs(variant_config("esc", scale=4), 180, 320) / 1e9, 3)
        149.19
    """
    counter = FlopCounterMode(display=False, custom_mapping=dict(PAPERS_OWN))
    config = model.network.config if isinstance(model, Inference) else model
    with torch.no_grad(), counter:
        if isinstance(config, NetworkConfig):
            _shape_only(config)(torch.empty(1, 3, height, width, device="meta"), scale=scale)
        else:
            size = None if scale is None else (round(height * scale), round(width * scale))
            config(torch.zeros(1, 3, height, width), size=size)
    return counter.get_total_flops() // 2  # two operations are one MAC


def _shape_only(config: NetworkConfig) -> ESC:
    with torch.device("meta"):
        return ESC(config).eval().set_attention_backend("plain")
