"""ESC-Real's training: two networks, every loss at once, resumed bit for bit; each loss by its formula."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_runs import GAN, REAL, write_pictures
from torch import Tensor, nn
from torch.nn import functional as F

from escsr.data.degradations import PRESETS
from escsr.data.degraded_sampler import DegradedSampler
from escsr.data.patch_sampler import PatchSampler
from escsr.errors import CheckpointError, ConfigError, DataError
from escsr.models.checkpoints import load_network
from escsr.training import losses
from escsr.training.config import RealSettings, TrainingConfig
from escsr.training.objective_table import objective_for, sampler_for
from escsr.training.real_objective import RealObjective
from escsr.training.recipes import recipe
from escsr.training.trainer import Progress, Trainer


def write_vgg16(path: Path) -> Path:
    """VGG16's first four convolutions, random."""
    generator = torch.Generator().manual_seed(0)
    shapes = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128)}
    state = {}
    for place, (out, inner) in shapes.items():
        weight = torch.randn(out, inner, 3, 3, generator=generator)
        state[f"features.{place}.weight"] = weight / math.sqrt(9 * inner)
        state[f"features.{place}.bias"] = torch.zeros(out)
    save_file(state, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "hr")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainingConfig:
    vgg16 = write_vgg16(tmp_path_factory.mktemp("vgg") / "vgg16.safetensors")
    return recipe("esc-real-light-gan-x2").with_settings(
        [*GAN, "start=none", f"objective.perceptual.network={vgg16}"]
    )


NO_LOSS = [
    f"objective.{name}=0"
    for name in ("l1", "perceptual.weight", "adversarial.weight", "ldl", "colour", "grid")
]
UNET = ["objective.adversarial.discriminator=unet", "objective.adversarial.type=vanilla"]
FEATURES = [
    "objective.adversarial.discriminator=features",
    "objective.adversarial.type=relativistic",
    "objective.adversarial.steps=2",
    "objective.perceptual.type=normalized",
]


def vector(module: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in module.parameters()])


def trainer(config: TrainingConfig, folder: Path, run: Path) -> Trainer:
    return Trainer(config, sampler_for(config, folder), run, validation={"own": folder})


@pytest.mark.parametrize(("judge", "conv"), [(UNET, "down.1"), (FEATURES, "heads.conv2_2.first")])
def test_two_networks_train_and_resume_bit_for_bit(
    config: TrainingConfig, folder: Path, tmp_path: Path, judge: list[str], conv: str
) -> None:
    config = config.with_settings(judge)
    seen: list[Progress] = []
    whole = trainer(config, folder, tmp_path / "whole")
    before = {name: vector(module) for name, module in whole.state.modules.items()}
    assert whole.train(seen.append)
    for name, module in whole.state.modules.items():
        assert not torch.equal(vector(module), before[name])
    figures = seen[-1].figures
    terms = {"l1", "perceptual", "adversarial", "ldl", "colour", "grid"}
    judged = {f"discriminator_{name}" for name in ("loss", "real", "fake")}
    assert set(figures) == {"loss"} | terms | judged
    assert figures["loss"] == pytest.approx(sum(figures[name] for name in terms), rel=1e-5)
    resumed = trainer(config, folder, tmp_path / "resumed")
    resumed.state.load(tmp_path / "whole" / "iter_0000004.safetensors")
    assert resumed.train()
    expected, result = (
        load_file(tmp_path / run / "iter_0000008.safetensors") for run in ("whole", "resumed")
    )
    assert expected.keys() == result.keys()
    assert all(torch.equal(value, result[key]) for key, value in expected.items())
    for key in (f"module.discriminator.{conv}.u", f"optimizer.discriminator.{conv}.weight.exp_avg"):
        assert f"training.{key}" in expected
    best = load_network(tmp_path / "whole" / "best.safetensors")
    assert best.config == config.network
    assert torch.equal(vector(best), vector(whole.state.ema))  # the newest, whatever PSNR says
    assert (tmp_path / "whole" / "samples" / "own-0000008.png").is_file()


