"""The discriminator: outputs of the reference in both modes, the paper's parameters, its norms resumed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from escsr.networks.discriminator import FeatureDiscriminator, SpectralConv2d, UNetDiscriminator

LAYERS = ("first", "down.0", "down.1", "down.2", "up.0", "up.1", "up.2", "refine.0", "refine.1", "last")


def reference_weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the vector under our names."""
    weights = {}
    for index, layer in enumerate(LAYERS):
        for theirs, ours in (
            ("weight", "weight"),
            ("bias", "bias"),
            ("weight_orig", "weight"),
            ("weight_u", "u"),
            ("weight_v", "v"),
        ):
            if (key := f"before.conv{index}.{theirs}") in tensors:
                weights[f"{layer}.{ours}"] = tensors[key]
    return weights


def test_parity(shared: Path) -> None:
    tensors = load_file(shared / "parity" / "unet_discriminator.safetensors")
    network = UNetDiscriminator(16)
    network.load_state_dict(reference_weights(tensors))
    with torch.no_grad():
        result = network.eval()(tensors["input"])
        # Without a power iteration the norms are far off: numbers of 3e10, equal to float32's digits.
        torch.testing.assert_close(result, tensors["output.eval"], rtol=1e-4, atol=2e6)
        result = network.train()(tensors["input"])
        torch.testing.assert_close(result, tensors["output.train"], rtol=0, atol=1e-5)
    for index, layer in enumerate(LAYERS[1:-1], 1):
        conv = network.get_submodule(layer)
        for theirs, ours in (("weight_u", conv.u), ("weight_v", conv.v)):
            assert isinstance(ours, Tensor)
            torch.testing.assert_close(ours, tensors[f"after.conv{index}.{theirs}"], rtol=0, atol=1e-6)


def test_parameters_of_the_paper() -> None:
    assert sum(p.numel() for p in UNetDiscriminator().parameters()) == 4_376_897


@pytest.mark.parametrize("features", [16, 32])
def test_gradients_reach_every_weight_and_the_image(features: int) -> None:
    network = UNetDiscriminator(features)
    image = torch.rand(2, 3, 24, 32, requires_grad=True)
    (network(image).sum() + network(image * 0.5).sum()).backward()  # two passes in one step
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_the_norm_becomes_one_and_eval_leaves_it() -> None:
    conv = SpectralConv2d(8, 16)
    image = torch.rand(1, 8, 9, 9)
    for _ in range(100):
        conv(image)
    conv.requires_grad_(False)
    largest = torch.linalg.matrix_norm(conv.weight.flatten(1), 2)
    assert float(conv.u @ conv.weight.flatten(1) @ conv.v) == pytest.approx(float(largest), rel=1e-4)
    before = conv.u
    conv.eval()(image)
    assert conv.u is before


def test_a_saved_state_goes_on_as_if_never_left() -> None:
    one, image = UNetDiscriminator(16), torch.rand(1, 3, 16, 16)
    one(image)
    other = UNetDiscriminator(16)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(image), other(image))
    assert all(torch.equal(a, b) for a, b in zip(one.buffers(), other.buffers(), strict=True))


def test_singular_values_are_in_float32_whatever_products_are_made_in() -> None:
    conv, image = SpectralConv2d(8, 16), torch.rand(1, 8, 9, 9)
    same = SpectralConv2d(8, 16)
    same.load_state_dict(conv.state_dict())
    exact = same(image)
    with torch.autocast("cpu", torch.bfloat16):
        rough = conv(image)
    assert rough.dtype is torch.bfloat16
    assert torch.equal(conv.u, same.u)
    assert torch.equal(conv.v, same.v)
    torch.testing.assert_close(rough.float(), exact, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("width", [8, 64])
def test_every_layer_is_judged_and_contrast_is_not(width: int) -> None:
    network = FeatureDiscriminator({"conv1_2": 6, "conv2_2": 12}, width).eval()
    features = {"conv1_2": torch.randn(2, 6, 32, 24), "conv2_2": torch.randn(2, 12, 16, 12)}
    leaves = {name: value.requires_grad_() for name, value in features.items()}
    logits = network(leaves)
    assert [tuple(each.shape) for each in logits] == [(2, 1, 8, 6), (2, 1, 4, 3)]
    for each, leaf in zip(logits, leaves.values(), strict=True):
        torch.autograd.backward([each.sum()])
        assert leaf.grad is not None
        assert leaf.grad.abs().sum() > 0
    louder = network({name: 3 * value.detach() for name, value in features.items()})
    for one, other in zip(logits, louder, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
