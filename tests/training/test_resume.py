"""What a run folder can suffer: damage is named, never passed over in silence, and never a traceback."""

from __future__ import annotations

import errno
import json
import logging
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_runs import TINY, newest_in, write_pictures
from torch import nn

import escsr
from escsr import images
from escsr.data.patch_sampler import PatchSampler
from escsr.errors import CheckpointError, ConfigError, DataError, OutputError
from escsr.images import Picture
from escsr.models.bundled import find_model
from escsr.models.checkpoints import load_network
from escsr.models.saving import save_network
from escsr.training import limits, resumable
from escsr.training.config import TrainingConfig
from escsr.training.recipes import recipe
from escsr.training.records import RunFolder
from escsr.training.trainer import Progress, Trainer
from escsr.training.validation import Validation
from samples import small_network

SETTINGS = [*TINY, "iterations=8"]
LAST = "iter_0000008.safetensors"


def config_of(*settings: str) -> TrainingConfig:
    return recipe("esc-light-x2-quick").with_settings([*SETTINGS, *settings])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "hr")


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> PatchSampler:
    folder = write_pictures(tmp_path_factory.mktemp("pictures") / "hr")
    return PatchSampler.from_folder(folder, scale=2, patch_size=16)


@pytest.fixture(scope="module")
def trained(sampler: PatchSampler, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    Trainer(config_of(), sampler, folder).train()
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A finished training, to be damaged."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def rewrite(path: Path, change: Any) -> None:
    """Writes a checkpoint again as a sound file, with other tensors or texts."""
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    change(tensors, metadata)
    save_file(tensors, path, metadata=metadata)


def add_half(tensors: dict[str, torch.Tensor], _: Any) -> None:
    tensors["last.weight"][0, 0, 0, 0] += 0.5


def drop_optimiser(tensors: dict[str, torch.Tensor], _: Any) -> None:
    for key in [key for key in tensors if "optimizer" in key]:
        del tensors[key]


def turn_shape(tensors: dict[str, torch.Tensor], _: Any) -> None:
    key = "training.module.network.last.weight"
    tensors[key] = tensors[key].transpose(0, 1).contiguous()


def spoil_counters(_: Any, metadata: dict[str, str]) -> None:
    state = json.loads(metadata["training.state"])
    metadata["training.state"] = json.dumps({**state, "iteration": "abc"})


@pytest.mark.parametrize("change", [add_half, drop_optimiser, turn_shape, spoil_counters])
def test_a_changed_checkpoint_is_passed_over_aloud(
    run: Path, sampler: PatchSampler, change: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rewrite(run / LAST, change)
    with pytest.raises(CheckpointError, match="checksum"):
        Trainer(config_of(), sampler, run).state.load(run / LAST)
    with caplog.at_level(logging.WARNING):
        assert newest_in(run) == run / "iter_0000004.safetensors"
    assert "iter_0000008" in caplog.text
    load_network(run / "iter_0000004.safetensors")


def test_a_checkpoint_is_read_once_to_go_on(
    run: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run / LAST).unlink()
    read, untouched = [], resumable._read

    def noting(path: Path) -> resumable.SavedTraining:
        read.append(path.name)
        return untouched(path)

    monkeypatch.setattr(resumable, "_read", noting)
    last = escsr.train("esc-light-x2-quick", folder, run, settings=SETTINGS, device="cpu")
    assert last == run / LAST
    assert read == ["iter_0000004.safetensors"]


def test_checkpoints_are_sorted_by_their_steps(run: Path) -> None:
    """From step 10,000,000 on names have 8 digits, and sort as text before those of 7."""
    good, names = (run / LAST).read_bytes(), ("iter_9999996", "iter_10000000", "iter_10000004")
    for name in names:
        (run / f"{name}.safetensors").write_bytes(good)
    assert newest_in(run) == run / "iter_10000004.safetensors"
    assert newest_in(run, until=10_000_000) == run / "iter_10000000.safetensors"
    (run / "best.safetensors").unlink()
    assert find_model(run) == run / "iter_10000004.safetensors"
    RunFolder(run).remove_old(2, until=10_000_000)
    assert {path.stem for path in run.glob("iter_*")} == set(names)


def test_a_checkpoint_that_cannot_be_removed_yet_waits(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has it open (Windows), or was faster."""
    newest = run / LAST
    copies = [run / f"iter_{iteration:07d}.safetensors" for iteration in (9, 10)]
    for copy in copies:
        copy.write_bytes(newest.read_bytes())

    def refused(path: Path) -> None:
        raise PermissionError(errno.EACCES, "used by another process", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refused)
        RunFolder(run).remove_old(1, until=10)
    assert newest.exists()
    RunFolder(run).remove_old(1, until=10)
    assert sorted(run.glob("iter_*.safetensors")) == copies[1:]


def test_a_damaged_checkpoint_costs_no_good_one(run: Path, sampler: PatchSampler) -> None:
    (run / LAST).write_bytes(b"damaged")
    trainer = Trainer(config_of("keep_checkpoints=1", "validate_every=3"), sampler, run)
    newest = newest_in(run)
    assert newest == run / "iter_0000004.safetensors"
    trainer.state.load(newest)
    stop = threading.Event()
    trainer.train(lambda progress: stop.set(), stop=stop)
    assert newest_in(run) == run / "iter_0000006.safetensors"
    assert not newest.exists()


def test_when_all_checkpoints_are_damaged_nothing_begins_anew(run: Path, folder: Path) -> None:
    for path in run.glob("iter_*"):
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="none of its 2 checkpoints can be resumed"):
        escsr.train("esc-light-x2-quick", folder, run, settings=SETTINGS, device="cpu")


def test_models_that_are_no_training_state(tmp_path: Path, sampler: PatchSampler) -> None:
    state = Trainer(config_of(), sampler, tmp_path / "run").state
    for name, metadata in (("model", {}), ("old", {"training.iteration": "4"})):
        save_network(small_network("esc"), tmp_path / f"{name}.safetensors", metadata=metadata)
    with pytest.raises(CheckpointError, match="a model without training state"):
        state.load(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="an earlier version"):
        state.load(tmp_path / "old.safetensors")


def test_another_optimiser_is_noticed(run: Path, sampler: PatchSampler) -> None:
    with pytest.raises(CheckpointError, match="optimisers are not the recipe's"):
        Trainer(config_of("optimizer.type=adam"), sampler, run).state.load(run / LAST)


@pytest.mark.parametrize("text", [b"{", b"[1]", b"\xff\xfe", b'{"name": 3}', b"[" * 100_000])
def test_a_damaged_recipe_is_named(run: Path, sampler: PatchSampler, text: bytes) -> None:
    (run / "recipe.json").write_bytes(text)
    with pytest.raises(ConfigError, match=r"recipe\.json: unreadable"):
        Trainer(config_of(), sampler, run).train()


def test_a_binary_tail_of_the_log_is_dropped(run: Path, sampler: PatchSampler) -> None:
    log = run / "log.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole + b"\xff\x00\xfe{")
    trainer = Trainer(config_of(), sampler, run)
    trainer.state.load(run / LAST)
    trainer.train()
    assert log.read_bytes() == whole


def test_two_trainings_do_not_write_to_one_folder(run: Path, sampler: PatchSampler) -> None:
    first = RunFolder(run)
    first.begin(config_of(), 8, data=json.loads((run / "recipe.json").read_text())["data"])
    with pytest.raises(ConfigError, match="another training"):
        Trainer(config_of(), sampler, run).train()
    first.close()
    Trainer(config_of(), sampler, run).train()


def test_an_image_too_small_to_validate_on_is_refused_at_the_start(
    folder: Path, sampler: PatchSampler, tmp_path: Path
) -> None:
    small = tmp_path / "small" / "14x40.png"
    pixels = images.read(folder / "0.png").pixels
    images.write(Picture(pixels[:14, :40]), small)
    with pytest.raises(DataError, match=r"14x40\.png: 40×14 .* at ×2 sides of 15"):
        Trainer(config_of(), sampler, tmp_path / "run", validation={"small": small.parent})
    assert not (tmp_path / "run").exists()
    images.write(Picture(pixels[:16, :40]), small)
    trainer = Trainer(config_of(), sampler, tmp_path / "run", validation={"small": small.parent})
    assert trainer.train()


def test_an_image_of_16_bits_to_validate_on_is_refused_at_the_start(
    folder: Path, sampler: PatchSampler, tmp_path: Path
) -> None:
    pixels = images.read(folder / "0.png").pixels
    images.write(Picture(pixels), tmp_path / "set" / "a.png")
    images.write(Picture(pixels.astype(np.uint16) * 257), tmp_path / "set" / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png: .* must have 8 bits, not 16"):
        Trainer(config_of(), sampler, tmp_path / "run", validation={"set": tmp_path / "set"})
    assert not (tmp_path / "run").exists()


def test_what_fails_while_measuring_is_made_up_for(
    folder: Path, sampler: PatchSampler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint is there already; the resumed run measures it and is the same as an unbroken one."""
    validation = {"own": folder}
    Trainer(config_of(), sampler, tmp_path / "whole", validation=validation).train()
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Validation, "measure", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Trainer(config_of(), sampler, run, validation=validation).train()
    resumed = Trainer(config_of(), sampler, run, validation=validation)
    resumed.state.load(run / "iter_0000004.safetensors")
    assert resumed.train()
    lines = [
        [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        for folder in (tmp_path / "whole", run)
    ]
    for whole, again in zip(*lines, strict=True):
        assert [whole[k] for k in ("iteration", "loss", "validation")] == [
            again[k] for k in ("iteration", "loss", "validation")
        ]
    assert (run / "best.safetensors").exists()


def test_a_batch_that_no_memory_holds_is_refused(sampler: PatchSampler, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"batch_size 100000000 .* GiB"):
        Trainer(config_of("batch_size=100000000"), sampler, tmp_path / "run")


def test_memory_counts_of_the_device_too(
    sampler: PatchSampler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "free_device_memory", lambda _: 1000)
    with pytest.raises(ConfigError, match="memory of cpu"):
        Trainer(config_of(), sampler, tmp_path / "run")
    # That of a network of one's own is not known.
    Trainer(config_of(), sampler, tmp_path / "run", network=lambda _: nn.Conv2d(3, 3, 1))


def test_a_full_disk_is_an_output_error(
    sampler: PatchSampler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(OutputError, match=r"log\.jsonl"):
        folder.log({"iteration": 1})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("escsr.models.saving.save_file", full)

    def stop(progress: Progress) -> None:
        assert progress.iteration < 4

    with pytest.raises(OutputError, match="No space left"):
        Trainer(config_of(), sampler, tmp_path / "run").train(stop)