@pytest.mark.parametrize("judge", [UNET, FEATURES])
def test_micro_batches_are_one_step(
    config: TrainingConfig, folder: Path, tmp_path: Path, judge: list[str]
) -> None:
    """Spectral norms too, whose power iterations must not count them; LDL jumps where errors are equal."""
    config = config.with_settings([*judge, "iterations=3", "objective.ldl=0"])
    figures, weights = [], []
    for accumulation in (1, 2, 4):
        seen: list[Progress] = []
        parts = trainer(
            config.replace({"accumulation": accumulation}), folder, tmp_path / str(accumulation)
        )
        parts.train(seen.append)
        figures.append([progress.figures for progress in seen])
        weights.append(parts.state.modules["discriminator"].state_dict())
    for other in figures[1:]:
        for one, same in zip(figures[0], other, strict=True):
            assert same == pytest.approx(one, rel=1e-3, abs=1e-6)
    for state in weights[1:]:
        for name, value in weights[0].items():
            torch.testing.assert_close(state[name], value, rtol=0, atol=1e-3, msg=name)


def test_one_stage_can_go_on_from_the_other_but_not_resume_it(
    config: TrainingConfig, folder: Path, tmp_path: Path
) -> None:
    trainer(config.replace({"iterations": 4}), folder, tmp_path / "run").train()
    one = recipe("esc-real-light-x2").with_settings([*REAL, "start=none"])
    with pytest.raises(CheckpointError, match="optimisers are not the recipe's"):
        trainer(one, folder, tmp_path / "one").state.load(tmp_path / "run" / "iter_0000004.safetensors")


@pytest.mark.slow
def test_killed_and_resumed_by_the_command(config: TrainingConfig, folder: Path, tmp_path: Path) -> None:
    """As `test_kill` does for one network: the same files, whatever happened between."""
    objective = config.objective
    assert isinstance(objective, RealSettings)
    settings = [
        *GAN,
        "iterations=8",
        f"objective.perceptual.network={objective.perceptual.network}",
    ]
    base = [sys.executable, "-m", "escsr", "train", "--recipe", "esc-real-light-gan-x2", "--device", "cpu"]
    base += ["--data", str(folder), *(part for setting in settings for part in ("--set", setting))]
    base += ["--start", str(tmp_path / "start.safetensors")]
    plain = recipe("esc-real-light-x2").with_settings([*REAL, "start=none", "iterations=1"])
    trainer(plain, folder, tmp_path / "start").train()
    (tmp_path / "start" / "best.safetensors").rename(tmp_path / "start.safetensors")
    for run, kills in (("whole", False), ("run", True)):
        command = [*base, "--output", str(tmp_path / run)]
        if kills:
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                process.stdout.readline()  # the first checkpoint
                process.kill()
        subprocess.run(command, check=True, capture_output=True)
    whole, run_ = (load_file(tmp_path / run / "iter_0000008.safetensors") for run in ("whole", "run"))
    assert whole.keys() == run_.keys()
    assert all(torch.equal(value, run_[key]) for key, value in whole.items())


def test_layers_too_small_to_judge(config: TrainingConfig, folder: Path, tmp_path: Path) -> None:
    layers = 'objective.perceptual.layers={"conv2_2":1}'
    small = config.with_settings(
        [*FEATURES, layers, "patch_size=5", "objective.shift=false", "objective.grid=0"]
    )
    trainer(small, folder, tmp_path / "enough")
    with pytest.raises(ConfigError, match=r"4 pixels or more a side, and conv2_2 has 3"):
        trainer(small.replace({"patch_size": 3}), folder, tmp_path / "small")


@pytest.mark.parametrize("num_shards", [2, 4])
def test_shards_are_of_one_batch(config: TrainingConfig, folder: Path, num_shards: int) -> None:
    chosen = objective_for(config, sampler_for(config, folder))
    whole = chosen.draw(7)
    drawn = [chosen.draw(7, shard, num_shards) for shard in range(num_shards)]
    for name, tensor in whole.items():
        assert torch.equal(torch.cat([shard[name] for shard in drawn]), tensor)
    assert not torch.equal(chosen.draw(8)["lr"], whole["lr"])


