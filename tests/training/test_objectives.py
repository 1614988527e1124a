"""Batches of the objectives: parts of one stream, with made patterns among the patches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import TINY, write_pictures

from escsr.data.arbitrary import ArbitraryScalePool
from escsr.data.datasets import PatchPool
from escsr.data.patterns import draw_pattern
from escsr.errors import ConfigError
from escsr.training.objectives import AnyScale, Fidelity, Objective, objective_for
from escsr.training.recipes import recipe

ANY = ["network.scale=none", "network.upsampler=lte", "network.shortcut=bilinear"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "hr")


def objective(folder: Path, kind: str, *settings: str) -> Objective:
    more = ANY if kind == "any" else []
    config = recipe("esc-light-x2-quick").with_settings([*TINY, *more, "batch_size=12", *settings])
    if kind == "any":
        return objective_for(config, ArbitraryScalePool.from_folder(folder, patch_size=16))
    return objective_for(config, PatchPool.from_folder(folder, scale=2, patch_size=16))


@pytest.mark.parametrize("kind", ["fixed", "any"])
@pytest.mark.parametrize("parts", [2, 3])
def test_parts_are_parts_of_one_batch(folder: Path, kind: str, parts: int) -> None:
    chosen = objective(folder, kind, "patterns=0.4")
    whole = chosen.draw(7)
    drawn = [chosen.draw(7, part, parts) for part in range(parts)]
    for name, tensor in whole.items():
        assert torch.equal(torch.cat([part[name] for part in drawn]), tensor)
    assert not torch.equal(chosen.draw(8)["lr"], whole["lr"])


@pytest.mark.parametrize("kind", ["fixed", "any"])
def test_patterns_take_their_share_and_leave_the_others(folder: Path, kind: str) -> None:
    plain, mixed = objective(folder, kind), objective(folder, kind, "patterns=0.25")
    changed = 0
    for iteration in range(40):
        before, after = plain.draw(iteration), mixed.draw(iteration)
        same = (before["lr"] == after["lr"]).flatten(1).all(1)
        changed += int((~same).sum())
        for name, tensor in before.items():
            assert torch.equal(tensor[same], after[name][same])
    assert 0.18 < changed / 480 < 0.32


def test_the_hr_of_a_pattern_repeats_its_pixels(folder: Path) -> None:
    chosen = objective(folder, "fixed", "patterns=1")
    assert isinstance(chosen, Fidelity)
    batch = chosen.draw(0)
    assert torch.equal(batch["hr"][..., ::2, ::2], batch["lr"])
    assert torch.equal(batch["hr"][..., 1::2, 1::2], batch["lr"])


def test_queries_into_a_pattern_meet_its_pixels(folder: Path) -> None:
    chosen = objective(folder, "any", "patterns=1")
    assert isinstance(chosen, AnyScale)
    batch = chosen.draw(3)
    for index, size in enumerate(batch["sizes"].tolist()):
        for query in range(0, 200, 17):
            row, column = (
                int((batch[name][index, query] + 0.5) * 16 / size) for name in ("rows", "columns")
            )
            assert torch.equal(batch["targets"][index, :, query], batch["lr"][index, :, row, column])


def test_patterns_are_of_many_kinds() -> None:
    generator = np.random.default_rng(0)
    drawn = [draw_pattern(generator, 12) for _ in range(200)]
    assert all(one.shape == (12, 12, 3) and one.dtype == np.uint8 for one in drawn)
    colours = [len(np.unique(one.reshape(-1, 3), axis=0)) for one in drawn]
    assert set(colours) == {1, 2}
    assert 80 < colours.count(1) < 120
    checks = np.indices((12, 12)).sum(0) % 2
    assert any((one[..., 0] == np.where(checks, 255, 0)).all() for one in drawn)
    assert len({one.tobytes() for one in drawn}) > 140


def test_a_share_is_at_most_all() -> None:
    with pytest.raises(ConfigError, match="patterns"):
        recipe("esc-x2").with_settings(["patterns=1.5"])
