"""The real spandrel, where it is installed, and small models of other architectures that it knows."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

INSTALL = "pip install --no-deps -c constraints.txt spandrel einops"
"""Without its dependencies: they would bring torchvision, and that another build of PyTorch."""

NEEDS_SPANDREL = pytest.mark.skipif(
    importlib.util.find_spec("spandrel") is None, reason=f"needs spandrel: {INSTALL}"
)


def real_spandrel() -> Any:
    """spandrel itself. Where torchvision is missing, the three names that its modules import of it stand in
    while they are imported: two architectures which are not tried here use them."""
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    missing = "spandrel" not in sys.modules and importlib.util.find_spec("torchvision") is None
    if missing:
        for name in names:
            sys.modules[name] = types.ModuleType(name)
        functional: Any = sys.modules[names[-1]]
        functional.InterpolationMode = SimpleNamespace(NEAREST="nearest", BILINEAR="bilinear")
        functional.rotate = functional.normalize = None
    try:
        return import_module("spandrel")
    finally:
        if missing:
            for name in names:
                del sys.modules[name]


def _of(module: str, name: str, **settings: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        real_spandrel()
        torch.manual_seed(0)
        network: nn.Module = getattr(import_module(f"spandrel.architectures.{module}"), name)(**settings)
        return network.eval()

    return build


OTHERS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "ESRGAN": (_of("ESRGAN", "ESRGAN", num_filters=8, num_blocks=2, scale=4), 4),
    "Compact": (_of("Compact", "Compact", num_feat=8, num_conv=4, upscale=2), 2),
    "SPAN": (_of("SPAN", "SPAN", num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2), 2),
    "SwinIR": (
        _of(
            "SwinIR",
            "SwinIR",
            upscale=2,
            img_size=16,
            window_size=8,
            depths=[2],
            num_heads=[2],
            embed_dim=12,
            mlp_ratio=2,
            upsampler="pixelshuffledirect",
        ),
        2,
    ),
    "RealCUGAN": (_of("RealCUGAN", "UpCunet2x"), 2),
}
"""By architecture: a small network with random weights, and its scale."""
