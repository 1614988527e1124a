from __future__ import annotations

import pytest
import torch
from torch import nn

from escsr.training.optimizers import Muon, build_optimizers, matrix_parameters, orthogonalise
from escsr.training.packing import packed, unpack
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


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon is of PyTorch 2.9 and later")
@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (16, 16)])
def test_muon_is_pytorchs_on_a_matrix(shape: tuple[int, int]) -> None:
    """PyTorch orthogonalises in bfloat16, so updates agree to a few thousandths of their size."""
    ours, theirs = (
        nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(1))) for _ in "ab"
    )
    settings = {"momentum": 0.8, "weight_decay": 0.1}
    optimizers = (
        Muon([ours], learning_rate=0.01, **settings),
        torch.optim.Muon([theirs], lr=0.01, adjust_lr_fn="match_rms_adamw", **settings),  # type: ignore[arg-type]
    )
    for step in range(5):
        before = ours.detach().clone()
        with torch.no_grad():
            theirs.copy_(ours)
        gradient = torch.randn(shape, generator=torch.Generator().manual_seed(10 + step))
        for weight, optimizer in zip((ours, theirs), optimizers, strict=True):
            weight.grad = gradient.clone()
            optimizer.step()
        update, expected = (weight.detach() - before for weight in (ours, theirs))
        assert (update - expected).norm() < 0.03 * expected.norm(), step


def test_muon_minimises() -> None:
    weight = nn.Parameter(torch.randn(6, 4, 1, 1))
    target = torch.randn(6, 4, 1, 1)
    optimizer = Muon([weight], learning_rate=0.05)
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
        optimizers = build_optimizers(network, config.optimizer)
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


class Gain(nn.Module):
    """A parameter without dimensions."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones((), device=device))


@pytest.mark.filterwarnings("ignore:.*a no-op")
def test_means_of_a_scalar_go_to_its_device_and_counters_stay() -> None:
    settings = recipe("esc-x2").optimizer
    there = Gain("cpu")
    (optimizer,) = build_optimizers(there, settings)
    torch.autograd.backward([there.gain.square()])
    optimizer.step()
    tensors = packed({"network": there}, {}, {"network": [optimizer]})
    here = Gain("meta")  # stands for a GPU
    (resumed,) = build_optimizers(here, settings)
    unpack(tensors, {"network": here}, {}, {"network": [resumed]})
    devices = {part: value.device.type for part, value in resumed.state[here.gain].items()}
    assert devices == {"step": "cpu", "exp_avg": "meta", "exp_avg_sq": "meta"}
