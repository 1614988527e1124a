"""Weights of rivals from their authors' files."""

from __future__ import annotations

import os
from pathlib import Path

from torch import nn

from escsr.errors import CheckpointError
from escsr.models.tensor_files import read_tensor_file, unwrapped

__all__ = ["load_rival_weights"]


def load_rival_weights(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Loads a file into a rival's network, by the names that its authors' files have.

    Args:
        network: From `build_rival`, not on the meta device.
        path: A safetensors file, or one of `torch.save`; no code of it is run.

    Raises:
        CheckpointError: The file is missing or damaged, or holds weights of another network.
    """
    weights = unwrapped(Path(path), read_tensor_file(Path(path))[0])
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"{path}: these are not weights of this {type(network).__name__} ({reason})."
        ) from error
