"""Weights written to disk, as safetensors that describe themselves."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from escsr.errors import ConfigError, OutputError
from escsr.files import atomic_path
from escsr.models.checkpoints import CONFIG_BESIDE_PUBLISHED
from escsr.models.published_keys import to_published
from escsr.models.tensor_files import uncompiled
from escsr.networks import ESC, NetworkConfig, variant_name

__all__ = ["check_weights_ending", "save_network"]


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
        ConfigError: A text field is no text.
        OutputError: The ending is another, the weights are not those of the network's configuration (as
            behind adapters, pruning or parametrizations), half precision does not hold them, or the file
            cannot be written.
    """
    path = Path(path)
    check_weights_ending(path)
    given = {"training": training, "licence": licence, **(metadata or {})}
    for key, value in given.items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise ConfigError(
                f"A file's text fields have names and values of text, not {key!r}: {value!r}."
            )
    dtype = torch.float16 if half else torch.float32
    state = {uncompiled(key): value for key, value in network.state_dict().items()}
    _check_shapes(path, state, network.config)
    weights = {key: _converted(path, key, value, dtype) for key, value in state.items()}
    fields = {
        "variant": variant_name(network.config) or "custom",
        "scale": str(network.config.scale or "any"),
        **given,
    }
    config = json.dumps(network.config.to_dict())
    if published_names:
        weights = to_published(weights, network.config)
        fields = {"format": "pt", **fields, CONFIG_BESIDE_PUBLISHED: config}
    else:
        fields |= {"format": "escsr", "config": config}
    tensors = _apart({**weights, **(extra or {})})
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=fields)


def check_weights_ending(path: Path) -> None:
    """Refuses another ending than that of the files that `save_network` writes.

    Raises:
        OutputError: It is another.
    """
    if path.suffix.lower() != ".safetensors":
        raise OutputError(f"{path}: weights are written as .safetensors.")


def _check_shapes(path: Path, state: Mapping[str, Tensor], config: NetworkConfig) -> None:
    """Refuses to write what could not be loaded."""
    with torch.device("meta"):
        expected = {key: value.shape for key, value in ESC(config).state_dict().items()}
    found = {key: value.shape for key, value in state.items()}
    if found != expected:
        wrong = [key for key in found | expected if found.get(key) != expected.get(key)]
        raise OutputError(
            f"{path}: {', '.join(wrong[:3])}{' and more' * (len(wrong) > 3)} are not as the network's "
            "configuration says; merge adapters, and remove pruning and parametrizations, before saving."
        )


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, each with memory of its own: a file holds modules that a network shares twice."""
    made: dict[str, Tensor] = {}
    seen: set[int] = set()
    for key, value in tensors.items():
        made[key] = value.contiguous() if value.data_ptr() not in seen else value.clone().contiguous()
        seen.add(value.data_ptr())
    return made


def _converted(path: Path, key: str, value: Tensor, dtype: torch.dtype) -> Tensor:
    converted = value.detach().to("cpu", dtype)
    if value.dtype != dtype and not converted.isfinite().all() and value.isfinite().all():
        name = str(dtype).removeprefix("torch.")
        raise OutputError(f"{path}: {key} holds numbers beyond the range of {name}, as which it is stored.")
    return converted
