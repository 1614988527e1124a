from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import TINY, newest_in, write_pictures

import escsr
from escsr import images
from escsr.data.arbitrary_scale_sampler import ArbitraryScaleSampler
from escsr.data.patch_sampler import PatchSampler
from escsr.errors import CheckpointError, ConfigError, EscError
from escsr.images import Picture
from escsr.models.checkpoints import read_checkpoint
from escsr.runtime import devices
from escsr.training.config import TrainingConfig
from escsr.training.objectives import Batch, Objective
from escsr.training.recipes import recipe
from escsr.training.records import latest_checkpoint
from escsr.training.state import TrainingState
from escsr.training.trainer import Progress, Trainer


def tiny(*settings: str) -> TrainingConfig:
    return recipe("esc-light-x2-quick").with_settings([*TINY, *settings])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "hr")


def sampler_of(folder: Path) -> PatchSampler:
    return PatchSampler.from_folder(folder, scale=2, patch_size=16)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_resumed_run_equals_an_uninterrupted_one(folder: Path, tmp_path: Path, optimizer: str) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    config = tiny("iterations=8", f"optimizer={optimizer}")
    Trainer(config, sampler_of(folder), whole, validation={"own": folder}).train()

    def stop(progress: Progress) -> None:
        if progress.iteration == 6:
            raise KeyboardInterrupt

    first = Trainer(config, sampler_of(folder), halves, validation={"own": folder})
    with pytest.raises(KeyboardInterrupt):
        first.train(stop)
    second = Trainer(config, sampler_of(folder), halves, validation={"own": folder})
    newest = latest_checkpoint(halves)
    assert newest is not None
    second.state.load(newest)
    assert second.state.iteration == 4
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
    Trainer(tiny("iterations=20", "keep_checkpoints=3"), sampler_of(folder), tmp_path / "run").train()
    kept = sorted(path.name for path in (tmp_path / "run").glob("iter_*"))
    assert kept == [f"iter_{n:07d}.safetensors" for n in (12, 16, 20)]


