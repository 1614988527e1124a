"""The form of a network that computes results: what depends on the weights alone is made once."""

from __future__ import annotations

import copy

from torch import nn

from escsr.networks.attention import WindowAttention
from escsr.networks.config import NetworkConfig
from escsr.networks.conv_attn import DenseLargeKernel, average_symmetries
from escsr.networks.esc import ESC
from escsr.networks.implicit_bias import ImplicitBias

__all__ = ["inference_form", "kept_bias_bytes"]

_BIAS_LIMIT = 192 * 2**20
"""Position biases of all blocks together that are kept, bytes; larger ones are made at every call.

ESC's take 80 MiB and those of ESC-Real 160; ESC-XL's would take 2 GiB."""


def inference_form(network: ESC) -> ESC:
    """A frozen twin in eval mode that gives the same results, to the bit, with less work.

    The large kernel is averaged and the position biases are made here, once, from the weights as they are
    now. The other weights are shared with the network, which stays as it is; the state dict is the same.

    Args:
        network: The network; a twin made before is returned as it is.

    Returns:
        The twin.
    """
    if network.is_inference_form:
        return network
    shared = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in network.parameters()}
    form = copy.deepcopy(network, shared).eval()
    form.is_inference_form = True
    keep_bias = kept_bias_bytes(network.config) > 0
    for module in form.modules():
        if isinstance(module, DenseLargeKernel):
            module.averaged = average_symmetries(module.weight)
        elif isinstance(module, WindowAttention) and keep_bias:
            module.bias = module.position_bias()
        elif isinstance(module, ImplicitBias):
            module.factors = module()
    return form


def kept_bias_bytes(config: NetworkConfig) -> int:
    """Bytes, in float32, of the position biases that the inference form of a network keeps."""
    attentions = config.num_blocks * config.num_attention
    if config.bias_rank is not None:
        made = attentions if config.bias_hidden_dim else 0
        return 4 * made * 2 * config.num_heads * config.window_size**2 * config.bias_rank
    size_bytes = 4 * attentions * config.num_heads * config.window_size**4
    return size_bytes if size_bytes <= _BIAS_LIMIT else 0
