"""escsr: super-resolution with the ESC networks, for pictures, for training and for study.

Names are imported when first used, so that `import escsr` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from escsr._version import __version__

if TYPE_CHECKING:
    from escsr.errors import EscError
    from escsr.evaluation.protocols import evaluate
    from escsr.models.bundled import list_models
    from escsr.models.checkpoints import load_network, save_network
    from escsr.training.run import train
    from escsr.upscaling.upscaler import Upscaler, upscale_file
    from escsr.video.run import upscale_video

__all__ = [
    "EscError",
    "Upscaler",
    "__version__",
    "evaluate",
    "list_models",
    "load_network",
    "save_network",
    "train",
    "upscale_file",
    "upscale_video",
]

_HOMES = {
    "EscError": "errors",
    "Upscaler": "upscaling.upscaler",
    "evaluate": "evaluation.protocols",
    "list_models": "models.bundled",
    "load_network": "models.checkpoints",
    "save_network": "models.checkpoints",
    "train": "training.run",
    "upscale_file": "upscaling.upscaler",
    "upscale_video": "video.run",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'escsr' has no attribute {name!r}")
    return getattr(import_module(f"escsr.{_HOMES[name]}"), name)
