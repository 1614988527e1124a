"""The form of a network that computes results: what depends on the weights alone is made once."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from escsr.errors import ConfigError
from escsr.networks.attention import WindowAttention
from escsr.networks.config import NetworkConfig
from escsr.networks.conv_attn import DenseLargeKernel, average_symmetries
from escsr.networks.esc import ESC
from escsr.networks.implicit_bias import ImplicitBias
from escsr.networks.replaceable import is_replaceable

__all__ = ["WeightsWatch", "inference_form", "kept_bias_bytes"]

_BIAS_LIMIT = 192 * 2**20
"""Position biases of all blocks together that are kept, bytes; larger ones are made at every call.

ESC's take 80 MiB and those of ESC-Real 160; ESC-XL's would take 2 GiB."""


@torch.inference_mode(False)  # what is made here may be needed for gradients later
def inference_form(network: ESC) -> ESC:
    """A frozen twin in eval mode that gives the same results, to the bit, with less work.

    The large kernel is averaged and the position biases are made here, once, from the weights as they are
    now; the others are copied, so that the twin stays what it is when the network is trained on or loads
    others. The state dict is the same, but others cannot be loaded into the twin. Adapters and hooks stay
    at work.

    Args:
        network: The network; a twin made before is returned as it is.

    Returns:
        The twin.
    """
    if network.is_inference_form:
        return network
    form = copy.deepcopy(network, _twins(network)).eval()
    form.is_inference_form = True
    keep_bias = kept_bias_bytes(network.config) > 0
    for module in form.modules():
        module._register_load_state_dict_pre_hook(_refuse)  # type: ignore[no-untyped-call]
        if not is_replaceable(module, DenseLargeKernel, WindowAttention, ImplicitBias):
            continue
        if isinstance(module, DenseLargeKernel):
            module.averaged = average_symmetries(module.weight)
        elif isinstance(module, WindowAttention) and keep_bias:
            module.bias = module.position_bias()
        elif isinstance(module, ImplicitBias):
            module.factors = module()
    return form


def _twins(network: ESC) -> dict[int, Any]:
    """What stands in the twin for parts of the network, by identity: frozen weights, and the same hooks.

    Nothing would tell the twin of all changes to weights that it shared: those through `.data` are not
    counted by PyTorch, and it would compute with new weights and with what it made of the old ones.
    """
    twins: dict[int, Any] = {}
    for module in network.modules():
        for parameter in module.parameters(recurse=False):
            twins[id(parameter)] = nn.Parameter(parameter.detach().clone(), requires_grad=False)
        for made in vars(module).values():  # from parameters, as pruning does it
            if isinstance(made, Tensor):
                twins[id(made)] = made.detach().clone()
        for hook in (*module._forward_pre_hooks.values(), *module._forward_hooks.values()):
            twins[id(hook)] = hook
    return twins


class WeightsWatch:
    """Notices when a network gets other weights, modules or hooks.

    PyTorch counts changes of each tensor: steps of most optimisers, `load_state_dict`, operators in place.
    What is written past that count, as by fused optimisers or through `.data`, is noticed by the norm of
    each tensor, which takes some milliseconds; not where it leaves all norms as they were.

    Args:
        network: The network.
    """

    def __init__(self, network: ESC) -> None:
        self.network = network
        self._seen = self._state()

    def has_changed(self) -> bool:
        """Whether the weights, modules or hooks are others than when this was made."""
        return self._state() != self._seen

    def _state(self) -> list[object]:
        """The modules, numbers of their hooks, of each tensor its place and count of changes, all norms."""
        state: list[object] = []
        tensors: list[Tensor] = []
        for module in self.network.modules():
            state += (module, vars(module).get("forward"))
            state += (*module._forward_pre_hooks, None, *module._forward_hooks)
            held = (*module._parameters.values(), *module._buffers.values())
            tensors += [each for each in held if each is not None]
        return [*state, *map(_version, tensors), _norms(tensors)]


def _version(tensor: Tensor) -> tuple[int, int]:
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


@torch.no_grad()
def _norms(tensors: list[Tensor]) -> bytes:
    """The norms of all floating tensors, in float32 at least; as bytes, since NaN is other than itself."""
    exact = [
        each.to(torch.promote_types(each.dtype, torch.float32))
        for each in tensors
        if each.is_floating_point()
    ]
    if not exact:
        return b""
    return torch.stack(torch._foreach_norm(exact)).cpu().numpy().tobytes()


def _refuse(*_: Any) -> None:
    raise ConfigError(
        "An inference form takes no other weights, since it keeps what it made of its own: load them into "
        "a network and make its form anew (a new Upscaler, Inference or inference_form)."
    )


def kept_bias_bytes(config: NetworkConfig) -> int:
    """Bytes, in float32, of the position biases that the inference form of a network keeps."""
    attentions = config.num_blocks * config.num_attention
    if config.bias_rank is not None:
        made = attentions if config.bias_hidden_dim else 0
        return 4 * made * 2 * config.num_heads * config.window_size**2 * config.bias_rank
    size_bytes = 4 * attentions * config.num_heads * config.window_size**4
    return size_bytes if size_bytes <= _BIAS_LIMIT else 0
