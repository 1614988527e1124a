"""Weights read from disk: our safetensors, and the authors' published checkpoints."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Integral
from pathlib import Path

import torch
from torch import Tensor

from escsr.errors import CheckpointError, ConfigError
from escsr.files import read_json
from escsr.models.bundled import TRAINING_PREFIX, WEIGHTS_FILE, find_model
from escsr.models.own_modules import OWN_MODULE
from escsr.models.published_keys import (
    detect_config,
    detect_own_config,
    from_published,
    has_own_names,
    state_keys,
)
from escsr.models.tensor_files import check_tensors, read_tensor_file, unwrapped
from escsr.networks import ESC, NetworkConfig
from escsr.networks.config import MAX_SCALE
from escsr.networks.upsamplers import convert_scale
from escsr.runtime.devices import choose_device
from escsr.runtime.fork import claim_threads
from escsr.runtime.settings import validated

__all__ = [
    "CONFIG_BESIDE_PUBLISHED",
    "CONFIG_FILE",
    "DEGRADATION",
    "Checkpoint",
    "blended",
    "load_network",
    "network_of",
    "read_checkpoint",
    "with_scale",
]

DEGRADATION = "degradation"
"""Text field of models that were trained on damaged photographs: by which."""

CONFIG_BESIDE_PUBLISHED = "escsr_config"
"""Text field of weights under the authors' names: what no tensor tells, as the window of ESC-RIB."""

