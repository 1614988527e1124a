"""What the paper's counter, fvcore, adds to the products of convolutions and matrices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

__all__ = ["PAPERS_OWN"]

_PER_NORMALISED = 5


def _normalised(shape: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * _PER_NORMALISED * math.prod(shape)


def _pooled(shape: Sequence[int], dims: Sequence[int] | None = None, *_: Any, **__: Any) -> int:
    """A mean over rows and columns; one over channels, as in a hand-made LayerNorm, is not counted."""
    axes = {axis % len(shape) for axis in dims or ()}
    return 2 * math.prod(shape) if len(shape) == 4 and axes == {2, 3} else 0


_aten = torch.ops.aten
PAPERS_OWN: Mapping[Any, Callable[..., int]] = {
    _aten.native_layer_norm: _normalised,
    _aten.native_batch_norm: _normalised,
    _aten._native_batch_norm_legit: _normalised,
    _aten._native_batch_norm_legit_no_training: _normalised,
    _aten.mean: _pooled,
}
"""Operations (two for each MAC) by operator, for `FlopCounterMode`: 5 MACs per element of a LayerNorm,
InstanceNorm or BatchNorm, 1 per pooled element."""
