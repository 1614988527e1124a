"""Weights on disk: bundled models, our safetensors, and the authors' published checkpoints."""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from escsr.errors import CheckpointError, ConfigError, ModelNotFoundError, OutputError
from escsr.files import atomic_path
from escsr.models.published import RELEASED, cache_folder, fetch
from escsr.models.published_keys import detect_config, from_published, to_published
from escsr.networks import ESC, NetworkConfig, variant_name
from escsr.networks.upsamplers import convert_scale

__all__ = [
    "TRAINING_PREFIX",
    "Checkpoint",
    "find_model",
    "list_models",
    "load_network",
    "read_checkpoint",
    "save_network",
    "with_scale",
]

TRAINING_PREFIX = "training."
"""Tensors under this prefix belong to a training run; `load_network` passes over them."""

_DEFAULT_SCALE = 2
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


def list_models() -> list[str]:
    """Names of the bundled models, sorted.

    Returns:
        Names that `load_network` and `Upscaler` take.
    """
    return sorted(_bundled())


def find_model(name_or_path: str | os.PathLike[str], *, scale: float | None = None) -> Path:
    """Where a model's file is.

    Args:
        name_or_path: Bundled name, name of a downloaded published model, or a file. A bundled name may
            leave out its scale ("esc-light").
        scale: Enlargement wanted, where the name bears none: the smallest bundled scale that is not
            below it, or the largest there is. None for ×2.

    Returns:
        An existing file.

    Raises:
        ModelNotFoundError: Neither a bundled name nor a file, or a published model not downloaded yet.
        CheckpointError: The downloaded file is damaged.
    """
    bundled = _bundled()
    name = os.fspath(name_or_path)
    if name in bundled:
        return bundled[name]
    scales = {int(other.removeprefix(f"{name}-x")): other for other in bundled if _is_scale_of(other, name)}
    if scales:
        least = _DEFAULT_SCALE if scale is None else scale
        return bundled[scales[min((x for x in scales if x >= least), default=max(scales))]]
    if name in RELEASED:
        return _downloaded(name)
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        raise ModelNotFoundError(f"{name} is a folder, not a file of weights.")
    raise ModelNotFoundError(
        f"No model {name}: neither a file nor a bundled name ({', '.join(sorted(bundled)) or 'none'})."
    )


def load_network(
    name_or_path: str | os.PathLike[str],
    *,
    scale: int | None = None,
    device: str | torch.device = "cpu",
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
    with torch.device("meta"):
        network = ESC(checkpoint.config)
    # Copies: a tensor of a mapped file may lie unaligned, where kernels round differently.
    weights = {key: value.to(device, torch.float32, copy=True) for key, value in checkpoint.weights.items()}
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        problem = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{name_or_path}: weights do not fit their network: {problem}") from error
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    return network.eval()


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
        raise ConfigError(f"This model enlarges by {has}; it cannot be converted to ×{scale}.")
    weights = dict(checkpoint.weights)
    weight, bias = (weights[f"upsampler.conv.{name}"].float() for name in ("weight", "bias"))
    weights["upsampler.conv.weight"], weights["upsampler.conv.bias"] = convert_scale(weight, bias, scale)
    return Checkpoint(config.replace(scale=scale), weights, checkpoint.extra, checkpoint.metadata)


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
    if path.suffix.lower() == ".safetensors":
        tensors, metadata = _read_safetensors(path)
    else:
        tensors, metadata = _read_pickle(path), {}
    if "config" in metadata and metadata.get("format") == "escsr":
        weights = {key: value for key, value in tensors.items() if not key.startswith(TRAINING_PREFIX)}
        extra = {key: value for key, value in tensors.items() if key.startswith(TRAINING_PREFIX)}
        return Checkpoint(_parse_config(path, metadata["config"]), weights, extra, metadata)
    try:
        config = detect_config(tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return Checkpoint(config, from_published(tensors, config), metadata=metadata)


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


def _downloaded(name: str) -> Path:
    """The verified file of a published model, which is downloaded on request only."""
    if not (cache_folder() / RELEASED[name].file_name).exists():
        raise ModelNotFoundError(f"Model {name} is not downloaded yet: escsr models fetch {name}")
    return fetch(name, offline=True)


def _is_scale_of(bundled: str, name: str) -> bool:
    return re.fullmatch(re.escape(name) + r"-x\d+", bundled) is not None


def _bundled() -> dict[str, Path]:
    folder = Path(str(resources.files("escsr.models"))) / "weights"
    return {path.stem: path for path in folder.glob("*.safetensors")}


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: damaged or not a safetensors file ({error}); accepted is {_ACCEPTED}."
        ) from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: refused, it holds more than tensors (or is no checkpoint at all); "
            f"accepted is {_ACCEPTED}."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path}: damaged or not a checkpoint; accepted is {_ACCEPTED}.") from error
    return _unwrap(path, content)


def _unwrap(path: Path, content: Any) -> dict[str, Tensor]:
    """`params_ema` > `params` > LTE's model.sd > bare, without `module.` prefixes."""
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"].get("sd", content["model"])
    for key in ("params_ema", "params", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}; accepted is {_ACCEPTED}.")
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    return {key.removeprefix("module."): value for key, value in tensors.items()}


def _parse_config(path: Path, text: str) -> NetworkConfig:
    try:
        return NetworkConfig.from_dict(json.loads(text))
    except (json.JSONDecodeError, ConfigError, TypeError) as error:
        raise CheckpointError(f"{path}: unreadable network configuration ({error}).") from error
