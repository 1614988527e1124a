from __future__ import annotations

import pytest
import torch
from torch import nn

from escsr.training.optimizers import Muon, build_optimizers, matrix_parameters, orthogonalise
from escsr.training.recipes import recipe
from samples import small_network


@pytest.mark.parametrize("shape", [(3, 8, 20), (2, 20, 8), (1, 16, 16)])
def test_orthogonalise(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape)
    result = orthogonalise(matrices)
    singular = torch.linalg.svdvals(result)
    assert singular.max() < 1.3
    assert singular.median() > 0.6
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    assert ((left @ right) * result).sum() > 0.9 * result.norm() * (left @ right).norm()
    torch.testing.assert_close(orthogonalise(matrices * 1000), result, atol=1e-3, rtol=0)


def test_muon_minimises() -> None:
    weight = nn.Parameter(torch.randn(6, 4, 1, 1))
    target = torch.randn(6, 4, 1, 1)
    optimizer = Muon([weight], lr=0.05)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = (weight - target).square().sum()
        torch.autograd.backward([loss])
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]


def test_every_parameter_has_one_optimiser() -> None:
    network = small_network("esc-fp")
    for settings, count in (["optimizer=adamw"], 1), (["optimizer=muon"], 2):
        config = recipe("esc-light-x2-quick").with_settings(settings)
        optimizers = build_optimizers(network, config)
        held = [p for o in optimizers for g in o.param_groups for p in g["params"]]
        assert len(optimizers) == count
        assert {id(p) for p in held} == {id(p) for p in network.parameters()}
        assert len(held) == len(list(network.parameters()))
    names = matrix_parameters(network)
    assert {name.split(".", 2)[2].split(".")[0] for name in names} == {
        "conv_ffn_first",
        "attention",
        "conv_ffns",
        "conv_attns",
        "conv_last",
    }
    assert not any("depthwise" in name or "estimator" in name for name in names)
