"""ConvAttn as a layer: equal to the network's module, shared or own, any size and batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from escsr.errors import ConfigError
from escsr.models.own_modules import read_module, save_module
from escsr.networks.conv_attn import average_symmetries, convolve, dynamic_depthwise
from escsr.networks.conv_attn_2d import ConvAttn2d, large_kernel


def lively(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module


def test_is_equation_4_and_5() -> None:
    layer = ConvAttn2d(12, attended_dim=4, large_kernel_size=7)
    lively(layer)
    z = torch.randn(2, 12, 9, 6)
    attended = z[:, :4]
    (weight,) = [each for name, each in layer.named_parameters() if name == "large_kernel.weight"]
    estimator = layer.conv_attn.estimator
    assert estimator is not None
    small = estimator(attended.mean((2, 3), keepdim=True)).reshape(2, 4, 3, 3)
    mixed = convolve(attended, average_symmetries(weight)) + dynamic_depthwise(attended, small)
    expected = layer.conv_attn.fuse(torch.cat((mixed, z[:, 4:]), 1))
    with torch.no_grad():
        torch.testing.assert_close(layer(z), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (3, 20), (14, 13)])
def test_each_image_of_a_batch_is_as_alone(decomposed: bool, size: tuple[int, int]) -> None:
    layer = lively(ConvAttn2d(16, large_kernel=large_kernel(8, 5, decomposed=decomposed)))
    z = torch.randn(3, 16, *size)
    together = layer(z)
    assert together.shape == z.shape
    alone = torch.cat([layer(each[None]) for each in z])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_a_shared_kernel_is_one_and_learns_from_all() -> None:
    shared = large_kernel(16)
    layers = nn.Sequential(*(ConvAttn2d(32, large_kernel=shared) for _ in range(3)))
    own = nn.Sequential(*(ConvAttn2d(32, attended_dim=16) for _ in range(3)))
    kernel = 13 * 13 * 16 * 16
    counts = [sum(each.numel() for each in module.parameters()) for module in (layers, own)]
    assert counts[1] - counts[0] == 2 * kernel
    layers(torch.randn(1, 32, 8, 8)).square().sum().backward()
    (weight,) = shared.parameters()
    assert weight.grad is not None
    assert weight.grad.any()


def test_without_dynamic_kernels() -> None:
    layer = ConvAttn2d(16, dynamic_kernel=False)
    assert sum(each.numel() for each in layer.parameters()) == 13 * 13 * 16 + 16 * 16 + 16
    z = torch.randn(1, 16, 6, 6)
    torch.testing.assert_close(layer(z), ConvAttn2dWithZero.like(layer)(z))


class ConvAttn2dWithZero:
    """A layer with dynamic kernels, which begin at zero, and the weights of one without."""

    @staticmethod
    def like(other: ConvAttn2d) -> ConvAttn2d:
        layer = ConvAttn2d(16)
        layer.load_state_dict(other.state_dict(), strict=False)
        return layer


def test_saved_and_loaded(tmp_path: Path) -> None:
    def network() -> nn.Module:
        shared = large_kernel(4, 5)
        return nn.Sequential(*(ConvAttn2d(8, large_kernel=shared) for _ in range(2)))

    first, second = lively(network()), network()
    save_module(first, tmp_path / "two.safetensors", extra={}, metadata={})
    second.load_state_dict(read_module(tmp_path / "two.safetensors")[0])
    z = torch.randn(1, 8, 7, 7)
    assert torch.equal(first(z), second(z))


def test_impossible_shapes() -> None:
    with pytest.raises(ConfigError, match="large_kernel_size must be odd, not 4"):
        ConvAttn2d(16, large_kernel_size=4)
    with pytest.raises(ConfigError, match="attended_dim 16 must be smaller than dim 16"):
        ConvAttn2d(16, attended_dim=16)
    with pytest.raises(ConfigError, match="large kernel has 8 channels"):
        ConvAttn2d(16, attended_dim=4, large_kernel=large_kernel(8))
    with pytest.raises(ConfigError, match="must be odd"):
        large_kernel(8, 6)
