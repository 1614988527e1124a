"""Batches of the objectives: shards of one stream, with flat patches among the others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_runs import TINY, write_pictures

from escsr.data.arbitrary_scale_sampler import ArbitraryScaleSampler
from escsr.data.patch_sampler import PatchSampler
from escsr.errors import ConfigError
from escsr.training.losses import psnr_loss
from escsr.training.objective_table import objective_for
from escsr.training.objectives import Objective, PixelObjective
from escsr.training.recipes import recipe

ANY = ["network.scale=none", "network.upsampler=lte", "network.shortcut=bilinear"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "hr")


def objective(folder: Path, kind: str, *settings: str) -> Objective:
    more = ANY if kind == "any" else []
    config = recipe("esc-light-x2-quick").with_settings([*TINY, *more, "batch_size=12", *settings])
    if kind == "any":
        return objective_for(config, ArbitraryScaleSampler.from_folder(folder, patch_size=16))
    return objective_for(config, PatchSampler.from_folder(folder, scale=2, patch_size=16))


@pytest.mark.parametrize("kind", ["fixed", "any"])
@pytest.mark.parametrize("num_shards", [2, 3])
def test_shards_are_of_one_batch(folder: Path, kind: str, num_shards: int) -> None:
    chosen = objective(folder, kind, "flat_patches=0.4")
    whole = chosen.draw(7)
    drawn = [chosen.draw(7, shard, num_shards) for shard in range(num_shards)]
    for name, tensor in whole.items():
        assert torch.equal(torch.cat([shard[name] for shard in drawn]), tensor)
    assert not torch.equal(chosen.draw(8)["lr"], whole["lr"])


@pytest.mark.parametrize("kind", ["fixed", "any"])
def test_flat_patches_take_their_share_and_leave_the_others(folder: Path, kind: str) -> None:
    plain, mixed = objective(folder, kind), objective(folder, kind, "flat_patches=0.25")
    changed = 0
    for iteration in range(40):
        before, after = plain.draw(iteration), mixed.draw(iteration)
        same = (before["lr"] == after["lr"]).flatten(1).all(1)
        changed += int((~same).sum())
        for name, tensor in before.items():
            assert torch.equal(tensor[same], after[name][same])
    assert 0.18 < changed / 480 < 0.32


@pytest.mark.parametrize("kind", ["fixed", "any"])
def test_what_belongs_to_a_flat_patch_is_its_colour(folder: Path, kind: str) -> None:
    chosen = objective(folder, kind, "flat_patches=1")
    drawn = [chosen.draw(iteration) for iteration in range(20)]
    lr = torch.cat([batch["lr"] for batch in drawn])
    target = torch.cat([batch["hr" if kind == "fixed" else "targets"] for batch in drawn])
    colours = lr[:, :, 0, 0]
    assert torch.equal(lr, colours[:, :, None, None].expand_as(lr))
    assert torch.equal(target.flatten(2), colours[:, :, None].expand_as(target.flatten(2)))
    grey = (colours == colours[:, :1]).all(1)
    corner = ((colours == 0) | (colours == 1)).all(1)
    assert 0.25 < grey.float().mean() < 0.55
    assert 0.25 < corner.float().mean() < 0.45
    assert (~grey & ~corner).float().mean() > 0.2


def test_the_loss_is_the_recipes(folder: Path) -> None:
    sr, hr = torch.rand(2, 2, 3, 8, 8)
    by_l1, by_psnr = (objective(folder, "fixed", *more) for more in ((), ("objective.loss=psnr",)))
    assert isinstance(by_l1, PixelObjective)
    assert isinstance(by_psnr, PixelObjective)
    assert by_l1.loss(sr, hr) == (sr - hr).abs().mean()
    assert by_psnr.loss(sr, hr) == psnr_loss(sr, hr)


def test_a_share_is_at_most_all() -> None:
    with pytest.raises(ConfigError, match="flat_patches"):
        recipe("esc-x2").with_settings(["flat_patches=1.5"])
