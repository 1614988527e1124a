"""The network of a training as it begins: random, the caller's own, or with a trained model's weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from escsr.errors import ConfigError
from escsr.models.checkpoints import Checkpoint, with_scale
from escsr.networks import ESC
from escsr.training.config import TrainingConfig

__all__ = ["NetworkFactory", "grow", "make_network", "starting_weights"]

NetworkFactory = Callable[[TrainingConfig], nn.Module]
"""Makes a network of the caller's own: LR, (B, 3, p, p) in [0, 1], to SR, (B, 3, rp, rp), at the scale of
`config.network`. Its weights are random, drawn after `torch.manual_seed(config.seed)`, or loaded.
Weights and batches of four dimensions lie in memory with the channels last, where `view` across channels
can fail: use `reshape`."""

_HEAD = ("upsampler.", "shortcut.")
_BLOCK = re.compile(r"blocks\.(\d+)\.")


def make_network(
    config: TrainingConfig, network: NetworkFactory | None = None, start: Checkpoint | None = None
) -> nn.Module:
    """Makes the network that is trained.

    Args:
        config: The recipe.
        network: Makes it; None for that of the recipe.
        start: Weights to start from, made to fit (`starting_weights`); None for those it is made with.

    Returns:
        The network.

    Raises:
        ConfigError: The weights do not fit it, or `network` makes no module that can be trained.
    """
    made = ESC(config.network) if network is None else _own(network, config)
    if start is not None:
        if not isinstance(made, ESC):
            raise ConfigError("A network of your own starts as it is made: load its weights there.")
        made.load_state_dict(starting_weights(start, made))
    return made


def starting_weights(start: Checkpoint, network: ESC) -> dict[str, Tensor]:
    """A trained model's weights, made to fit a network of the same width.

    * Another scale: the output layer is converted (`with_scale`).
    * More blocks: `grow`.
    * An upsampler of another kind: the network keeps its own, the encoder is the model's. Where it sees
      pictures in [−1, 1] and the model saw them in [0, 1], or the other way round, the first
      convolution is changed so that it gives the same, apart from the border.

    Args:
        start: The trained model.
        network: The network that shall start from it, freshly initialised.

    Returns:
        A state dict for `network`, float32.

    Raises:
        ConfigError: The model differs in more than that.
    """
    own, wanted = start.config, network.config
    free = {name: getattr(wanted, name) for name in ("scale", "num_blocks", "upsampler", "shortcut")}
    if own.replace(**free) != wanted or own.num_blocks > wanted.num_blocks:
        raise ConfigError(
            "The weights to start from are of another network than the recipe's: only scale, "
            "upsampler and number of blocks (more) may differ."
        )
    if own.upsampler == wanted.upsampler:
        if wanted.scale is not None:
            start = with_scale(start, wanted.scale)
        weights = {key: value.float() for key, value in start.weights.items()}
    else:
        body = {key: value.float() for key, value in start.weights.items() if not key.startswith(_HEAD)}
        head = {key: value.clone() for key, value in network.state_dict().items() if key.startswith(_HEAD)}
        weights = _seeing(body, before=own.upsampler == "lte", now=wanted.upsampler == "lte") | head
    return grow(weights, own.num_blocks, wanted.num_blocks)


def grow(weights: Mapping[str, Tensor], num_blocks: int, wanted: int) -> dict[str, Tensor]:
    """Adds blocks behind the last, so that the network's output stays exactly as it was.

    A new block repeats the weights of an old one, except for its last 3×3 convolution, which is zero:
    x + 0 is x. Its features are sensible from the first step on, and the zeros learn at once. The last
    old blocks are repeated in their order, so that no two new ones are the same (unless there are more
    new than old).

    Args:
        weights: State dict of a network with `num_blocks` blocks.
        num_blocks: Blocks N it has.
        wanted: Blocks it shall have, N or more.

    Returns:
        A state dict for the larger network; tensors are not shared between blocks.
    """
    grown = dict(weights)
    for block in range(num_blocks, wanted):
        model = num_blocks - 1 - (wanted - 1 - block) % num_blocks
        for key, value in weights.items():
            match = _BLOCK.match(key)
            if match and int(match[1]) == model:
                inner = key[match.end() :]
                is_last = inner.startswith("conv_last.")
                grown[f"blocks.{block}.{inner}"] = torch.zeros_like(value) if is_last else value.clone()
    return grown


def _own(network: NetworkFactory, config: TrainingConfig) -> nn.Module:
    """The caller's own network, refused where there is nothing to train."""
    if isinstance(network, nn.Module):
        raise ConfigError(
            f"network is a function that makes the network; give one that returns this "
            f"{type(network).__name__}, such as lambda config: module."
        )
    made = network(config)
    if not isinstance(made, nn.Module):
        raise ConfigError(f"network must return a torch module, not {type(made).__name__}.")
    if not any(weight.requires_grad for weight in made.parameters()):
        raise ConfigError(
            f"{type(made).__name__} has no weights to train: none has requires_grad, as in a network that "
            "was loaded to compute results."
        )
    return made


def _seeing(weights: dict[str, Tensor], *, before: bool, now: bool) -> dict[str, Tensor]:
    """Shallow convolution of x in [0, 1] to one of 2x − 1 in [−1, 1], or back."""
    if before == now:
        return weights
    weight, bias = weights["shallow.weight"], weights["shallow.bias"]
    total = weight.sum((1, 2, 3))
    factor, shift = (0.5, total / 2) if now else (2, -total)
    return weights | {"shallow.weight": weight * factor, "shallow.bias": bias + shift}
