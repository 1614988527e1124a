"""Outputs of the networks as they were when they equalled the reference; weights and input by formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from escsr.networks import ESC
from samples import call_options, small_config

# Mean, standard deviation and four values of the result, float64.
EXPECTED: dict[str, list[float]] = {
    "esc": [0.6130778726, 0.5086657492, 0.9291335209, -0.2062417138, 0.230022023, 0.4116509574],
    "esc-fp": [0.5162883473, 0.5600856671, 1.1782566933, 0.3462663032, 0.3815765954, -0.5338515511],
    "esc-xl": [0.4169586436, 0.6199847583, 0.8893395723, -0.2744134343, 0.8270136824, -0.3894792485],
    "esc-real": [0.1194101854, 0.3699362089, 0.5351984662, 0.203851369, 0.0388192153, -0.316992607],
    "esc-lte": [0.5376677966, 0.3409188128, 0.9148835466, 0.1716807637, 0.778001061, -0.2070926199],
}


def waves(shape: torch.Size, frequency: float) -> Tensor:
    count = torch.arange(shape.numel(), dtype=torch.float64)
    return torch.sin(frequency * count + frequency).reshape(shape)


def formula_network(variant: str) -> ESC:
    network = ESC(small_config(variant)).double()
    with torch.no_grad():
        for index, parameter in enumerate(network.parameters()):
            size = max(1, parameter[0].numel()) ** 0.5 if parameter.dim() > 1 else 2
            parameter.copy_(waves(parameter.shape, 0.7 + (0.37 * index) % 1.7) / size)
    return network


def summary(result: Tensor) -> list[float]:
    flat = result.flatten()
    picked = flat[[0, len(flat) // 3, len(flat) // 2, -1]]
    return [flat.mean().item(), flat.std().item(), *picked.tolist()]


@pytest.mark.parametrize("variant", EXPECTED)
def test_as_it_was(variant: str) -> None:
    network = formula_network(variant)
    lr = waves(torch.Size((1, 3, 11, 14)), 0.31) / 2 + 0.5
    with torch.no_grad():
        result = network(lr, **call_options(network))
    assert summary(result) == pytest.approx(EXPECTED[variant], abs=1e-9)
