from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import escsr
from escsr import images
from escsr.data.datasets import PatchPool
from escsr.errors import CheckpointError, ConfigError, EscError
from escsr.images import Picture
from escsr.training.config import TrainingConfig
from escsr.training.recipes import recipe
from escsr.training.trainer import Progress, Trainer, latest_checkpoint
from samples import EXAMPLES

TINY = [
    "network.dim=16",
    "network.attended_dim=8",
    "network.num_heads=2",
    "network.num_blocks=1",
    "network.num_conv_attn=1",
    "network.window_size=8",
    "patch_size=16",
    "batch_size=4",
    "validate_every=4",
    "warmup=3",
]


def tiny(*settings: str) -> TrainingConfig:
    return recipe("esc-light-x2-quick").with_settings([*TINY, *settings])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = images.read(EXAMPLES / "flowers.png").pixels
    for index, top in enumerate((0, 200, 400)):
        images.write(Picture(pixels[top : top + 96, 100:228]), tmp_path / "hr" / f"{index}.png")
    return tmp_path / "hr"


def pool_of(folder: Path) -> PatchPool:
    return PatchPool.from_folder(folder, scale=2, patch_size=16)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_resumed_run_equals_an_uninterrupted_one(folder: Path, tmp_path: Path, optimizer: str) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    config = tiny("iterations=8", f"optimizer={optimizer}")
    Trainer(config, pool_of(folder), whole, validation={"own": folder}).train()

    def stop(progress: Progress) -> None:
        if progress.iteration == 6:
            raise KeyboardInterrupt

    first = Trainer(config, pool_of(folder), halves, validation={"own": folder})
    with pytest.raises(KeyboardInterrupt):
        first.train(stop)
    second = Trainer(config, pool_of(folder), halves, validation={"own": folder})
    newest = latest_checkpoint(halves)
    assert newest is not None
    second.resume(newest)
    assert second.iteration == 4
    second.train()
    expected = load_file(whole / "iter_0000008.safetensors")
    resumed = load_file(halves / "iter_0000008.safetensors")
    assert expected.keys() == resumed.keys()
    assert any("optimizer" in key for key in expected)
    assert all(torch.equal(value, resumed[key]) for key, value in expected.items())
    lines = [
        [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        for run in (whole, halves)
    ]
    assert lines[0][-1]["validation"] == lines[1][-1]["validation"]
    assert lines[0][-1]["loss"] == lines[1][-1]["loss"]


def test_training_learns_and_its_checkpoint_is_a_model(folder: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    last = escsr.train(
        "esc-light-x2-quick",
        folder,
        tmp_path / "run",
        settings=[*TINY, "iterations=120", "validate_every=60", "precision=float32"],
        validate={"own": folder},
        device="cpu",
        on_progress=seen.append,
    )
    assert len(seen) == 120
    losses = [progress.loss for progress in seen]
    assert np.mean(losses[-20:]) < 0.75 * np.mean(losses[:5])
    assert seen[-1].validation["own"] > 20
    assert seen[-1].iterations_per_second > 0
    assert 0 <= seen[-1].data_share < 1
    upscaler = escsr.Upscaler(last, device="cpu")
    assert upscaler(np.zeros((10, 12, 3), np.uint8)).shape == (20, 24, 3)
    assert escsr.evaluate(last, folder).psnr_y == pytest.approx(seen[-1].validation["own"], abs=1e-3)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"best.safetensors", "recipe.json", "log.jsonl", "iter_0000120.safetensors"} <= names
    again = escsr.train(
        "esc-light-x2-quick",
        folder,
        tmp_path / "run",
        settings=[*TINY, "iterations=120", "precision=float32"],
        device="cpu",
    )
    assert again == last


def test_old_checkpoints_are_removed(folder: Path, tmp_path: Path) -> None:
    Trainer(tiny("iterations=20", "keep=3"), pool_of(folder), tmp_path / "run").train()
    kept = sorted(path.name for path in (tmp_path / "run").glob("iter_*"))
    assert kept == [f"iter_{n:07d}.safetensors" for n in (12, 16, 20)]


def test_a_torn_checkpoint_is_passed_over(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    Trainer(tiny("iterations=8"), pool_of(folder), run).train()
    newest = run / "iter_0000008.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    assert latest_checkpoint(run) == run / "iter_0000004.safetensors"
    assert latest_checkpoint(tmp_path / "nowhere") is None


def test_starting_from_a_model_of_another_scale(folder: Path, tmp_path: Path) -> None:
    config = tiny("iterations=4")
    Trainer(config, pool_of(folder), tmp_path / "x2").train()
    start = escsr.checkpoints.read_checkpoint(tmp_path / "x2" / "iter_0000004.safetensors")
    config = tiny("iterations=4", "network.scale=3")
    pool = PatchPool.from_folder(folder, scale=3, patch_size=16)
    trainer = Trainer(config, pool, tmp_path / "x3", start=start)
    body = start.weights["blocks.0.attention.qkv.weight"]
    assert torch.equal(trainer.network.state_dict()["blocks.0.attention.qkv.weight"], body)
    with pytest.raises(ConfigError, match="another network"):
        Trainer(tiny("network.dim=32"), pool_of(folder), tmp_path / "b", start=start)
    with pytest.raises(ConfigError, match="recipe is for ×3"):
        Trainer(config, pool_of(folder), tmp_path / "c")


def test_what_cannot_be_resumed(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    Trainer(tiny("iterations=4"), pool_of(folder), run, validation={"own": folder}).train()
    with pytest.raises(CheckpointError, match="without training state"):
        Trainer(tiny("iterations=4"), pool_of(folder), run).resume(run / "best.safetensors")
    other = Trainer(tiny("iterations=4", "network.num_blocks=2"), pool_of(folder), run)
    with pytest.raises(CheckpointError, match="not the recipe's"):
        other.resume(run / "iter_0000004.safetensors")


def test_a_loss_that_is_not_finite_stops_before_any_change(folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(tiny(), pool_of(folder), tmp_path / "run")
    before = {key: value.clone() for key, value in trainer.network.state_dict().items()}
    with pytest.raises(EscError, match="lower the learning rate"):
        trainer.step(torch.full((1, 3, 16, 16), float("nan")), torch.zeros(1, 3, 32, 32))
    assert trainer.iteration == 0
    assert all(torch.equal(value, before[key]) for key, value in trainer.network.state_dict().items())


@pytest.mark.parametrize("ramp", ["true", "false"])
def test_averaged_weights(folder: Path, tmp_path: Path, ramp: str) -> None:
    """The average of the weights after each step, by its definition."""
    trainer = Trainer(tiny("ema_decay=0.6", f"ema_ramp={ramp}"), pool_of(folder), tmp_path)
    expected = trainer.network.last.weight.detach().clone()
    for iteration in range(1, 16):
        trainer.step(*pool_of(folder).batch(0, iteration, 2, 16))
        decay = min(0.6, iteration / (iteration + 9)) if ramp == "true" else 0.6
        expected = decay * expected + (1 - decay) * trainer.network.last.weight.detach()
    torch.testing.assert_close(trainer.average.last.weight, expected)