def test_targets_are_sharpened_where_the_degradation_says_so(config: TrainingConfig, folder: Path) -> None:
    batch = objective_for(config, sampler_for(config, folder)).draw(3)
    assert (batch["target"] - batch["hr"]).abs().max() > 0.02
    plain = config.with_settings(["objective.degradation.sharpen_target=false"])
    assert "target" not in objective_for(plain, sampler_for(plain, folder)).draw(3)


def test_patches_of_a_sampler_lie_within_pictures(folder: Path) -> None:
    sampler = DegradedSampler.from_folder(
        folder, scale=2, patch_size=16, degradation=PRESETS["bicubic"], margin=2
    )
    batch = sampler.batch(0, 0, 8, 16)
    assert batch.lr.shape == (8, 3, 16, 16)
    assert batch.hr.shape == batch.target.shape == (8, 3, 32, 32)
    small = F.avg_pool2d(batch.hr, 2)
    assert (small - batch.lr).abs().mean() < 0.02  # LR belongs to HR, pixel by pixel
    with pytest.raises(DataError, match="sides of 136"):
        sampler.batch(0, 0, 8, 64)


def test_what_does_not_fit(config: TrainingConfig, folder: Path, tmp_path: Path) -> None:
    pairs = PatchSampler.from_folder(folder, scale=2, patch_size=16)
    with pytest.raises(ConfigError, match="DegradedSampler"):
        objective_for(config, pairs)
    odd = config.replace({"patch_size": 18})
    sampler = sampler_for(odd, folder)
    with pytest.raises(ConfigError, match="multiples of 8, not 36"):
        objective_for(odd, sampler)
    with pytest.raises(ConfigError, match="do not give LR"):
        sampler_for(config, folder, lr=folder)
    missing = config.replace({"objective.perceptual.network": str(tmp_path / "none.pth")})
    with pytest.raises(CheckpointError, match=r"none\.pth.*accepted are VGG16 or VGG19"):
        objective_for(missing, sampler)


def test_adversarial_losses() -> None:
    real, fake = torch.randn(2, 1, 5, 6), torch.randn(2, 1, 5, 6)
    entropy = F.binary_cross_entropy_with_logits
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    torch.testing.assert_close(losses.generator_loss("vanilla", fake), entropy(fake, ones))
    torch.testing.assert_close(
        losses.discriminator_loss("vanilla", real, fake), entropy(real, ones) + entropy(fake, zeros)
    )
    assert losses.discriminator_loss("hinge", ones * 2, -ones * 2) == 0
    assert losses.discriminator_loss("hinge", ones, ones) == 2
    assert losses.generator_loss("hinge", ones * 3) == -3
    own = entropy(real - fake, ones) + 1e-3 * ((real + fake) / 2).square().mean()
    torch.testing.assert_close(losses.discriminator_loss("relativistic", real, fake), own)
    torch.testing.assert_close(
        losses.generator_loss("relativistic", real, fake), entropy(fake - real, ones)
    )


def test_perceptual_losses() -> None:
    one, two = torch.rand(2, 8, 5, 6), torch.rand(2, 8, 5, 6)
    by_l1 = losses.perceptual_loss("l1", {"a": one, "b": two}, {"a": two, "b": two}, {"a": 0.3, "b": 1})
    torch.testing.assert_close(by_l1, 0.3 * (one - two).abs().mean())
    cosines = F.cosine_similarity(one, two, dim=1)
    own = losses.perceptual_loss("normalized", {"a": one}, {"a": 3 * two}, {"a": 0.5})
    torch.testing.assert_close(own, 0.5 * (2 - 2 * cosines).mean())  # however long the features are


