"""Models of other architectures, by the optional package spandrel: ESRGAN, Compact, SPAN, SwinIR, ..."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from escsr.errors import CheckpointError, ForeignNetworkError
from escsr.models.tensor_files import check_tensors, read_tensor_file
from escsr.runtime.extras import install_line
from escsr.runtime.fork import claim_threads

__all__ = ["ForeignModel", "load_foreign"]


@dataclass(frozen=True)
class ForeignModel:
    """A model that is known by what it does alone.

    Attributes:
        name: Of its architecture.
        scale: Output side per LR side; 1 for one that restores.
        multiple: Sides that it takes without padding are multiples of this, LR pixels.
        smallest: The least side that it takes without padding.
        holds_half: Whether its makers let it compute in half precision.
        tiles_itself: Whether it wants the picture whole, of any size.
        descriptor: spandrel's.
    """

    name: str
    scale: int
    multiple: int
    smallest: int
    holds_half: bool
    tiles_itself: bool
    descriptor: Any

    @property
    def module(self) -> nn.Module:
        """The network."""
        return self.descriptor.model

    @torch.no_grad()
    def __call__(self, lr: Tensor) -> Tensor:
        """(1, 3, H, W) in [0, 1], on its device → (1, 3, rH, rW), clamped; it pads and crops itself."""
        return self.descriptor(lr).clone()  # those of inference mode take no part in what follows


def load_foreign(
    path: str | os.PathLike[str], why: ForeignNetworkError, *, device: str | torch.device = "cpu"
) -> ForeignModel:
    """Loads a file of weights that are not of an ESC network, by their names and shapes.

    Args:
        path: A safetensors file, or one of `torch.save`; no code of it is run.
        why: What `read_checkpoint` said of it.
        device: Where it computes.

    Returns:
        The model.

    Raises:
        CheckpointError: spandrel is not installed or does not know it, or it is not for RGB pictures.
        DeviceError: This process was forked from one that had loaded a model already.
    """
    claim_threads()
    spandrel = _spandrel(why)
    content, _ = read_tensor_file(Path(path))
    if not isinstance(content, dict):
        raise why
    weights = spandrel.canonicalize_state_dict(content)
    check_tensors(
        Path(path), {key: value for key, value in weights.items() if isinstance(value, Tensor)}, None
    )
    try:
        descriptor = spandrel.ModelLoader(device).load_from_state_dict(weights)
    except spandrel.UnsupportedModelError as error:
        raise CheckpointError(f"{why} spandrel {spandrel.__version__} does not know it either.") from error
    except Exception as error:  # whatever architectures raise for weights that are not quite theirs
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise CheckpointError(f"{path}: spandrel cannot load it ({reason}).") from error
    kind = descriptor.architecture.name
    channels = (descriptor.input_channels, descriptor.output_channels)
    if not isinstance(descriptor, spandrel.ImageModelDescriptor) or channels != (3, 3):
        takes = f"{channels[0]} channels to {channels[1]}, {descriptor.purpose}"
        raise CheckpointError(
            f"{path}: a {kind} model for {takes}; only RGB to RGB of one picture can be run."
        )
    descriptor.model.requires_grad_(False)
    return ForeignModel(
        name=kind,
        scale=descriptor.scale,
        multiple=descriptor.size_requirements.multiple_of,
        smallest=descriptor.size_requirements.minimum,
        holds_half=descriptor.supports_half,
        tiles_itself=descriptor.tiling is spandrel.ModelTiling.INTERNAL,
        descriptor=descriptor.eval(),
    )


def _spandrel(why: ForeignNetworkError) -> ModuleType:
    try:
        import spandrel
    except Exception as error:  # a torchvision that does not fit its PyTorch raises anything
        missing = isinstance(error, ModuleNotFoundError) and error.name == "spandrel"
        state = "is not installed" if missing else f"cannot be imported ({error})"
        raise CheckpointError(
            f"{why} Models of other architectures require spandrel, which {state}: "
            f"{install_line('spandrel')}"
        ) from error
    return spandrel
