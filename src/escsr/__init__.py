"""escsr: make pictures larger and sharper, by the super-resolution networks ESC.

Upscale:
    escsr.upscale(image, scale=4)        array, tensor, PIL image, path or bytes
    escsr.upscale_file("a.jpg", "b.png")          one file into another
    escsr.batch.upscale("photos", "larger")       many files
    upscaler = escsr.Upscaler("auto")             loaded once, used often:
    larger = upscaler(image, scale=3)

Models:
    escsr.list_models()                           names that all of these take
    escsr.load_network("esc-light-x2")            a torch module
    escsr.save_network(network, "my.safetensors")

Measure and train, your own torch modules too:
    escsr.evaluate("esc-light-x2", "Set5/HR")     PSNR and SSIM
    escsr.train("esc-light-x2-quick", "photos", "runs/mine")

A user's mistake raises an `escsr.EscError`. `help(escsr.upscale)` says more.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from escsr._version import __version__

if TYPE_CHECKING:
    from escsr import batch
    from escsr.errors import EscError
    from escsr.evaluation.protocols import evaluate
    from escsr.models.bundled import list_models
    from escsr.models.checkpoints import load_network
    from escsr.models.saving import save_network
    from escsr.training.run import train
    from escsr.upscaling.options import UpscaleOptions
    from escsr.upscaling.short_forms import upscale, upscale_file
    from escsr.upscaling.upscaler import Upscaler
    from escsr.video.run import upscale_video

__all__ = [
    "EscError",
    "UpscaleOptions",
    "Upscaler",
    "__version__",
    "batch",
    "evaluate",
    "list_models",
    "load_network",
    "save_network",
    "train",
    "upscale",
    "upscale_file",
    "upscale_video",
]

_HOMES = {
    "EscError": "errors",
    "UpscaleOptions": "upscaling.options",
    "Upscaler": "upscaling.upscaler",
    "evaluate": "evaluation.protocols",
    "list_models": "models.bundled",
    "load_network": "models.checkpoints",
    "save_network": "models.saving",
    "train": "training.run",
    "upscale": "upscaling.short_forms",
    "upscale_file": "upscaling.short_forms",
    "upscale_video": "video.run",
}


def __getattr__(name: str) -> object:
    if name == "batch":
        return import_module("escsr.batch")
    if name not in _HOMES:
        raise AttributeError(f"module 'escsr' has no attribute {name!r}")
    return getattr(import_module(f"escsr.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
