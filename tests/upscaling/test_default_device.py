"""Pictures and weights say where things are computed, not PyTorch's default device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from escsr.kernels.cpu.library import map_of, pointer_to
from escsr.models.saving import save_network
from escsr.networks import ESC, VARIANTS
from escsr.upscaling.upscaler import Upscaler

META = torch.device("meta")


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("esc-light", {"self_ensemble": True}),
        ("esc-light", {"keep_colour": True}),
        ("esc-fp", {}),
        ("esc-lte", {"scale": 1.7}),
        ("esc-rib", {}),
    ],
)
def test_upscaling(variant: str, options: dict[str, Any], tmp_path: Any) -> None:
    """Of a network that the native kernels take."""
    torch.manual_seed(0)
    config = VARIANTS[variant].replace(num_blocks=1, num_conv_attn=1, window_size=8)
    save_network(ESC(config), tmp_path / "model.safetensors")
    image = np.random.default_rng(0).integers(0, 256, (19, 11, 4), np.uint8)
    expected = Upscaler(tmp_path / "model.safetensors", device="cpu", **options)(image)
    with META:
        larger = Upscaler(tmp_path / "model.safetensors", device="cpu", **options)(image)
    assert np.array_equal(larger, expected)


@pytest.mark.parametrize("function", [pointer_to, map_of])
def test_a_kernel_takes_nothing_that_is_elsewhere(function: Any) -> None:
    with pytest.raises(AssertionError, match="host memory, not on meta"):
        function(torch.empty(1, 4, 2, 2, device=META))
