"""Super-resolvers that have gradients: of this family, of other architectures, modules of the caller's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from escsr.errors import ConfigError, ForeignNetworkError
from escsr.evaluation.contenders import as_several, name_contenders, parse_contenders
from escsr.models.bundled import model_name
from escsr.models.checkpoints import blended, network_of, read_checkpoint
from escsr.models.foreign import ForeignModel, load_foreign
from escsr.models.selection import DEFAULT_MODEL, choose_model, choose_strength, files_of
from escsr.networks import ESC
from escsr.networks.layers import Size, reflect_pad
from escsr.runtime.devices import choose_device
from escsr.upscaling.inference import Inference
from escsr.upscaling.tiled import TiledInference
from escsr.upscaling.upscaler import Upscaler

__all__ = ["DEFAULT_SCALE", "AnyModel", "DifferentiableModel", "as_differentiable", "open_models"]

DEFAULT_SCALE = 2.0
"""Where nothing else says it."""


@dataclass(frozen=True)
class DifferentiableModel:
    """A model whose results have a gradient with respect to its input.

    Attributes:
        name: What figures call it.
        module: The network, which hooks look into.
        forward: (B, 3, H, W) in [0, 1] → (B, 3, rH, rW), both on the module's device.
        scale: Output side per input side; None for that of its results.
    """

    name: str
    module: nn.Module
    forward: Callable[[Tensor], Tensor]
    scale: float | None = None

    @property
    def device(self) -> torch.device:
        """Where the module computes."""
        tensors = (*self.module.parameters(), *self.module.buffers())
        return tensors[0].device if tensors else torch.device("cpu")

    def __call__(self, lr: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → (B, 3, rH, rW), on the module's device.

        Raises:
            ConfigError: The result is of another scale.
        """
        sr = self.forward(lr.to(self.device))
        if self.scale is not None and sr.shape[-2:] != self.result_size(lr):
            raise ConfigError(
                f"{self.name} makes {sr.shape[-1]}×{sr.shape[-2]} pixels of {lr.shape[-1]}×{lr.shape[-2]}, "
                f"so its scale is not {self.scale:g}."
            )
        return sr

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """The module is in eval mode inside, and afterwards as it was."""
        was_training = [each for each in self.module.modules() if each.training]
        self.module.eval()
        try:
            yield
        finally:
            for each in was_training:
                each.training = True

    def result_size(self, lr: Tensor) -> Size:
        """Rows and columns of the result for an input; runs the model where its scale is not known."""
        if self.scale is not None:
            return round(lr.shape[-2] * self.scale), round(lr.shape[-1] * self.scale)
        with torch.no_grad(), self.evaluating():
            sr = self(lr)
        return sr.shape[-2], sr.shape[-1]


AnyModel = str | os.PathLike[str] | nn.Module | Upscaler | Inference | TiledInference | DifferentiableModel
"""Name or file as for `Upscaler`, a torch module (B, 3, H, W) → (B, 3, rH, rW), or a model that is open: of
an `Upscaler` its network, without what it does to colours."""


def as_differentiable(
    model: AnyModel, *, name: str | None = None, scale: float | None = None, device: str = "auto"
) -> DifferentiableModel:
    """Opens a model for analysis.

    Args:
        model: See `AnyModel`; files of other architectures require the extra `spandrel`.
        name: What figures call it; None for the model's own.
        scale: Chooses among the models of a name, and is that of a model of any scale; None for 2.
        device: Where a model that is loaded computes; others stay where they are.

    Returns:
        The model.

    Raises:
        ConfigError: It has another scale, or is no model.
        ModelNotFoundError: There is no such name or file.
        CheckpointError: The file cannot be used.
        DeviceError: There is no such device.

    Example:
        >>> as_differentiable("esc-light-x2", device="cpu").name
        'esc-light-x2'
    """
    if isinstance(model, DifferentiableModel):
        return model
    if isinstance(model, Upscaler):
        model = model.inference
    if isinstance(model, (Inference, TiledInference)):
        inner = model.model if isinstance(model, TiledInference) else model.network
        return _wrapped(inner, name or model.name, scale)
    if isinstance(model, nn.Module):
        return _wrapped(model, name or type(model).__name__, scale)
    if not isinstance(model, (str, os.PathLike)):
        raise ConfigError(
            "A model to analyse must be a name, a file, a module, an Upscaler or an Inference, not "
            f"{type(model).__name__}."
        )
    path = choose_model(model, DEFAULT_SCALE if scale is None else scale)
    opened = _load(path, choose_strength(model, path, None), choose_device(device))
    return _wrapped(opened, name or model_name(path), scale)


