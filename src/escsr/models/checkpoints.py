"""Weights on disk: our safetensors, and the authors' published checkpoints."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from escsr.errors import CheckpointError, ConfigError, OutputError
from escsr.files import atomic_path
from escsr.models.bundled import TRAINING_PREFIX, find_model
from escsr.models.own_modules import OWN_MODULE
from escsr.models.published_keys import detect_config, from_published, state_keys, to_published
from escsr.networks import ESC, NetworkConfig, variant_name
from escsr.networks.upsamplers import convert_scale
from escsr.runtime.settings import validated

__all__ = [
    "DEGRADATION",
    "Checkpoint",
    "load_network",
    "network_of",
    "read_checkpoint",
    "save_network",
    "with_scale",
]

DEGRADATION = "degradation"
"""Text field of models that were trained on damaged photographs: by which."""

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_ACCEPTED = "a safetensors file of ESC weights, or a .pth of the authors' releases"


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
        name_or_path: Bundled name (see `find_model`), or a file: ours, or a published .pth or
            .safetensors.
        scale: Where it differs from the file's, the output layer is converted to this scale by
            bilinear interpolation of its sub-pixels: a start for training, not a finished model.
        device: Where the network goes.

    Returns:
        The network.

    Raises:
        ModelNotFoundError: There is no such name or file.
        CheckpointError: The file is damaged, unsafe or not of this family.
        ConfigError: The network cannot have that scale.

    Example:
        >>> load_network("esc-light-x2").config.num_blocks
        3
    """
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
    """
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
    content, metadata = _read_file(path)
    if metadata.get("format") == OWN_MODULE:
        raise CheckpointError(
            f"{path}: weights of a network of your own ({metadata.get('class')}), which only code with "
            "that class can use: load_state_dict(safetensors.torch.load_file(path))."
        )
    tensors = _unwrap(path, content)
    weights = {key: value for key, value in tensors.items() if not key.startswith(TRAINING_PREFIX)}
    _check_tensors(path, weights)
    text = metadata.get("config") if metadata.get("format") == "escsr" else None
    try:
        config = detect_config(weights) if text is None else validated(NetworkConfig, json.loads(text))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: unreadable network configuration ({error}).") from error
    in_block = sum(key.startswith("blocks.") for key in state_keys(config.replace(num_blocks=1)))
    if (config.num_blocks - 1) * in_block > len(weights):  # before its many blocks are built
        raise CheckpointError(f"{path}: {len(weights):,} tensors, too few for {config.num_blocks} blocks.")
    extra = {key: value for key, value in tensors.items() if key not in weights}
    return Checkpoint(config, weights if text else from_published(weights, config), extra, metadata)


def save_network(
    network: ESC,
    path: str | os.PathLike[str],
    *,
    training: str = "",
    licence: str = "",
    half: bool = False,
    published_names: bool = False,
    extra: Mapping[str, Tensor] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes a network as safetensors that describe themselves; the file appears whole or not at all.

    Args:
        network: The network.
        path: Target, ending in .safetensors.
        training: How the weights came about, in words.
        licence: Licence of the weights.
        half: Store half precision.
        published_names: Use the authors' key names, for tools that know only those.
        extra: More tensors, under `TRAINING_PREFIX`.
        metadata: More text fields.

    Raises:
        OutputError: The ending is another, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".safetensors":
        raise OutputError(f"{path}: weights are written as .safetensors.")
    dtype = torch.float16 if half else torch.float32
    weights = {key: value.detach().to("cpu", dtype) for key, value in network.state_dict().items()}
    fields = {
        "variant": variant_name(network.config) or "custom",
        "scale": str(network.config.scale or "any"),
        "training": training,
        "licence": licence,
        **(metadata or {}),
    }
    if published_names:
        weights = to_published(weights, network.config)
    else:
        fields |= {"format": "escsr", "config": json.dumps(network.config.to_dict())}
    tensors = {key: value.contiguous() for key, value in {**weights, **(extra or {})}.items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=fields)


def _read_file(path: Path) -> tuple[Any, dict[str, str]]:
    """What the file holds, and its text fields."""
    try:
        if path.suffix.lower() == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if sum(each.file_size for each in archive.infolist()) > path.stat().st_size:
                    raise ValueError("it unpacks to more than it holds")
        return torch.load(path, map_location="cpu", weights_only=True), {}
    except Exception as error:  # what readers raise for a crafted file is anything
        problem = f"damaged or not a checkpoint ({error!s:.200})"
        if isinstance(error, pickle.UnpicklingError):
            problem = "refused, it holds more than tensors (or is no checkpoint at all)"
        raise CheckpointError(f"{path}: {problem}; accepted is {_ACCEPTED}.") from error


def _unwrap(path: Path, content: Any) -> dict[str, Tensor]:
    """`params_ema` > `params` > LTE's model.sd > bare, without `module.` prefixes."""
    for key in ("model", "sd", "params_ema", "params", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}; accepted is {_ACCEPTED}.")
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    return {key.removeprefix("module."): value.detach() for key, value in tensors.items()}


def _check_tensors(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Refuses tensors that are no plain floating-point numbers, or larger than the file that holds them."""
    for key, value in weights.items():
        plain = value.layout is torch.strided and not value.is_nested and value.device.type == "cpu"
        if not plain or value.dtype not in _FLOATS:
            kind = f"{key:.100} is {value.dtype}, {value.layout}, {value.device}"
            raise CheckpointError(f"{path}: {kind}; accepted are dense tensors of {_FLOATS}.")
    claimed, held = sum(value.nbytes for value in weights.values()), path.stat().st_size
    if claimed > held:
        raise CheckpointError(f"{path}: its tensors claim {claimed:,} bytes, the file has {held:,}.")
