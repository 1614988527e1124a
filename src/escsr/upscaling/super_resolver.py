"""What evaluation asks of a model, whoever wrote it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from escsr.errors import ConfigError

__all__ = ["ModuleResolver", "SuperResolver", "super_resolve"]


@runtime_checkable
class SuperResolver(Protocol):
    """Any model of super-resolution; `Inference` is one, and so is a class of your own.

    Attributes:
        name: What tables call it.
        scale: Output side per LR side; None for any scale.
        pad_multiple: LR sides that it sees in protocol `classic` are padded to a multiple of this; 1
            for no padding.

    Example:
        >>> class Nearest:
        ...     name, scale, pad_multiple = "nearest", 2, 1
        ...
        ...     def __call__(self, lr, *, size=None):
        ...         return lr.repeat_interleave(2, -1).repeat_interleave(2, -2)
        >>> isinstance(Nearest(), SuperResolver)
        True
    """

    @property
    def name(self) -> str: ...

    @property
    def scale(self) -> int | None: ...

    @property
    def pad_multiple(self) -> int: ...

    def __call__(self, lr: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
        """Upscales images.

        Args:
            lr: (B, 3, H, W), float32, RGB in [0, 1], in host memory.
            size: Output rows and columns, for a model of any scale; None for one with its own.

        Returns:
            (B, 3, rH, rW), about [0, 1], in host memory.
        """


class ModuleResolver:
    """Any module as a super-resolver: LR, (B, 3, H, W) in [0, 1], to SR at one scale.

    Args:
        module: The module; it runs where its weights are and in their floating type, in eval mode, and is
            afterwards as it was.
        scale: Output side per LR side.
    """

    def __init__(self, module: nn.Module, scale: int) -> None:
        self.module, self.scale, self.name = module, scale, type(module).__name__
        self.pad_multiple = 1

    @torch.no_grad()
    def __call__(self, lr: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
        """See `SuperResolver`."""
        assert size is None
        weight = next(filter(torch.is_floating_point, self.module.parameters()), lr)
        was_training = [each for each in self.module.modules() if each.training]
        self.module.eval()
        try:
            sr = self.module(lr.to(weight))
        finally:
            for each in was_training:
                each.training = True
        if not isinstance(sr, Tensor):
            raise ConfigError(f"{self.name} returns {type(sr).__name__}, not a tensor of pictures.")
        return sr.float().cpu()


def super_resolve(model: SuperResolver, lr: Tensor, size: tuple[int, int]) -> Tensor:
    """Runs a model, with the size where it takes one, and checks what comes back.

    Args:
        model: The model.
        lr: (B, 3, H, W), float32, in [0, 1].
        size: Output rows and columns.

    Returns:
        (B, 3, *size).

    Raises:
        ConfigError: The model gives another shape.
    """
    sr = model(lr, size=size if model.scale is None else None)
    if sr.shape != (expected := (*lr.shape[:2], *size)):
        raise ConfigError(f"{model.name} gives {tuple(sr.shape)} for {tuple(lr.shape)}, not {expected}.")
    return sr
