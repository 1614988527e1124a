"""The networks of the family; they know torch and nothing else of this package but its errors.

Configurations need no torch, so that commands which only print them answer at once: `ESC` is imported
when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from escsr.networks.config import VARIANTS, NetworkConfig, variant_config, variant_name

if TYPE_CHECKING:
    from escsr.networks.esc import ESC

__all__ = ["ESC", "VARIANTS", "NetworkConfig", "variant_config", "variant_name"]


def __getattr__(name: str) -> object:
    if name != "ESC":
        raise AttributeError(f"module 'escsr.networks' has no attribute {name!r}")
    return import_module("escsr.networks.esc").ESC
