"""What all native kernels need: weights that are packed once, and maps in the layout that they take."""

from __future__ import annotations

import threading
from collections.abc import Callable
from ctypes import Array, Structure
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from escsr.kernels.cpu.library import NativeLibrary, Packed
from escsr.kernels.cpu.packing import Prepared, Weights
from escsr.networks.layers import Margin

__all__ = ["Kernel", "new_map", "pixels_together", "prepared_for", "prepared_once", "wants_bfloat16"]

_prepared: Any = WeakIdKeyDictionary()
"""By module or large kernel: its weights as packed for a library and a type of products."""

_PREPARING = threading.RLock()
"""Held while anything is prepared: what one thread's kernel reads must not be replaced by another's."""

_Made = TypeVar("_Made")


def prepared_for(owner: object) -> dict[object, Any]:
    """What was prepared from a module or tensor; it is dropped together with it."""
    with _PREPARING:
        made: dict[object, Any] = _prepared.setdefault(owner, {})
        return made


def prepared_once(owner: object, key: object, make: Callable[[], _Made]) -> _Made:
    """What is prepared from a module or tensor under a key; made by the first of all threads that ask."""
    with _PREPARING:
        made = prepared_for(owner)
        if key not in made:
            made[key] = make()
        found: _Made = made[key]
        return found


@dataclass(frozen=True)
class Kernel:
    """Calls one kernel of the library with weights that are packed once.

    Attributes:
        library: The library.
        owner: What the weights belong to; they are dropped with it.
        prepare: Packs them.
        norm: A LayerNorm whose weights are packed with those of the owner; other owners' weights may be
            packed with it too, and the owner's with other norms, where a network ties modules.
        slope: What else is packed.
    """

    library: NativeLibrary
    owner: object
    prepare: Callable[[Weights], Structure | Array[Packed]]
    norm: nn.Module | None = None
    slope: float = 1.0

    def weights(self) -> tuple[Any, bool]:
        """The structure, and whether products are of bfloat16."""
        bfloat16 = wants_bfloat16(self.library)
        norm = self.norm if isinstance(self.norm, nn.LayerNorm) else None  # others are nothing

        def pack() -> Prepared:
            weights = Weights(self.library, bfloat16=bfloat16)
            return Prepared(self.prepare(weights), [*weights.kept, norm])

        key = self.library.name, bfloat16, id(norm), self.slope
        return prepared_once(self.owner, key, pack).structure, bfloat16


def wants_bfloat16(library: NativeLibrary) -> bool:
    """Whether autocast asks for products of bfloat16 and a library has them."""
    return (
        library.has_bfloat16
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )


def pixels_together(x: Tensor) -> Tensor:
    """(B, C, H, W) with the channels of a pixel side by side and pixels of a row behind each other."""
    is_so = x.stride(1) == 1 and x.stride(3) == x.shape[1]
    return x if is_so else x.contiguous(memory_format=torch.channels_last)


def new_map(like: Tensor, margin: Margin, channels: int) -> Tensor:
    """A map for the part of a region inside its margin, (B, channels, H, W)."""
    left, right, top, bottom = margin
    height, width = like.shape[-2] - top - bottom, like.shape[-1] - left - right
    return like.new_empty(like.shape[0], height, width, channels).permute(0, 3, 1, 2)
