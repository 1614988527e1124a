"""The node ESC Upscale: pictures of any size by escsr, streamed exactly, without ComfyUI's tiles.

It imports without ComfyUI, whose progress bar, interruption, devices and folders are used where they are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

import escsr
from escsr.errors import EscError
from escsr.integrations.spandrel import install
from escsr.models.selection import DEFAULT_STRENGTH, choose_model, gan_form

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "ESCUpscale"]

_LOG = logging.getLogger(__name__)
_STEPS = 1000
"""Of the progress bar, which counts whole steps."""


class ESCUpscale:
    """Upscales a batch of pictures to any scale; each picture as a whole, whatever its size."""

    CATEGORY = "image/upscaling"
    DESCRIPTION = "Super-resolution by the ESC networks, exact at any size, without tile seams."
    FUNCTION = "upscale"
    RETURN_TYPES = ("IMAGE",)
    OUTPUT_TOOLTIPS = ("The larger pictures.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, tuple[Any, ...]]]:  # noqa: N802
        """The sockets and widgets, as ComfyUI asks for them."""
        model = {
            "default": "auto",
            "tooltip": "auto: the bundled model that suits the scale. real: for noisy, compressed photos.",
        }
        scale = {"default": 2.0, "min": 1.0, "max": 16.0, "step": 0.05, "tooltip": "Factor of both sides."}
        strength = {
            "default": DEFAULT_STRENGTH,
            "min": 0.0,
            "max": 1.0,
            "step": 0.05,
            "tooltip": "Of model real. 0: nothing is invented. 1: sharpest, with invented detail.",
        }
        return {
            "required": {
                "image": ("IMAGE",),
                "model": (_model_names(), model),
                "scale": ("FLOAT", scale),
            },
            "optional": {"strength": ("FLOAT", strength)},
        }

    def upscale(
        self, image: torch.Tensor, model: str, scale: float, strength: float = DEFAULT_STRENGTH
    ) -> tuple[torch.Tensor]:
        """Upscales pictures.

        Args:
            image: (B, H, W, C) in [0, 1], C 3, or 4 with opacity, as ComfyUI gives them.
            model: One of the names offered.
            scale: Factor of both sides.
            strength: Of model "real"; others have none.

        Returns:
            (B, rH, rW, C) in [0, 1], in host memory.
        """
        upscaler = _upscaler(_path_of(model), scale, _strength_of(model, scale, strength), _device())
        report = _progress(len(image))
        larger = [
            _upscale_one(upscaler, picture, scale, report(index)) for index, picture in enumerate(image)
        ]
        return (torch.stack(larger),)


def _upscale_one(
    upscaler: escsr.Upscaler, picture: torch.Tensor, scale: float, on_progress: Callable[[float], None]
) -> torch.Tensor:
    """(H, W, C) → (rH, rW, C)."""
    picture = picture.detach().to("cpu", torch.float32)
    if picture.shape[-1] == 3:
        planes = picture.permute(2, 0, 1)[None].contiguous()
        return upscaler(planes, scale=scale, on_progress=on_progress)[0].permute(1, 2, 0).contiguous()
    pixels = upscaler(picture.numpy(), scale=scale, on_progress=on_progress)
    return torch.from_numpy(pixels).clamp_(0, 1)


@lru_cache(maxsize=1)
def _upscaler(model: str, scale: float, strength: float | None, device: str) -> escsr.Upscaler:
    """The one used last stays loaded: its weights are a few megabytes."""
    return escsr.Upscaler(model, scale=scale, strength=strength, device=device)


def _strength_of(model: str, scale: float, strength: float) -> float | None:
    """The widget always has a value; it counts where the model has two forms to blend."""
    has_two = model == "real" and gan_form(choose_model(model, scale)) is not None
    return strength if has_two else None


def _model_names() -> list[str]:
    """Bundled names, and files of ComfyUI's own folder of upscale models."""
    bundled = escsr.list_models()
    families = sorted({name.rpartition("-x")[0] for name in bundled if "-x" in name})
    folder_paths = _comfy("folder_paths")
    files = [] if folder_paths is None else folder_paths.get_filename_list("upscale_models")
    return ["auto", "real", *families, *bundled, *files]


def _path_of(model: str) -> str:
    """A file of ComfyUI's folder by its path, any other name as it is."""
    folder_paths = _comfy("folder_paths")
    found = None if folder_paths is None else folder_paths.get_full_path("upscale_models", model)
    return str(Path(found)) if found else model


def _device() -> str:
    management = _comfy("comfy.model_management")
    return "auto" if management is None else str(management.get_torch_device())


def _progress(pictures: int) -> Callable[[int], Callable[[float], None]]:
    """What reports the share done of a picture of the batch, and ends the run where the user wants that."""
    utilities, management = _comfy("comfy.utils"), _comfy("comfy.model_management")
    bar = None if utilities is None else utilities.ProgressBar(_STEPS)

    def of(index: int) -> Callable[[float], None]:
        def report(share: float) -> None:
            if management is not None:
                management.throw_exception_if_processing_interrupted()
            if bar is not None:
                bar.update_absolute(round(_STEPS * (index + share) / pictures), _STEPS)

        return report

    return of


def _comfy(name: str) -> ModuleType | None:
    """A module of ComfyUI; None outside of it."""
    try:
        return import_module(name)
    except ModuleNotFoundError:
        return None


NODE_CLASS_MAPPINGS: Mapping[str, type] = {"ESCUpscale": ESCUpscale}
NODE_DISPLAY_NAME_MAPPINGS: Mapping[str, str] = {"ESCUpscale": "ESC Upscale"}

try:  # so that ComfyUI's own nodes load ESC files too; they cut tiles, which is not exact
    install()
except EscError as error:
    _LOG.info("ComfyUI's own upscale nodes will not load ESC: %s", error)