def test_artefacts_count_where_errors_are_restless_and_new() -> None:
    target = torch.zeros(2, 3, 24, 24)
    result = target.clone()
    result[:, :, 8:16, 8:16] = torch.rand(2, 3, 8, 8)
    weights = losses.artefact_weights(result, target, target)
    error = result.abs().sum(1)
    window = F.unfold(F.pad(error[:, None], [3] * 4, mode="reflect"), 7).var(1).reshape(2, 24, 24)
    expected = window * error.flatten(1).var(1)[:, None, None] ** 0.2
    torch.testing.assert_close(weights[:, 0], expected, rtol=1e-3, atol=1e-5)
    assert losses.artefact_weights(target, result, target).max() == 0
    assert weights[:, 0, 0, 0].max() == 0


def test_psnr_is_a_mean_over_samples() -> None:
    hr = torch.rand(2, 3, 16, 16)
    result = hr + torch.tensor([0.1, 0.02])[:, None, None, None]
    expected = [10 * math.log10(error + 1e-4) for error in (0.1**2, 0.02**2)]  # the floor is at 40 dB
    assert losses.psnr_loss(result, hr) == pytest.approx(sum(expected) / 2, abs=1e-3)
    assert losses.psnr_loss(hr, hr) == pytest.approx(-40, abs=1e-3)


def test_a_stage_may_be_measured_by_psnr_alone(
    config: TrainingConfig, folder: Path, tmp_path: Path
) -> None:
    one = recipe("esc-real-light-x2").with_settings(
        [*REAL, "start=none", "iterations=1", "objective.l1=0", "objective.psnr=0.003"]
    )
    seen: list[Progress] = []
    assert trainer(one, folder, tmp_path / "run").train(seen.append)
    assert set(seen[-1].figures) == {"loss", "psnr"}
    assert -0.003 * 40 < seen[-1].figures["loss"] < -0.003 * 5


def test_colours_count_and_detail_does_not() -> None:
    hr = torch.rand(1, 3, 16, 16)
    checks = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1
    assert losses.colour_loss(hr + 0.1 * checks, hr, 4) < 1e-6
    assert losses.colour_loss(hr + 0.1, hr, 4) == pytest.approx(0.1, abs=1e-6)


def test_shifts_come_at_every_offset(config: TrainingConfig, folder: Path) -> None:
    objective = objective_for(config, sampler_for(config, folder))
    assert isinstance(objective, RealObjective)
    images = torch.arange(32 * 32.0).reshape(1, 1, 32, 32)
    corners = set()
    for iteration in range(64):
        seen = objective._shifted(images, iteration)
        assert seen.shape[-2:] == (24, 24)
        top, left = divmod(int(seen[0, 0, 0, 0]), 32)
        torch.testing.assert_close(seen, images[..., top : top + 24, left : left + 24])
        corners.add((top, left))
    assert corners == {(top, left) for top in range(8) for left in range(8)}


def test_grids_count_and_texture_hardly_does() -> None:
    hr = torch.rand(1, 3, 48, 48)
    texture = 0.1 * (torch.rand(1, 3, 48, 48) * 2 - 1)
    grid = 0.1 * (torch.arange(48) % 4 // 2 * 2.0 - 1)
    assert losses.grid_loss(hr + grid, hr, 4) == pytest.approx(0.1, abs=1e-6)
    assert losses.grid_loss(hr + texture, hr, 4) < 0.015
    assert losses.grid_loss(hr, hr, 4) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (NO_LOSS, "weight of a loss"),
        (["patch_size=8"], "shift takes 8 pixels off HR patches, too many of 16"),
        (["patch_size=4", "objective.shift=false"], "grid takes patches of at least 5 LR pixels"),
        (["patch_size=7"], "multiples of 8, not 14"),
        (
            [*FEATURES, "objective.perceptual.network=none"],
            "sees images by the perceptual network, and there",
        ),
    ],
)
def test_what_a_loss_cannot_take(
    config: TrainingConfig, folder: Path, settings: list[str], message: str
) -> None:
    smaller = config.with_settings(settings)
    with pytest.raises(ConfigError, match=message):
        objective_for(smaller, sampler_for(smaller, folder))
