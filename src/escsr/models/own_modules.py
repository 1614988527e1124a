"""Weights of networks that are not ours, trained here: their state dict as safetensors."""

from __future__ import annotations

import os
from collections.abc import Mapping

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from escsr.errors import CheckpointError
from escsr.files import atomic_path
from escsr.models.bundled import TRAINING_PREFIX

__all__ = ["OWN_MODULE", "read_module", "save_module"]

OWN_MODULE = "own module"
"""What such a file says as its format."""


def save_module(
    module: nn.Module,
    path: str | os.PathLike[str],
    *,
    extra: Mapping[str, Tensor],
    metadata: Mapping[str, str],
) -> None:
    """Writes a module's state dict; the file appears whole or not at all.

    Args:
        module: Any module.
        path: Target, ending in .safetensors.
        extra: More tensors, under `TRAINING_PREFIX`.
        metadata: Text fields.

    Raises:
        OutputError: The file cannot be written.
    """
    fields = {**metadata, "format": OWN_MODULE, "class": type(module).__name__}
    tensors = {**module.state_dict(), **extra}
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=fields)


def read_module(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, str]]:
    """Reads what `save_module` wrote.

    Args:
        path: The file.

    Returns:
        State dict, other tensors, text fields.

    Raises:
        CheckpointError: The file is damaged, or none of `save_module`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: damaged or not a safetensors file ({error}).") from error
    if metadata.get("format") != OWN_MODULE:
        raise CheckpointError(f"{path}: not the weights of a module of your own.")
    state = {key: value for key, value in tensors.items() if not key.startswith(TRAINING_PREFIX)}
    extra = {key: value for key, value in tensors.items() if key not in state}
    return state, extra, metadata
