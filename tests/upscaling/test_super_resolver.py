"""Modules of the caller's as super-resolvers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from escsr.upscaling.super_resolver import ModuleResolver


def test_every_part_of_a_module_keeps_its_mode() -> None:
    module = nn.Sequential(nn.Upsample(scale_factor=2), nn.BatchNorm2d(3), nn.Dropout()).train()
    lr = torch.rand(1, 3, 8, 8)
    expected = module.eval()(lr)
    for mode in (True, False):
        for part in module.train(mode):
            part.train(not mode)
            modes = [each.training for each in module.modules()]
            assert torch.equal(ModuleResolver(module, 2)(lr), expected)
            assert [each.training for each in module.modules()] == modes


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_module_gets_its_own_floating_type(dtype: torch.dtype) -> None:
    shuffled = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2))
    lr = torch.rand(1, 3, 8, 8)
    expected = ModuleResolver(shuffled, 2)(lr)
    sr = ModuleResolver(shuffled.to(dtype), 2)(lr)
    assert sr.dtype == torch.float32
    assert (sr - expected).abs().max() < 0.02