CONFIG_FILE = "config.json"
"""Beside `WEIGHTS_FILE`, holds the shape of a network under "config" where the weights do not tell it."""


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights, read but not yet a network.

    Attributes:
        config: Shape of the network.
        weights: Tensors under our names, as stored.
        extra: Other tensors of the file (under `TRAINING_PREFIX`).
        metadata: Text fields of the file: variant, training, licence and others.
    """

    config: NetworkConfig
    weights: dict[str, Tensor]
    extra: dict[str, Tensor] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


def load_network(
    name_or_path: str | os.PathLike[str], *, scale: int | None = None, device: str | torch.device = "cpu"
) -> ESC:
    """Loads a network with trained weights, in eval mode and float32.

    Args:
        name_or_path: Bundled name (see `find_model`); a file: ours, or a published .pth or .safetensors; a
            folder that holds `model.safetensors` or a training run; or "organisation/name" on the Hugging
            Face Hub.
        scale: Where it differs from the file's, the output layer is converted to this scale by
            bilinear interpolation of its sub-pixels: a start for training, not a finished model.
        device: Where the network goes; see `choose_device`.

    Returns:
        The network.

    Raises:
        ModelNotFoundError: There is no such name or file.
        CheckpointError: The file is damaged, unsafe or not of this family.
        ConfigError: The network cannot have that scale.
        DeviceError: There is no such device.

    Example:
        >>> load_network("esc-light-x2").config.num_blocks
        3
    """
    if str(device) != "meta":
        device = choose_device(device)
    if scale is not None:
        if isinstance(scale, bool) or not isinstance(scale, Integral):
            raise ConfigError(f"scale must be an integer from 1 to {MAX_SCALE}, not {scale!r}.")
        scale = int(scale)
    checkpoint = read_checkpoint(find_model(name_or_path, scale=scale))
    if scale is not None:
        checkpoint = with_scale(checkpoint, scale)
    return network_of(checkpoint, name=os.fspath(name_or_path), device=device)


def network_of(checkpoint: Checkpoint, *, name: str, device: str | torch.device = "cpu") -> ESC:
    """The network of a checkpoint, in eval mode and float32.

    Args:
        checkpoint: The weights.
        name: What an error calls them.
        device: Where the network goes.

    Returns:
        The network.

    Raises:
        CheckpointError: The weights do not fit their network.
        DeviceError: This process was forked from one that had loaded a network already.
    """
    claim_threads()
    with torch.device("meta"):
        network = ESC(checkpoint.config)
    # Copies: a tensor of a mapped file may lie unaligned, where kernels round differently.
    weights = {key: value.to(device, torch.float32, copy=True) for key, value in checkpoint.weights.items()}
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        problem = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{name}: weights do not fit their network: {problem}") from error
    return network.requires_grad_(True).eval()


def blended(one: Checkpoint, other: Checkpoint, share: float) -> Checkpoint:
    """Weights between those of two models, of which one was trained on from the other.

    Source: network interpolation (ESRGAN, ECCVW 2018, section 3.4).

    Args:
        one: At share 0; its metadata is kept.
        other: At share 1, of the same shape.
        share: From 0 to 1.

    Returns:
        The weights (1 − share) · one + share · other, float32.

    Raises:
        CheckpointError: The two differ in their shape.
    """
    if one.config != other.config or one.weights.keys() != other.weights.keys():
        raise CheckpointError("The two forms of this model are networks of different shapes.")
    weights = {
        key: value.float().lerp(other.weights[key].float(), share) for key, value in one.weights.items()
    }
    return replace(one, weights=weights, extra={})


def with_scale(checkpoint: Checkpoint, scale: int) -> Checkpoint:
    """The same weights with the output layer converted to another scale (unchanged at its own).

    Raises:
        ConfigError: The upsampler is not a pixel shuffle, or the scale is impossible.
    """
    config = checkpoint.config
    if config.scale == scale:
        return checkpoint
    if config.upsampler != "pixel_shuffle":
        has = "any scale, given at each call" if config.scale is None else f"×{config.scale} only"
        raise ConfigError(f"This model has {has}; it cannot be converted to ×{scale}.")
    config, weights = config.replace(scale=scale), dict(checkpoint.weights)
    names = [f"upsampler.conv.{kind}" for kind in ("weight", "bias")]
    try:
        weight, bias = (weights[name].float() for name in names)
        weights.update(zip(names, convert_scale(weight, bias, scale), strict=True))
    except (KeyError, IndexError, RuntimeError) as error:
        raise CheckpointError(f"The output layer cannot be converted to ×{scale}: {error}.") from error
    return replace(checkpoint, config=config, weights=weights)


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Reads any accepted file of weights without building the network.

    Args:
        path: Our safetensors, or a published .pth or .safetensors.

    Returns:
        Configuration and tensors.

    Raises:
        CheckpointError: The file is missing, damaged, unsafe or not of this family.
    """
    path = Path(path)
    content, metadata = read_tensor_file(path)
    if metadata.get("format") == OWN_MODULE:
        raise CheckpointError(
            f"{path}: weights of a network of your own ({metadata.get('class')}), which only code with "
            "that class can use: load_state_dict(safetensors.torch.load_file(path))."
        )
    tensors = unwrapped(path, content)
    weights = {key: value for key, value in tensors.items() if not key.startswith(TRAINING_PREFIX)}
    check_tensors(path, weights)
    is_ours = has_own_names(weights)
    try:
        detect = detect_own_config if is_ours else detect_config
        config = _stated_config(path, metadata) or detect(weights)
    except CheckpointError as error:
        raise type(error)(f"{path}: {error}") from error
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: unreadable network configuration ({error}).") from error
    in_block = sum(key.startswith("blocks.") for key in state_keys(config.replace(num_blocks=1)))
    if (config.num_blocks - 1) * in_block > len(weights):  # before its many blocks are built
        raise CheckpointError(f"{path}: {len(weights):,} tensors, too few for {config.num_blocks} blocks.")
    extra = {key: value for key, value in tensors.items() if key not in weights}
    return Checkpoint(config, weights if is_ours else from_published(weights, config), extra, metadata)


def _stated_config(path: Path, metadata: Mapping[str, str]) -> NetworkConfig | None:
    """The shape of a network as its file says, or one beside it; None where neither does."""
    own = metadata.get("config" if metadata.get("format") == "escsr" else CONFIG_BESIDE_PUBLISHED)
    if own is not None:
        return validated(NetworkConfig, json.loads(own))
    beside = path.with_name(CONFIG_FILE)
    if path.name != WEIGHTS_FILE or not beside.is_file():
        return None
    stated = read_json(beside).get("config")
    return validated(NetworkConfig, stated) if isinstance(stated, dict) else None
