"""What is measured: a super-resolver of whatever names or is a model."""

from __future__ import annotations

import os
from numbers import Real

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from escsr.errors import ConfigError
from escsr.evaluation.bicubic import Bicubic
from escsr.models.bundled import family_scales, find_model
from escsr.models.selection import choose_strength
from escsr.networks import ESC
from escsr.runtime.choices import Precision
from escsr.runtime.devices import choose_device
from escsr.upscaling.inference import Inference
from escsr.upscaling.opening import open_inference
from escsr.upscaling.super_resolver import ModuleResolver, SuperResolver
from escsr.upscaling.upscaler import Upscaler

__all__ = ["BICUBIC", "Model", "fitting_scale", "open_model", "own_scale"]

BICUBIC = "bicubic"
"""Name of the pseudo-model: bicubic interpolation."""

Model = SuperResolver | Upscaler | nn.Module | str | os.PathLike[str]
"""A model: what `find_model` takes (a bundled name, a file of weights, also of other architectures where
spandrel is installed, the folder of a training run, ...), "bicubic", any super-resolver, an `Upscaler`
(its network, without what it does to colours), a network of ours (used where it is), or a module of your
own, for which a scale is given where its attribute `scale` is no whole number."""


def open_model(
    model: Model,
    *,
    scale: float | None = None,
    strength: float | None = None,
    device: str = "auto",
    precision: Precision = "float32",
) -> SuperResolver:
    """A super-resolver of whatever names or is a model.

    Args:
        model: See `Model`.
        scale: For models that are chosen by it, and of a module of your own; None for its `own_scale`.
        strength: Of a model given by name, see `choose_strength`.
        device: Where to run a model given by name or file.
        precision: Of a model given by name or file, or of a network of ours.

    Raises:
        CheckpointError: The model cannot be loaded.
        ConfigError: It is no model, or cannot have that strength.
        DeviceError: There is no such device.

    Example:
        >>> open_model("bicubic").scale is None
        True
    """
    is_named = isinstance(model, (str, os.PathLike)) and os.fspath(model) != BICUBIC
    if strength is not None and not is_named:
        raise ConfigError("strength is for models given by name, such as real; leave it out.")
    if isinstance(model, Upscaler):
        return model.inference
    network = _unwrapped(model)
    if isinstance(network, ESC):
        return Inference(network, precision=precision)
    if isinstance(network, SuperResolver):
        return network
    if isinstance(network, nn.Module):
        chosen = own_scale(network) if scale is None else _whole(scale)
        if chosen is None:
            raise ConfigError(
                f"Which scale has {type(network).__name__}? Give a whole number, like scale=2."
            )
        return ModuleResolver(network, chosen)
    if not isinstance(model, (str, os.PathLike)):
        raise ConfigError(
            "A model must be a name, a file, a network, an Upscaler or a SuperResolver, not "
            f"{type(model).__name__}."
        )
    if os.fspath(model) == BICUBIC:
        return Bicubic()
    path, name = find_model(model, scale=scale), os.fspath(model)
    return open_inference(
        path,
        name=name,
        device=choose_device(device),
        precision=precision,
        strength=choose_strength(model, path, strength),
    ).inference


def own_scale(model: nn.Module) -> int | None:
    """The scale that a module of the caller's has as its attribute `scale`, where that can be one.

    Args:
        model: The module; of what `torch.compile` and the like made of it, the one inside counts.

    Returns:
        A whole number; None where the attribute is missing or something else, as a factor of attention.
    """
    return _whole(getattr(_unwrapped(model), "scale", None))


def _whole(scale: object) -> int | None:
    if isinstance(scale, bool) or not isinstance(scale, Real):
        return None
    number = float(scale)
    return int(number) if number >= 1 and number.is_integer() else None


def _unwrapped(model: object) -> object:
    """The module inside of what `torch.compile`, `DataParallel` and the like made of it; or as it is.

    The results are the same, and a network of ours is computed in its own way.
    """
    while isinstance(model, nn.Module):
        if isinstance(model, (DataParallel, DistributedDataParallel, AveragedModel)):
            inner: object = model.module
        else:
            inner = getattr(model, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            break
        model = inner
    return model


def fitting_scale(model: SuperResolver, scale: float | None) -> float:
    """The scale to measure a model at: as asked, or its own; whole numbers as `int`.

    Raises:
        ConfigError: Neither is given, they differ, or it is below 1.
    """
    scale = model.scale if scale is None else scale
    if scale is None:
        raise ConfigError(f"Which scale? {model.name} has none of its own; give one.")
    if model.scale not in (None, scale):
        raise ConfigError(f"{model.name} upscales by {_scales_of(model)}, not by {scale:g}.")
    if not 1 <= scale < float("inf"):
        raise ConfigError(f"scale must be at least 1, not {scale}.")
    return int(scale) if float(scale).is_integer() else scale


def _scales_of(model: SuperResolver) -> str:
    """The scale of a model; all that there are where its name is that of a bundled family."""
    scales: list[float | None] = [*sorted(family_scales(model.name))]
    *others, last = map(str, scales or [model.scale])
    return f"{', '.join(others)} or {last}" if others else last
