"""Effective receptive fields and feature maps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from escsr.analysis.differentiable import as_differentiable
from escsr.analysis.erf import receptive_field, side_of_share
from escsr.analysis.features import feature_maps
from escsr.errors import ConfigError
from escsr.networks import ESC
from escsr.networks.conv_attn import ConvAttn
from escsr.networks.conv_attn_2d import ConvAttn2d
from samples import Float64OnTheCpu, nearest_network, small_config, small_network


def test_field_of_a_convolution_is_its_kernel() -> None:
    convolution = nn.Conv2d(3, 3, 5, padding=2, bias=False)
    with torch.no_grad():
        convolution.weight.abs_()
    field = receptive_field(as_differentiable(convolution), torch.rand(2, 3, 11, 9))
    summed = (convolution.weight.detach().sum((0, 1)).double() + 1).log10()
    expected = torch.zeros(11, 9, dtype=torch.float64)
    expected[3:8, 2:7] = summed / summed.max()
    torch.testing.assert_close(field.map, expected, rtol=1e-5, atol=1e-8)
    assert field.pictures == 2
    assert field.areas[0.99] == pytest.approx(25 / 99)


def test_field_of_repeated_pixels_is_a_pixel() -> None:
    field = receptive_field(as_differentiable(nearest_network()), torch.rand(1, 3, 8, 9))
    assert field.map.nonzero().tolist() == [[4, 4]]
    assert field.areas == dict.fromkeys((0.2, 0.3, 0.5, 0.99), 1 / 72)


def test_a_field_needs_float64_on_the_cpu_alone() -> None:
    model, inputs = as_differentiable(nn.Conv2d(3, 3, 1)), torch.rand(1, 3, 4, 5)
    with Float64OnTheCpu() as mode:
        receptive_field(model, inputs)
    assert mode.taken_there


def test_sides_of_shares() -> None:
    field = torch.ones(9, 9)
    assert [side_of_share(field, share) for share in (0.01, 9 / 81, 10 / 81, 1)] == [1, 3, 5, 9]


def test_attention_sees_its_window_and_convattn_beyond() -> None:
    field = receptive_field(as_differentiable(small_network("esc")), torch.rand(1, 3, 24, 24))
    assert field.areas[0.99] > 64 / 576


@pytest.mark.parametrize("variant", ["esc", "esc-fp"])
def test_parts_of_a_convattn(variant: str) -> None:
    """LK alone is what the module fuses where its dynamic kernels are zero."""
    network = small_network(variant)
    lr = torch.rand(1, 3, 12, 10)
    maps = feature_maps(as_differentiable(network), lr)
    assert len(maps.layers) == 4
    first = next(each for each in network.modules() if isinstance(each, ConvAttn))
    assert first.estimator is not None
    for parameter in first.estimator.parameters():
        nn.init.zeros_(parameter)
    without = feature_maps(as_differentiable(network), lr)
    torch.testing.assert_close(maps.maps["LK"][0], without.maps["LK + DK"][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(maps.maps["identity"][0], without.maps["identity"][0])
    assert not torch.allclose(maps.maps["LK"][0], maps.maps["LK + DK"][0])
    torch.testing.assert_close(maps.mean("LK"), maps.maps["LK"].mean(0))


@pytest.mark.parametrize("changes", [{"large_kernel": "unshared"}, {"dynamic_kernel": False}])
def test_feature_maps_of_ablations(changes: dict[str, object]) -> None:
    network = ESC(small_config("esc").replace(**changes)).eval()
    maps = feature_maps(as_differentiable(network), torch.rand(1, 3, 9, 9)).maps
    if "dynamic_kernel" in changes:
        assert torch.equal(maps["LK"], maps["LK + DK"])
    assert maps["LK"].shape == (4, 9, 9)


def test_feature_maps_of_a_network_that_uses_the_layer() -> None:
    network = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), ConvAttn2d(16), nn.Conv2d(16, 3, 1))
    assert feature_maps(as_differentiable(network), torch.rand(1, 3, 8, 8)).layers == ("1.conv_attn",)
    with pytest.raises(ConfigError, match="has no ConvAttn"):
        feature_maps(as_differentiable(nn.Conv2d(3, 3, 1)), torch.rand(1, 3, 8, 8))
