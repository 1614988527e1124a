"""What makes a model's file one to resume from: counters, and a checksum over all that it holds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from escsr.errors import CheckpointError
from escsr.models.bundled import read_header
from escsr.models.checkpoints import read_checkpoint
from escsr.models.own_modules import OWN_MODULE, read_module
from escsr.networks import NetworkConfig

__all__ = ["SavedTraining", "counters_of", "network_difference", "read_training_checkpoint", "sealed"]

_FIELD, _DIGEST = "training.state", "training.sha256"


def sealed(tensors: Mapping[str, Tensor], counters: str) -> dict[str, str]:
    """Text fields of a file to resume from.

    Args:
        tensors: All of the file, by name.
        counters: What it holds beside tensors, as JSON.

    Returns:
        The counters and the checksum.
    """
    return {_FIELD: counters, _DIGEST: _digest(tensors, counters)}


class SavedTraining(NamedTuple):
    """A training's checkpoint as it was read.

    Attributes:
        path: The file.
        config: Shape of the network; None for a module of the caller's own.
        weights: Averaged weights of the network.
        extra: Other tensors of the file.
        metadata: Text fields.
    """

    path: Path
    config: NetworkConfig | None
    weights: Mapping[str, Tensor]
    extra: Mapping[str, Tensor]
    metadata: Mapping[str, str]


def counters_of(checkpoint: SavedTraining) -> str:
    """The counters that it was sealed with; empty where there are none."""
    return checkpoint.metadata.get(_FIELD, "")


def read_training_checkpoint(path: str | os.PathLike[str]) -> SavedTraining:
    """Reads a checkpoint that a training can be resumed from.

    Raises:
        CheckpointError: It is damaged, one bit suffices, or holds no training state.
    """
    checkpoint = _read(path)
    if _DIGEST not in checkpoint.metadata:
        old = " of an earlier version of escsr" if "training.iteration" in checkpoint.metadata else ""
        raise CheckpointError(f"{path}: a model{old} without training state; start from it instead.")
    tensors = {**checkpoint.weights, **checkpoint.extra}
    if checkpoint.metadata[_DIGEST] != _digest(tensors, counters_of(checkpoint)):
        raise CheckpointError(f"{path}: damaged, its training state has another checksum than was written.")
    return checkpoint


def network_difference(there: NetworkConfig | None, here: NetworkConfig | None) -> str:
    """What the network of a checkpoint has otherwise than that of a training, in words.

    Args:
        there: Shape of the checkpoint's; None for a module of the caller's own.
        here: Shape of the training's; None likewise.

    Returns:
        Each setting that differs, with both values.
    """
    if there is None or here is None:
        kinds = ("a network of your own" if each is None else "an ESC network" for each in (there, here))
        return "{} there, {} here".format(*kinds)
    old, new = there.to_dict(), here.to_dict()
    return "; ".join(f"{key} {old[key]!r} there, {new[key]!r} here" for key in old if old[key] != new[key])


def _read(path: str | os.PathLike[str]) -> SavedTraining:
    if read_header(path).metadata.get("format") == OWN_MODULE:
        return SavedTraining(Path(path), None, *read_module(path))
    ours = read_checkpoint(path)
    return SavedTraining(Path(path), ours.config, ours.weights, ours.extra, ours.metadata)


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 over names, shapes and bits of tensors, and a text."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
