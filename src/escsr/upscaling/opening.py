"""From a file of weights to what runs it, whatever network they are of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from escsr.errors import ConfigError, ForeignNetworkError
from escsr.models.bundled import model_name
from escsr.models.checkpoints import blended, network_of, read_checkpoint
from escsr.models.foreign import load_foreign
from escsr.models.selection import files_of
from escsr.networks.inference_form import inference_form
from escsr.runtime.choices import Backend, FeatureStorageChoice, Precision
from escsr.upscaling.inference import Inference
from escsr.upscaling.tiled import TiledInference

__all__ = ["Opened", "model_scale", "model_window", "open_inference"]


class Opened(NamedTuple):
    """A model ready to run.

    Attributes:
        inference: Exact for networks of this family, in overlapping tiles for others.
        metadata: Text fields of the file; empty for others.
    """

    inference: Inference | TiledInference
    metadata: Mapping[str, str]


def open_inference(
    path: Path,
    *,
    name: str | None = None,
    device: torch.device,
    precision: Precision = "auto",
    tile_size: int | None = None,
    feature_storage: FeatureStorageChoice = "auto",
    backend: Backend = "torch",
    strength: float = 0.0,
) -> Opened:
    """Loads a model of any architecture: of this family, or by spandrel where that is installed.

    Args:
        path: File of weights.
        name: What tables call it; None for `model_name`.
        device: Where it computes.
        precision: See `Precision`.
        tile_size: See `Inference` and `TiledInference`.
        feature_storage: See `Inference`; networks of this family only.
        backend: See `Inference`; networks of this family only.
        strength: Share of the GAN form, see `choose_strength`; networks of this family only.

    Returns:
        What runs it.

    Raises:
        CheckpointError: The file cannot be used.
        ConfigError: A setting is impossible, or the model has no GAN form and `strength` is above 0.
    """
    name = model_name(path) if name is None else name
    try:
        checkpoint = read_checkpoint(path)
    except ForeignNetworkError as why:
        if backend != "torch":
            raise ConfigError(
                f"{name} is a model of another architecture, which only backend torch runs."
            ) from why
        model = load_foreign(path, why, device=device)
        return Opened(TiledInference(model, name=name, precision=precision, tile_size=tile_size), {})
    for other in files_of(path, strength)[1:]:
        checkpoint = blended(checkpoint, read_checkpoint(other), strength)
    network = network_of(checkpoint, name=name, device=device).requires_grad_(False)
    inference = Inference(
        inference_form(network),  # the network itself is needed no longer
        name=name,
        precision=precision,
        tile_size=tile_size,
        feature_storage=feature_storage,
        backend=backend,
    )
    return Opened(inference, checkpoint.metadata)


def model_scale(path: Path) -> int | None:
    """The factor of both sides that a model has; None for one of any scale.

    Raises:
        CheckpointError: The file cannot be used.
    """
    try:
        return read_checkpoint(path).config.scale
    except ForeignNetworkError as why:
        return load_foreign(path, why).scale


def model_window(path: Path) -> int:
    """What tile sides of a model are multiples of, LR pixels; 1 for a model of another architecture.

    Raises:
        CheckpointError: The file cannot be used.
    """
    try:
        return read_checkpoint(path).config.window_size
    except ForeignNetworkError:
        return 1
