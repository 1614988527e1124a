"""Outputs and gradients of the reference implementation, from its own random weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from escsr.models.published_keys import detect_config, from_published, to_published
from escsr.networks import ESC
from escsr.networks.upsamplers import convert_scale

OUTPUTS = [
    "esc_x2",
    "esc_light_x3",
    "esc_fp_x4",
    "esc_use_ln_x2",
    "esc_real_x4",
    "esc_lte_x3",
    "esc_lte_x3.3",
    "esc_rib_x2",
]
GRADIENTS = ["esc_grad", "esc_fp_grad", "esc_real_grad"]


@pytest.fixture
def _two_threads() -> Iterator[None]:
    """The reference ran on two threads; sums over a whole picture depend on how they are split."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def load(shared: Path, name: str) -> tuple[ESC, dict[str, Tensor], dict[str, float]]:
    path = shared / "parity" / f"{name}.safetensors"
    with safe_open(path, "pt") as file:
        settings = json.loads(file.metadata()["config"])
    tensors = load_file(path)
    weights = {k.removeprefix("params."): v.float() for k, v in tensors.items() if k.startswith("params.")}
    network = ESC(detect_config(weights))
    network.load_state_dict(from_published(weights, network.config))
    options = {"scale": settings["scale"]} if network.config.scale is None else {}
    return network, tensors, options


@pytest.mark.parametrize("backend", ["plain", pytest.param("sdpa", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name",  # of the networks for any scale one is quick: both scales go one way
    [pytest.param(name, marks=pytest.mark.slow) if name == "esc_lte_x3" else name for name in OUTPUTS],
)
def test_outputs(shared: Path, name: str, backend: str) -> None:
    network, tensors, options = load(shared, name)
    network.eval().set_attention_backend(backend)
    limit = 5e-5 if "lte" in name else 2e-5
    inputs = [key for key in tensors if key.startswith("input.")]
    assert inputs
    for key in inputs if backend == "sdpa" else inputs[:1]:  # both are equal, as other tests show
        with torch.no_grad():
            output = network(tensors[key], **options)
        assert (output - tensors[key.replace("input", "output")]).abs().max() <= limit


@pytest.mark.usefixtures("_two_threads")
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(shared: Path, name: str) -> None:
    network, tensors, _ = load(shared, name)
    loss = (network.train()(tensors["input.0"]) - tensors["target.0"]).abs().mean()
    torch.autograd.backward([loss])
    assert abs(loss.item() - tensors["loss"].item()) <= 1e-6
    ours = {key: parameter.grad for key, parameter in network.named_parameters()}
    assert all(grad is not None for grad in ours.values())
    published = to_published({key: grad for key, grad in ours.items() if grad is not None}, network.config)
    expected = {k.removeprefix("grad."): v for k, v in tensors.items() if k.startswith("grad.")}
    assert published.keys() == expected.keys()
    for key, gradient in expected.items():
        # 1.6e-4 off is one bias of ESC-Real where the processor has no AVX-512; L1's signs may turn there.
        assert (published[key] - gradient).norm() <= 3e-4 * gradient.norm() + 1e-12, key


@pytest.mark.parametrize("scale", [3, 4])
def test_scale_conversion(shared: Path, scale: int) -> None:
    tensors = load_file(shared / "parity" / "scale_conversion.safetensors")
    weight, bias = convert_scale(tensors["x2.to_img.weight"], tensors["x2.to_img.bias"], scale)
    torch.testing.assert_close(weight, tensors[f"x{scale}.to_img.weight"], atol=1e-6, rtol=0)
    torch.testing.assert_close(bias, tensors[f"x{scale}.to_img.bias"], atol=1e-6, rtol=0)
