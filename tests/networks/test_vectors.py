"""Outputs of the networks as they were when they equalled the reference; weights and input by formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from escsr.networks import ESC
from samples import call_options, small_config

# Mean, standard deviation and four values of the result, float64.
EXPECTED: dict[str, list[float]] = {
    "esc": [0.725566007, 0.842657992, 1.152339203, -0.533355199, -0.520626922, 1.128663819],
    "esc-fp": [0.532225427, 1.148753254, 1.590501103, 0.61082458, 0.198722707, -1.011844601],
    "esc-xl": [0.051723429, 1.483988542, 0.086252357, -1.553780856, 0.356239243, -0.016164725],
    "esc-real": [0.262060268, 0.916020716, 1.169250401, 0.287373526, -0.331207317, -0.462108707],
    "esc-rib": [0.518466387, 1.023957543, 0.665834824, 2.260960081, -1.156684704, -0.24601257],
    "esc-lte": [0.575670292, 0.501183504, 1.207533037, 0.22737296, 0.833432685, -0.440114781],
}


def waves(shape: torch.Size, frequency: float) -> Tensor:
    count = torch.arange(shape.numel(), dtype=torch.float64)
    return torch.sin(frequency * count + frequency).reshape(shape)


def formula_network(variant: str) -> ESC:
    network = ESC(small_config(variant)).double()
    with torch.no_grad():
        for index, parameter in enumerate(network.parameters()):
            gain = 2 / parameter[0].numel() ** 0.5 if parameter.dim() > 1 else 1
            parameter.copy_(gain * waves(parameter.shape, 0.7 + (0.37 * index) % 1.7))
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
    assert summary(result) == pytest.approx(EXPECTED[variant], abs=1e-8)