def test_a_torn_checkpoint_is_passed_over(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    Trainer(tiny("iterations=8"), sampler_of(folder), run).train()
    newest = run / "iter_0000008.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    assert newest_in(run) == run / "iter_0000004.safetensors"
    assert newest_in(tmp_path / "nowhere") is None


def test_starting_from_a_model_of_another_scale(folder: Path, tmp_path: Path) -> None:
    config = tiny("iterations=4")
    Trainer(config, sampler_of(folder), tmp_path / "x2").train()
    start = read_checkpoint(tmp_path / "x2" / "iter_0000004.safetensors")
    config = tiny("iterations=4", "network.scale=3")
    sampler = PatchSampler.from_folder(folder, scale=3, patch_size=16)
    trainer = Trainer(config, sampler, tmp_path / "x3", start=start)
    body = start.weights["blocks.0.attention.qkv.weight"]
    assert torch.equal(trainer.state.network.state_dict()["blocks.0.attention.qkv.weight"], body)
    with pytest.raises(ConfigError, match="another network"):
        Trainer(tiny("network.dim=32"), sampler_of(folder), tmp_path / "b", start=start)
    with pytest.raises(ConfigError, match="recipe is for ×3"):
        Trainer(config, sampler_of(folder), tmp_path / "c")


def test_what_cannot_be_resumed(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    Trainer(tiny("iterations=4"), sampler_of(folder), run, validation={"own": folder}).train()
    with pytest.raises(CheckpointError, match="without training state"):
        Trainer(tiny("iterations=4"), sampler_of(folder), run).state.load(run / "best.safetensors")
    other = Trainer(tiny("iterations=4", "network.num_blocks=2"), sampler_of(folder), run)
    with pytest.raises(CheckpointError, match=r"not this training's \(num_blocks 1 there, 2 here\)"):
        other.state.load(run / "iter_0000004.safetensors")


class Spoilt(PatchSampler):
    """A sampler whose batches are broken from a step on."""

    broken: frozenset[int] = frozenset()

    def batch(
        self, seed: int, iteration: int, *sizes: int, **part: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        lr, hr = super().batch(seed, iteration, *sizes, **part)
        return (lr * float("nan") if iteration + 1 in self.broken else lr), hr


def spoilt(folder: Path, *broken: int) -> Spoilt:
    sampler = sampler_of(folder)
    spoilt = Spoilt(sampler.lr, sampler.hr, 2)
    spoilt.broken = frozenset(broken)
    return spoilt


def test_a_step_without_finite_numbers_is_left_out(folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(tiny("iterations=6", "patience=3"), spoilt(folder, 3, 4), tmp_path / "run")
    weights = []
    seen: list[Progress] = []

    def note(progress: Progress) -> None:
        seen.append(progress)
        weights.append(trainer.state.network.last.weight.detach().clone())

    assert trainer.train(note)
    assert [progress.skipped for progress in seen] == [False, False, True, True, False, False]
    assert torch.equal(weights[1], weights[3])
    assert not torch.equal(weights[3], weights[4])
    assert all(weight.isfinite().all() for weight in weights)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines if line.get("skipped")] == [3, 4]


def test_many_such_steps_end_the_run_at_its_last_good_state(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    trainer = Trainer(tiny("iterations=20", "patience=3"), spoilt(folder, 2, *range(6, 20)), run)
    with pytest.raises(EscError, match=r"to step 8, .*iter_0000004.*lower learning_rate"):
        trainer.train()
    assert trainer.state.iteration == 4
    saved = load_file(run / "bad-batch-0000008-0.safetensors")
    assert saved["0.lr"].isnan().all()
    assert torch.equal(saved["0.hr"], sampler_of(folder).batch(0, 7, 4, 16)[1])
    good = Trainer(tiny("iterations=20", "patience=3"), sampler_of(folder), run)
    good.state.load(run / "iter_0000004.safetensors")
    assert torch.equal(good.state.network.last.weight, trainer.state.network.last.weight)
    assert good.train()


def test_nothing_is_saved_or_measured_while_steps_are_bad(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = tiny("iterations=7", "patience=4", "keep_checkpoints=9", "validate_every=2")
    trainer = Trainer(config, spoilt(folder, 3, 4, 7), run, validation={"own": folder})
    seen: list[Progress] = []
    assert trainer.train(seen.append)
    assert [each.iteration for each in seen if each.checkpoint] == [2, 5, 6, 7], "4 is made up for by 5"
    assert [each.iteration for each in seen if each.validation] == [2, 5, 6, 7]
    assert [int(path.stem[5:]) for path in sorted(run.glob("iter_*"))] == [2, 5, 6, 7]


def test_no_best_model_without_a_good_step(folder: Path, tmp_path: Path) -> None:
    for name, settings in (("measured", {"validation": {"own": folder}}), ("not", {})):
        config = tiny("iterations=4", "patience=5", "validate_every=2")
        assert Trainer(config, spoilt(folder, 1, 2, 3, 4), tmp_path / name, **settings).train()  # type: ignore[arg-type]
        assert not (tmp_path / name / "best.safetensors").exists()
        assert (tmp_path / name / "iter_0000004.safetensors").exists(), "the run is over"


def test_the_way_on_after_bad_steps_is_accepted(folder: Path, tmp_path: Path) -> None:
    run, stop, config = tmp_path / "run", threading.Event(), tiny("iterations=20", "patience=3")
    sampler = spoilt(folder, *range(6, 20))
    trainer = Trainer(config, sampler, run)
    assert not trainer.train(lambda each: stop.set() if each.iteration == 6 else None, stop=stop)
    newest = newest_in(run)
    assert newest == run / "iter_0000007.safetensors"
    second = Trainer(config, sampler, run)
    second.state.load(newest)
    good = run / "iter_0000004.safetensors"
    with pytest.raises(EscError, match=rf"another folder from the model before them \(start={good}\)"):
        second.train()
    assert second.state.iteration == 4
    settings = [*TINY, "iterations=2", "learning_rate=0.001"]
    assert escsr.train("esc-light-x2-quick", folder, tmp_path / "on", settings=settings, start=good)


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def test_training_leaves_the_callers_generators_as_they_are(
    folder: Path, tmp_path: Path, device: str
) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3), torch.rand(3, device=device)
    torch.manual_seed(1)
    settings = [*TINY, "iterations=2"]
    escsr.train("esc-light-x2-quick", folder, tmp_path / "run", settings=settings, device=device)
    torch.testing.assert_close((torch.rand(3), torch.rand(3, device=device)), expected, rtol=0, atol=0)


@pytest.mark.parametrize("ramp", ["true", "false"])
def test_averaged_weights(folder: Path, tmp_path: Path, ramp: str) -> None:
    """The average of the weights after each step, by its definition."""
    trainer = Trainer(
        tiny("iterations=15", "ema_decay=0.6", f"ema_ramp={ramp}"), sampler_of(folder), tmp_path
    )
    expected = trainer.state.network.last.weight.detach().clone()

    def follow(progress: Progress) -> None:
        nonlocal expected
        i = progress.iteration
        decay = min(0.6, i / (i + 9)) if ramp == "true" else 0.6
        expected = decay * expected + (1 - decay) * trainer.state.network.last.weight.detach()

    trainer.train(follow)
    torch.testing.assert_close(trainer.state.ema.last.weight, expected)


def test_a_batch_in_parts_gives_the_same_step(folder: Path, tmp_path: Path) -> None:
    weights = []
    for parts in (1, 2, 4):
        config = tiny("iterations=3", f"accumulation={parts}", "precision=float32", "optimizer=adamw")
        trainer = Trainer(config, sampler_of(folder), tmp_path / str(parts))
        trainer.train()
        weights.append(trainer.state.network.last.weight)
    torch.testing.assert_close(weights[1], weights[0], atol=2e-5, rtol=0)
    torch.testing.assert_close(weights[2], weights[0], atol=2e-5, rtol=0)
    with pytest.raises(ConfigError, match="must be a multiple of accumulation"):
        Trainer(tiny("accumulation=3"), sampler_of(folder), tmp_path / "3").train()


def test_float16_scales_the_loss_and_resumes_with_its_factor(folder: Path, tmp_path: Path) -> None:
    config = tiny("iterations=8", "precision=float16")
    trainer = Trainer(config, sampler_of(folder), tmp_path / "whole")
    scaler = trainer.state.scalers["network"]
    scaler.load_state_dict({**scaler.state_dict(), "scale": 2.0**24})  # overflows at first
    seen: list[Progress] = []
    trainer.train(seen.append)
    assert seen[0].skipped
    assert not seen[-1].skipped
    assert scaler.get_scale() < 2.0**24
    again = Trainer(config, sampler_of(folder), tmp_path / "again")
    again.state.load(tmp_path / "whole" / "iter_0000004.safetensors")
    again.train()
    assert again.state.scalers["network"].state_dict() == scaler.state_dict()
    assert torch.equal(again.state.network.last.weight, trainer.state.network.last.weight)


class Hopeless(Objective):
    """A finite loss whose gradient is none."""

    def draw(self, iteration: int, shard: int = 0, num_shards: int = 1) -> Batch:
        return {"lr": torch.rand(1, 3, 16, 16)}

    def step(self, state: TrainingState, micro_batches: Sequence[Batch]) -> Mapping[str, float]:
        def loss(batch: Batch) -> dict[str, torch.Tensor]:
            return {"loss": (state.network(batch["lr"]).float() * 0).square().sum().sqrt()}

        return state.update("network", loss, micro_batches)


def test_overflow_is_excused_only_while_the_factor_can_fall(folder: Path, tmp_path: Path) -> None:
    config = tiny("iterations=100", "patience=3", "precision=float16")
    trainer = Trainer(config, sampler_of(folder), tmp_path / "run", objective=Hopeless())
    with pytest.raises(EscError, match="3 steps in a row, to step 19"):
        trainer.train()


def test_stopping_leaves_a_checkpoint_to_go_on_from(folder: Path, tmp_path: Path) -> None:
    config, stop = tiny("iterations=8"), threading.Event()
    Trainer(config, sampler_of(folder), tmp_path / "whole").train()
    trainer = Trainer(config, sampler_of(folder), tmp_path / "run")
    assert not trainer.train(lambda progress: stop.set() if progress.iteration == 5 else None, stop=stop)
    newest = newest_in(tmp_path / "run")
    assert newest == tmp_path / "run" / "iter_0000006.safetensors"
    second = Trainer(config, sampler_of(folder), tmp_path / "run")
    second.state.load(newest)
    assert second.train()
    whole, run = (load_file(tmp_path / name / "iter_0000008.safetensors") for name in ("whole", "run"))
    assert all(torch.equal(value, run[key]) for key, value in whole.items())


def test_a_folder_of_another_recipe_is_refused(folder: Path, tmp_path: Path) -> None:
    Trainer(tiny("iterations=4"), sampler_of(folder), tmp_path / "run").train()
    with pytest.raises(ConfigError, match=r"learning_rate was 0\.002, now 0\.1"):
        Trainer(tiny("iterations=4", "learning_rate=0.1"), sampler_of(folder), tmp_path / "run").train()
    Trainer(tiny("iterations=4", "keep_checkpoints=9"), sampler_of(folder), tmp_path / "run").train()
    fewer = sampler_of(folder)
    fewer = PatchSampler(fewer.lr[:2], fewer.hr[:2], 2)
    with pytest.raises(ConfigError, match=r"on other images \(data was '\w{16}', now '\w{16}'\)"):
        Trainer(tiny("iterations=4"), fewer, tmp_path / "run").train()


def test_a_run_without_a_checkpoint_binds_nobody(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        Trainer(tiny("iterations=4"), sampler_of(folder), tmp_path / "run").train(interrupt)
    assert (tmp_path / "run" / "recipe.json").exists()
    assert Trainer(tiny("iterations=4", "batch_size=6"), sampler_of(folder), tmp_path / "run").train()


def interrupt(_: Progress) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("inside", ["hr", "lr", "validation"])
def test_a_run_among_its_own_pictures_is_refused(folder: Path, tmp_path: Path, inside: str) -> None:
    """Its sample pictures would be some of them as soon as it is continued."""
    output = tmp_path / inside / "runs" / "one"
    with pytest.raises(ConfigError, match=rf"runs/one lies within {tmp_path / inside}, whose pictures"):
        escsr.train(
            "esc-light-x2-quick",
            [folder],
            output,
            settings=TINY,
            lr=[tmp_path / "lr"],
            validate={"own": tmp_path / "validation"},
            device="cpu",
        )
    assert not output.exists()
    link = tmp_path / "link"
    link.symlink_to(folder, target_is_directory=True)
    with pytest.raises(ConfigError, match="link/run lies within"):
        escsr.train("esc-light-x2-quick", folder, link / "run", settings=TINY, device="cpu")


def test_a_blank_page_does_not_decide_which_model_is_best(folder: Path, tmp_path: Path) -> None:
    """Any model gets it without an error, and infinity for it."""
    images.write(Picture(np.full((40, 40, 3), 255, np.uint8)), tmp_path / "set" / "blank.png")
    images.write(images.read(folder / "0.png"), tmp_path / "set" / "other.png")
    run = tmp_path / "run"
    settings = ["iterations=1", "batch_size=4", "optimizer.learning_rate=1e-9", "start=esc-light-x2"]
    sets = {"own": tmp_path / "set"}
    escsr.train("esc-light-x2-quick", folder, run, settings=settings, validate=sets, device="cpu")
    (line,) = (json.loads(line) for line in (run / "log.jsonl").read_text().splitlines())
    assert 60 < line["validation"]["own"] < 80, "the mean of 100 dB and of the other picture's"


def stop_at(stop: threading.Event, iteration: int, progress: Progress) -> None:
    if progress.iteration == iteration:
        stop.set()


def test_another_validation_set_begins_another_competition(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = images.read(folder / "0.png").pixels
    noise = np.random.default_rng(0).integers(0, 256, pixels.shape, np.uint8)
    images.write(Picture(noise), tmp_path / "hard" / "noise.png")
    run = tmp_path / "run"
    seen: list[tuple[float, bytes]] = []
    for iterations, name, path in ((4, "own", folder), (8, "hard", tmp_path / "hard")):
        trainer = Trainer(
            tiny("iterations=8", "learning_rate=1e-3"), sampler_of(folder), run, validation={name: path}
        )
        if newest := latest_checkpoint(run):
            trainer.state.load(newest)
        stop = threading.Event()
        trainer.train(partial(stop_at, stop, iterations), stop=stop)
        seen.append((trainer.state.best, (run / "best.safetensors").read_bytes()))
    assert seen[1][0] < seen[0][0], "noise is harder, and yet"
    assert seen[1][1] != seen[0][1], "the best by it was kept"
    assert "Other validation sets than before" in caplog.text


def test_without_validation_the_best_that_was_measured_stays(folder: Path, tmp_path: Path) -> None:
    """Nobody knows whether another is better; until something is measured, the newest is the best."""
    run, best = tmp_path / "run", []
    for iterations, validation in ((4, {}), (8, {"own": folder}), (12, {})):
        trainer = Trainer(tiny("iterations=12"), sampler_of(folder), run, validation=validation)
        if newest := latest_checkpoint(run):
            trainer.state.load(newest)
        stop = threading.Event()
        trainer.train(partial(stop_at, stop, iterations - 1), stop=stop)
        assert trainer.state.iteration == iterations
        best.append(read_checkpoint(run / "best.safetensors").metadata["training"])
    assert [text.partition(", ")[2] for text in best] == [
        "4 of 12 iterations",
        "8 of 12 iterations",
        "8 of 12 iterations",
    ]


def test_a_batch_that_cannot_be_shared_out_is_refused_at_once(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size must be a multiple of accumulation"):
        tiny("batch_size=3", "accumulation=2")


def test_the_start_is_a_part_of_the_recipe(folder: Path, tmp_path: Path) -> None:
    settings = [*TINY, "iterations=4", "precision=float32"]
    first = escsr.train("esc-light-x2-quick", folder, tmp_path / "first", settings=settings, device="cpu")
    run = tmp_path / "run"
    escsr.train("esc-light-x2-quick", folder, run, settings=settings, start=first, device="cpu")
    assert json.loads((run / "recipe.json").read_text())["start"] == str(first)
    with pytest.raises(ConfigError, match="start was"):
        escsr.train("esc-light-x2-quick", folder, run, settings=settings, start="esc-x2", device="cpu")


def test_lines_beyond_the_checkpoint_are_forgotten(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "run" / "log.jsonl"
    config = tiny("iterations=8")
    Trainer(config, sampler_of(folder), tmp_path / "run").train()
    log.write_text(log.read_text() + '{"iteration": 12, "los')
    trainer = Trainer(config, sampler_of(folder), tmp_path / "run")
    trainer.state.load(tmp_path / "run" / "iter_0000004.safetensors")
    trainer.train()
    assert [json.loads(line)["iteration"] for line in log.read_text().splitlines()] == [4, 8]


def test_samples_are_shown(folder: Path, tmp_path: Path) -> None:
    config = tiny("iterations=4")
    Trainer(config, sampler_of(folder), tmp_path / "run", validation={"own": folder}).train()
    (strip,) = (tmp_path / "run" / "samples").iterdir()
    assert strip.name == "own-0000004.png"
    pixels = images.read(strip).pixels
    assert pixels.shape == (96, 3 * 128 + 2 * 4, 3)
    assert np.array_equal(pixels[:, -128:], images.read(folder / "0.png").pixels)
    repeated = pixels[:, :128]
    assert np.array_equal(repeated[::2, ::2], repeated[1::2, 1::2])


@pytest.mark.slow
def test_networks_of_any_scale_learn(folder: Path, tmp_path: Path) -> None:
    config = tiny(
        "iterations=60",
        "network.scale=none",
        "network.upsampler=lte",
        "network.shortcut=bilinear",
        "queries=200",
        "validation_scales=[1.5, 2.0]",
        "validate_every=60",
    )
    sampler = ArbitraryScaleSampler.from_folder(folder, patch_size=16)
    seen: list[Progress] = []
    Trainer(config, sampler, tmp_path / "run", validation={"own": folder}).train(seen.append)
    losses = [progress.loss for progress in seen]
    assert np.mean(losses[-20:]) < 0.9 * np.mean(losses[:5])
    assert set(seen[-1].validation) == {"own ×1.5", "own ×2"}
    upscaler = escsr.Upscaler(tmp_path / "run" / "best.safetensors", device="cpu")
    assert upscaler(np.zeros((10, 12, 3), np.uint8), scale=2.5).shape == (25, 30, 3)
    with pytest.raises(ConfigError, match="for any scale"):
        Trainer(config, sampler_of(folder), tmp_path / "b")


@pytest.mark.parametrize(("has_products", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_precision_is_chosen_by_the_processor(
    monkeypatch: pytest.MonkeyPatch, precision: str, *, has_products: bool
) -> None:
    monkeypatch.setattr(devices, "has_bfloat16", lambda: has_products)
    config = recipe("esc-light-x2-quick").replace({"network.dim": 16, "network.attended_dim": 8})
    assert config.precision == "auto"
    assert TrainingState(config, torch.device("cpu")).precision == precision
    asked = config.replace({"precision": "bfloat16"})
    assert TrainingState(asked, torch.device("cpu")).precision == "bfloat16"
