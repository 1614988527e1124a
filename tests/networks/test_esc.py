"""Every variant: any size, any batch, differentiable, without side effects."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from escsr.errors import ConfigError
from escsr.networks import ESC, VARIANTS, variant_config
from samples import call_options, small_network

SIZES = [(1, 1), (1, 9), (2, 3), (7, 8), (8, 8), (13, 21), (16, 5)]
CASES = [*VARIANTS, "flash-bias"]


def network_of(case: str) -> ESC:
    return small_network("esc", bias_rank=6) if case == "flash-bias" else small_network(case)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", SIZES)
def test_any_size(case: str, size: tuple[int, int]) -> None:
    network = network_of(case)
    lr = torch.rand(1, 3, *size)
    with torch.no_grad():
        sr = network(lr, **call_options(network))
    scale = network.config.scale or 2.6
    assert sr.shape == (1, 3, round(size[0] * scale), round(size[1] * scale))
    assert sr.isfinite().all()


@pytest.mark.parametrize("case", CASES)
def test_a_batch_is_its_pictures(case: str) -> None:
    network = network_of(case).double()
    lr = torch.rand(3, 3, 11, 18, dtype=torch.float64)
    options = call_options(network)
    with torch.no_grad():
        together = network(lr, **options)
        alone = torch.cat([network(picture[None], **options) for picture in lr])
    assert (together - alone).abs().max() <= 1e-13


@pytest.mark.parametrize("case", CASES)
def test_gradients_reach_input_and_every_parameter(case: str) -> None:
    network = network_of(case)
    lr = torch.rand(2, 3, 12, 10, requires_grad=True)
    torch.autograd.backward([network(lr, **call_options(network)).square().mean()])
    assert lr.grad is not None
    assert lr.grad.abs().sum() > 0
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradient_is_right(variant: str) -> None:
    network = small_network(variant).double()
    options = call_options(network)
    lr = torch.rand(1, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    direction = torch.randn_like(lr)
    sr = network(lr, **options)
    torch.autograd.backward([sr.sin().sum()])
    assert lr.grad is not None
    with torch.no_grad():
        step = 1e-8  # small, so that no ReLU of LTE switches on the way
        ahead, behind = (network(lr + s * direction, **options).sin().sum() for s in (step, -step))
    assert (lr.grad * direction).sum().item() == pytest.approx(
        (ahead - behind).item() / (2 * step), rel=1e-4
    )


@pytest.mark.parametrize("case", CASES)
def test_input_is_not_written_and_calls_leave_no_state(case: str) -> None:
    network = network_of(case)
    lr = torch.rand(1, 3, 9, 9)
    before, weights = lr.clone(), {k: v.clone() for k, v in network.state_dict().items()}
    with torch.no_grad():
        first = network(lr, **call_options(network))
        network(torch.rand(1, 3, 20, 4), **call_options(network))
        again = network(lr, **call_options(network))
        trained = network.train()(lr, **call_options(network))
    assert torch.equal(lr, before)
    assert torch.equal(first, again)
    assert torch.equal(first, trained)
    assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("backend", ["plain", "sdpa"])
def test_a_copy_is_independent(backend: str) -> None:
    network = small_network("esc").set_attention_backend(backend)
    lr = torch.rand(1, 3, 9, 9)
    twin = copy.deepcopy(network)
    with torch.no_grad():
        expected = network(lr)
        for parameter in network.parameters():
            parameter.zero_()
        assert torch.equal(twin(lr), expected)
        network.load_state_dict(twin.state_dict())
        assert torch.equal(network(lr), expected)


def test_a_constant_picture_is_enlarged_evenly_by_the_shortcut() -> None:
    network = ESC(variant_config("esc-light", scale=3))
    assert isinstance(network.upsampler.conv, nn.Conv2d)
    with torch.no_grad():
        for parameter in network.upsampler.parameters():
            parameter.zero_()
        sr = network(torch.full((1, 3, 8, 8), 0.25))
    assert torch.equal(sr, torch.full((1, 3, 24, 24), 0.25))


def test_scales_that_do_not_fit_are_refused() -> None:
    lr = torch.rand(1, 3, 8, 8)
    fixed, any_scale = small_network("esc"), small_network("esc-lte")
    with torch.no_grad():
        assert fixed(lr, scale=2).shape == fixed(lr, size=(16, 16)).shape == (1, 3, 16, 16)
        assert any_scale(lr, scale=(2.0, 3.5)).shape == (1, 3, 16, 28)
        assert any_scale(lr, size=(5, 31)).shape == (1, 3, 5, 31)
    with pytest.raises(ConfigError, match="upscales by 2"):
        fixed(lr, scale=3)
    with pytest.raises(ConfigError, match="either scale= or size="):
        any_scale(lr)
    with pytest.raises(ConfigError, match="either scale= or size="):
        any_scale(lr, scale=2.0, size=(16, 16))
    with pytest.raises(ConfigError, match="positive"):
        any_scale(lr, scale=-1.0)
    with pytest.raises(ConfigError, match="at least 1×1"):
        any_scale(lr, size=(0, 4))


@pytest.mark.parametrize("size", [(50.5, 60.0), (50,), 50, ("50", "60"), (1, 2, 3)])
@pytest.mark.parametrize("variant", ["esc", "esc-lte"])
def test_a_size_that_cannot_be(variant: str, size: Any) -> None:
    with pytest.raises(ConfigError, match="size must be two whole numbers"):
        small_network(variant).output_size(20, 24, size=size)


def test_a_size_may_be_a_list() -> None:
    size: Any = [40, 48]
    assert small_network("esc").output_size(20, 24, size=size) == (40, 48)
    assert small_network("esc-lte").output_size(20, 24, size=size) == (40, 48)
