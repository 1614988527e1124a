"""Networks give the same on every device that is there: the CPU always, a GPU where the tests find one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from escsr.networks import VARIANTS, NetworkConfig
from escsr.networks.attention import WindowAttention
from escsr.upscaling.inference import Inference
from samples import call_options, small_network

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]

CASES = [("cpu", "esc"), *((device, variant) for device in DEVICES[1:] for variant in VARIANTS)]
"""On the CPU other tests have them all."""


@pytest.mark.parametrize(("device", "variant"), CASES)
def test_whole_and_streamed_results_are_the_cpus(device: str, variant: str) -> None:
    network = small_network(variant)
    lr = torch.rand(1, 3, 21, 26)
    options: dict[str, Any] = {**call_options(network)}
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        expected = network(lr, **options)
        there = network.to(device)
        torch.testing.assert_close(there(lr.to(device), **options).cpu(), expected, atol=2e-5, rtol=0)
        streamed = Inference(there, tile_size=8, precision="float32").run(lr, **options)
    torch.testing.assert_close(streamed, expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("backend", ["plain", "sdpa", *(["flex"] if "cuda" in DEVICES else [])])
@pytest.mark.parametrize("device", DEVICES)
def test_attention_and_its_gradients_are_the_cpus(backend: str, device: str) -> None:
    """Flex attention with a trainable bias has been wrong on some GPUs (pytorch#143276)."""
    attention = WindowAttention(NetworkConfig(window_size=16))
    x = torch.randn(2, 64, 32, 32)

    def gradient(device: str, backend: str) -> tuple[torch.Tensor, torch.Tensor]:
        attention.to(device).zero_grad()
        attention.backend = backend
        result = attention(x.to(device))
        result.square().mean().backward()
        assert attention.bias_table is not None
        assert attention.bias_table.grad is not None
        return result.detach().cpu(), attention.bias_table.grad.cpu()

    expected = gradient("cpu", "plain")
    for ours, theirs in zip(gradient(device, backend), expected, strict=True):
        assert (ours - theirs).norm() < 1e-3 * theirs.norm()


@pytest.mark.skipif("cuda" not in DEVICES, reason="no CUDA device here")
@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float16"])
def test_lower_precision_on_a_gpu_stays_near(precision: str) -> None:
    network = small_network("esc").cuda()
    lr = torch.rand(1, 3, 40, 40)
    exact = Inference(network, precision="float32").run(lr)
    near = Inference(network, precision=precision).run(lr)  # type: ignore[arg-type]
    assert -10 * (near - exact).square().mean().log10() > 45