def open_models(
    model: AnyModel | Sequence[AnyModel] | None, *, scale: float | None = None, device: str = "auto"
) -> list[DifferentiableModel]:
    """Opens several models, each with a name of its own.

    Args:
        model: One or several, see `AnyModel`; names and files may be given a title, TITLE=NAME. None for
            that of "auto".
        scale: See `as_differentiable`.
        device: See `as_differentiable`.

    Returns:
        The models, in order.

    Raises:
        ConfigError: One is no network, or has another scale.
        ModelNotFoundError: There is no such name or file.
        CheckpointError: A file cannot be used.
        DeviceError: There is no such device.
    """
    chosen = DEFAULT_SCALE if scale is None else scale
    given: list[AnyModel] = as_several(model) or [DEFAULT_MODEL]
    texts = [os.fspath(each) for each in given if isinstance(each, (str, os.PathLike))]
    contenders = parse_contenders(texts)
    for contender in contenders:
        if not contender.is_network:
            raise ConfigError(f"{contender.model} is no network; networks alone can be analysed.")
    names = iter(zip(name_contenders(contenders, chosen), contenders, strict=True))
    opened = []
    for each in given:
        if isinstance(each, (str, os.PathLike)):
            name, contender = next(names)
            opened.append(as_differentiable(contender.model, name=name, scale=scale, device=device))
        else:
            opened.append(as_differentiable(each, scale=scale))
    called = [each.name for each in opened]
    return [
        replace(each, name=f"{each.name} ({index + 1})") if called.count(each.name) > 1 else each
        for index, each in enumerate(opened)
    ]


def _load(path: Path, strength: float, device: torch.device) -> nn.Module | ForeignModel:
    try:
        checkpoint = read_checkpoint(path)
    except ForeignNetworkError as why:
        return load_foreign(path, why, device=device)
    for other in files_of(path, strength)[1:]:
        checkpoint = blended(checkpoint, read_checkpoint(other), strength)
    return network_of(checkpoint, name=model_name(path), device=device).requires_grad_(False)


def _wrapped(model: nn.Module | ForeignModel, name: str, scale: float | None) -> DifferentiableModel:
    if isinstance(model, ForeignModel):
        _check_scale(name, model.scale, scale)
        return DifferentiableModel(name, model.module, _padding(model), model.scale)
    if not isinstance(model, ESC):
        return DifferentiableModel(name, model, model, scale)
    own = model.config.scale
    if own is None:
        factor = DEFAULT_SCALE if scale is None else scale
        return DifferentiableModel(name, model, lambda lr: model(lr, scale=factor), factor)
    _check_scale(name, own, scale)
    return DifferentiableModel(name, model, model, own)


def _check_scale(name: str, own: float, wanted: float | None) -> None:
    if wanted not in (None, own):
        raise ConfigError(f"{name} upscales by {own:g}, not by {wanted:g}.")


def _padding(model: ForeignModel) -> Callable[[Tensor], Tensor]:
    """The call of spandrel keeps no gradients; its network is called here with sides that it takes."""

    def forward(lr: Tensor) -> Tensor:
        height, width = lr.shape[-2:]
        more = [
            max(-(-side // model.multiple) * model.multiple, model.smallest) - side
            for side in (height, width)
        ]
        sr = model.module(reflect_pad(lr, bottom=more[0], right=more[1]))
        if not isinstance(sr, Tensor):
            raise ConfigError(f"{model.name} returns more than a picture; it cannot be analysed.")
        return sr[..., : height * model.scale, : width * model.scale]

    return forward
