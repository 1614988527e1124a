"""The inference form is the network: the same results and weights, to the bit."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch

from escsr.errors import ConfigError
from escsr.networks import ESC, VARIANTS
from escsr.networks.attention import WindowAttention
from escsr.networks.inference_form import WeightsWatch, inference_form, kept_bias_bytes
from samples import call_options, small_network


def network_of(case: str) -> ESC:
    return small_network("esc", bias_rank=6) if case == "flash-bias" else small_network(case)


@pytest.mark.parametrize("backend", ["plain", "sdpa"])
@pytest.mark.parametrize("case", [*VARIANTS, "flash-bias"])
def test_equals_the_network(case: str, backend: str) -> None:
    network = network_of(case).train().set_attention_backend(backend)
    form = inference_form(network)
    lr = torch.rand(2, 3, 13, 21)
    with torch.no_grad():
        expected = network(lr, **call_options(network))
    assert torch.equal(form(lr, **call_options(network)), expected)
    state, own = network.state_dict(), form.state_dict()
    assert state.keys() == own.keys()
    assert all(torch.equal(own[key], value) for key, value in state.items())


def test_it_leaves_the_network_as_it_was() -> None:
    network = small_network("esc").train()
    form = inference_form(network)
    for weight, copied in zip(network.parameters(), form.parameters(), strict=True):
        assert weight.data_ptr() != copied.data_ptr()
        assert weight.requires_grad
        assert not copied.requires_grad
    assert network.training
    assert not form.training
    assert inference_form(form) is form
    assert sum(buffer.numel() for buffer in network.buffers()) == 0


def halve(network: ESC, way: str) -> None:
    """Other weights for a network."""
    halves = {key: value / 2 for key, value in network.state_dict().items()}
    if way == "in place":
        with torch.no_grad():
            for weight in network.parameters():
                weight.mul_(0.5)
    elif way == "through data":
        for weight in network.parameters():
            weight.data.mul_(0.5)
    elif way == "fused step":
        for weight in network.parameters():
            weight.grad = torch.full_like(weight, 0.1)
        torch.optim.AdamW(network.parameters(), 1e-4, fused=True).step()
    elif way == "step":
        for weight in network.parameters():
            weight.grad = torch.full_like(weight, 0.1)
        torch.optim.SGD(network.parameters(), 0.1).step()
    else:
        network.load_state_dict(halves, assign=way == "assigned")


@pytest.mark.parametrize("way", ["in place", "through data", "step", "fused step", "loaded", "assigned"])
@pytest.mark.parametrize("case", ["esc", "esc-rib"])
def test_it_stays_what_it_is_when_the_network_changes(case: str, way: str) -> None:
    network, lr = network_of(case), torch.rand(1, 3, 9, 9)
    with torch.no_grad():
        form, expected = inference_form(network), network(lr)
    halve(network, way)
    with torch.no_grad():
        assert not torch.equal(network(lr), expected)
        assert torch.equal(form(lr), expected)


@pytest.mark.parametrize("way", ["in place", "through data", "step", "fused step", "loaded", "assigned"])
def test_a_watch_notices_other_weights(way: str) -> None:
    network = small_network("esc")
    watch = WeightsWatch(network)
    network(torch.rand(1, 3, 9, 9))
    assert not watch.has_changed()
    halve(network, way)
    assert watch.has_changed()
    assert not WeightsWatch(network).has_changed()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_watch_notices_fused_steps_of_other_types(dtype: torch.dtype) -> None:
    network = small_network("esc").to(dtype)
    network.register_buffer("count", torch.zeros(1, dtype=torch.int64))
    network.last.weight.data.fill_(torch.nan)
    watch = WeightsWatch(network)
    assert not watch.has_changed()
    halve(network, "fused step")
    assert watch.has_changed()


@pytest.mark.parametrize("way", ["part swapped", "hook", "hook before", "hook removed"])
def test_a_watch_notices_other_modules_and_hooks(way: str) -> None:
    network = small_network("esc")
    block: Any = network.blocks[0]
    handle = block.conv_ffn_first.register_forward_hook(lambda _m, _i, result: 2 * result)
    watch = WeightsWatch(network)
    if way == "part swapped":
        block.conv_last = copy.deepcopy(block.conv_last)
    elif way == "hook":
        block.conv_last.register_forward_hook(lambda _m, _i, result: 2 * result)
    elif way == "hook before":
        block.conv_last.register_forward_pre_hook(lambda _m, _i: None)
    else:
        handle.remove()
    assert watch.has_changed()
    assert not WeightsWatch(network).has_changed()


@pytest.mark.parametrize("variant", ["esc", "esc-rib"])
def test_work_is_done_once(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    form = inference_form(small_network(variant))
    made: list[str] = []
    for name in (
        "attention.relative_position_bias",
        "conv_attn.average_symmetries",
        "implicit_bias.coordinate_features",
    ):
        monkeypatch.setattr(f"escsr.networks.{name}", lambda *_, name=name: made.append(name))
    form(torch.rand(1, 3, 9, 9))
    assert made == []


def test_biases_of_large_networks_are_not_kept() -> None:
    assert kept_bias_bytes(VARIANTS["esc"]) == 5 * 4 * 1024**2 * 4
    assert kept_bias_bytes(VARIANTS["esc-xl"]) == 0
    assert kept_bias_bytes(VARIANTS["esc"].replace(bias_rank=48)) == 0
    assert kept_bias_bytes(VARIANTS["esc-rib"]) == 5 * 2 * 4 * 64**2 * 16 * 4
    with torch.device("meta"):
        form = inference_form(ESC(VARIANTS["esc-xl"]))
    assert all(module.bias is None for module in form.modules() if isinstance(module, WindowAttention))


def test_it_takes_no_other_weights() -> None:
    network = small_network("esc")
    weights = {key: 2 * value for key, value in network.state_dict().items()}
    form = inference_form(network)
    for twin in (form, copy.deepcopy(form), pickle.loads(pickle.dumps(form))):
        before = copy.deepcopy(twin.state_dict())
        with pytest.raises(ConfigError, match="make its form anew"):
            twin.load_state_dict(weights)
        with pytest.raises(ConfigError, match="make its form anew"):
            twin.blocks.load_state_dict(network.blocks.state_dict())
        assert all(torch.equal(before[key], value) for key, value in twin.state_dict().items())
    network.load_state_dict(weights)
    lr = torch.rand(1, 3, 9, 9)
    with torch.no_grad():
        assert torch.equal(inference_form(network)(lr), network(lr))


def test_made_in_inference_mode_it_has_gradients_later() -> None:
    network, lr = (
        ESC(VARIANTS["esc"].replace(num_blocks=1, num_conv_attn=1, window_size=8)),
        torch.rand(1, 3, 8, 8),
    )
    with torch.inference_mode():
        form = inference_form(network)
    assert not any(each.is_inference() for each in (*form.parameters(), *form.buffers()))
    lr.requires_grad_()
    torch.autograd.backward([form(lr).sum()])
    assert lr.grad is not None
