"""A generator against a discriminator: two modules, two optimisers, two losses, nothing else to touch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import TINY, write_pictures
from torch import Tensor, nn
from torch.nn import functional as F

from escsr.data.patch_sampler import PatchSampler
from escsr.errors import CheckpointError
from escsr.models.checkpoints import load_network
from escsr.training.config import TrainingConfig
from escsr.training.objectives import Batch, Objective, PixelObjective
from escsr.training.recipes import recipe
from escsr.training.state import TrainingState
from escsr.training.trainer import Progress, Trainer

CONFIG = recipe("esc-light-x2-quick").with_settings([*TINY, "iterations=8", "precision=float32"])


class Adversarial(Objective):
    """L1 and a hinge against a small discriminator, whose batch norm has buffers to resume too."""

    def __init__(self, config: TrainingConfig, sampler: PatchSampler) -> None:
        self.pixels = PixelObjective(sampler, config)

    def prepare(self, state: TrainingState) -> None:
        discriminator = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 3)
        )
        state.add(
            "discriminator", discriminator, lambda module: [torch.optim.Adam(module.parameters())], ema=True
        )

    def draw(self, iteration: int, shard: int = 0, num_shards: int = 1) -> Batch:
        return self.pixels.draw(iteration, shard, num_shards)

    def step(self, state: TrainingState, micro_batches: Sequence[Batch]) -> Mapping[str, float]:
        network, discriminator = state.network, state.modules["discriminator"]

        def generator_loss(batch: Batch) -> Tensor:
            sr: Tensor = network(batch["lr"])
            return F.l1_loss(sr, batch["hr"]) - 0.1 * discriminator(sr).mean()

        def discriminator_loss(batch: Batch) -> Tensor:
            with torch.no_grad():
                sr = network(batch["lr"])
            real, fake = discriminator(batch["hr"]), discriminator(sr)
            loss: Tensor = F.relu(1 - real).mean() + F.relu(1 + fake).mean()
            return loss

        return {
            "loss": state.update("network", generator_loss, micro_batches),
            "discriminator_loss": state.update("discriminator", discriminator_loss, micro_batches),
        }


def vector(module: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in module.parameters()])


def trainer(folder: Path, run: Path) -> Trainer:
    sampler = PatchSampler.from_folder(folder, scale=2, patch_size=16)
    return Trainer(CONFIG, sampler, run, objective=Adversarial(CONFIG, sampler))


def test_two_networks_train_and_resume_bit_for_bit(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "hr")
    seen: list[Progress] = []
    whole = trainer(folder, tmp_path / "whole")
    before = {name: vector(module) for name, module in whole.state.modules.items()}
    assert whole.train(seen.append)
    for name, module in whole.state.modules.items():
        assert not torch.equal(vector(module), before[name])
    assert set(seen[-1].figures) == {"loss", "discriminator_loss"}
    resumed = trainer(folder, tmp_path / "resumed")
    resumed.state.load(tmp_path / "whole" / "iter_0000004.safetensors")
    assert resumed.train()
    expected, result = (
        load_file(tmp_path / run / "iter_0000008.safetensors") for run in ("whole", "resumed")
    )
    assert expected.keys() == result.keys()
    assert all(torch.equal(value, result[key]) for key, value in expected.items())
    for key in (
        "module.discriminator.1.running_mean",
        "ema.discriminator.0.weight",
        "optimizer.discriminator.3.weight.exp_avg",
    ):
        assert f"training.{key}" in expected
    assert load_network(tmp_path / "whole" / "best.safetensors").config == CONFIG.network


def test_another_objective_cannot_go_on_from_it(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "hr")
    trainer(folder, tmp_path / "run").train()
    sampler = PatchSampler.from_folder(folder, scale=2, patch_size=16)
    plain = Trainer(CONFIG, sampler, tmp_path / "plain")
    with pytest.raises(CheckpointError, match="optimisers are not the recipe's"):
        plain.state.load(tmp_path / "run" / "iter_0000004.safetensors")
