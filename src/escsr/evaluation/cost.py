"""What a model costs: parameters and multiply-accumulates, counted on the model as it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from escsr.evaluation.mac_convention import PAPERS_OWN
from escsr.networks import ESC, NetworkConfig
from escsr.upscaling.inference import Inference
from escsr.upscaling.super_resolver import ModuleResolver, SuperResolver
from escsr.upscaling.tiled import TiledInference

__all__ = ["MacCount", "count_forward_macs", "count_macs", "count_parameters"]


class MacCount(NamedTuple):
    """Multiply-accumulates in two conventions.

    Attributes:
        products: Those of convolutions and matrix products.
        paper: The paper's "FLOPs": beside these 5 per normalised element and 1 per pooled element.
    """

    products: int
    paper: int


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
    elif isinstance(model, ModuleResolver):
        model = model.module
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
    config = model.network.config if isinstance(model, Inference) else model
    if isinstance(config, NetworkConfig):
        network, lr = _shape_only(config), torch.empty(1, 3, height, width, device="meta")
        return count_forward_macs(lambda: network(lr, scale=scale)).paper
    size = None if scale is None else (round(height * scale), round(width * scale))
    return count_forward_macs(lambda: config(torch.zeros(1, 3, height, width), size=size)).paper


def count_forward_macs(forward: Callable[[], object]) -> MacCount:
    """Multiply-accumulates of what a function computes; on the device "meta" nothing is computed for it.

    Args:
        forward: Runs a network once.

    Returns:
        The count, in both conventions.

    Example:
        >>> conv = torch.nn.Conv2d(3, 8, 3, device="meta")
        >>> count_forward_macs(lambda: conv(torch.empty(1, 3, 10, 10, device="meta"))).products
        13824
    """
    counter = FlopCounterMode(display=False, custom_mapping=dict(PAPERS_OWN))
    with torch.no_grad(), counter:
        forward()
    counts = counter.get_flop_counts().get("Global", {})  # two operations are one MAC
    own = sum(count for operation, count in counts.items() if operation in PAPERS_OWN)
    total = sum(counts.values())
    return MacCount(products=(total - own) // 2, paper=total // 2)


def _shape_only(config: NetworkConfig) -> ESC:
    with torch.device("meta"):
        return ESC(config).eval().set_attention_backend("plain")
