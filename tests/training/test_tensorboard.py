"""What a run writes for TensorBoard, read back by TensorBoard itself."""

from __future__ import annotations

import importlib.util
import json
import re
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import TINY, write_pictures

import escsr
from escsr import images
from escsr.errors import ConfigError
from escsr.runtime.extras import install_line
from escsr.training.records import RunFolder

pytest.importorskip("tensorboard", reason='needs pip install "escsr[tensorboard]"')
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SETTINGS = [*TINY, "precision=float32"]
SCALARS = {"loss", "learning_rate", "iterations_per_second", "data_share", "validation/own"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "hr")


def train(data: Path, run: Path, iterations: int) -> Path:
    return escsr.train(
        "esc-light-x2-quick",
        data,
        run,
        settings=[*SETTINGS, f"iterations={iterations}", "schedule=steps"],
        validate={"own": data},
        device="cpu",
        tensorboard=True,
    )


def events(run: Path) -> EventAccumulator:
    return EventAccumulator(str(run)).Reload()


def steps(told: EventAccumulator, name: str) -> list[int]:
    return [event.step for event in told.Scalars(name)]


def test_figures_and_pictures(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path, 8)
    told, tags = events(tmp_path), events(tmp_path).Tags()
    assert set(tags["scalars"]) == SCALARS
    assert tags["images"] == ["own"]
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    for name, values in (
        ("loss", [line["loss"] for line in lines]),
        ("learning_rate", [line["learning_rate"] for line in lines]),
        ("validation/own", [line["validation"]["own"] for line in lines]),
    ):
        assert steps(told, name) == [4, 8]
        assert [event.value for event in told.Scalars(name)] == pytest.approx(values, rel=1e-6)
    first, last = told.Images("own")
    assert (first.step, last.step) == (4, 8)
    (tmp_path / "shown.png").write_bytes(last.encoded_image_string)
    shown, sample = (tmp_path / name for name in ("shown.png", "samples/own-0000008.png"))
    assert np.array_equal(images.read(shown).pixels, images.read(sample).pixels)


def test_what_lies_beyond_the_checkpoint_is_purged(data: Path, tmp_path: Path) -> None:
    """As after a kill between the log's line and its checkpoint: each step is told once."""
    train(data, tmp_path, 8)
    (tmp_path / "iter_0000008.safetensors").unlink()
    train(data, tmp_path, 8)
    told = events(tmp_path)
    assert len(list(tmp_path.glob("events.*"))) == 2
    for name in SCALARS:
        assert steps(told, name) == [4, 8], name
    assert [image.step for image in told.Images("own")] == [4, 8]


def test_no_events_unless_asked_for(data: Path, tmp_path: Path) -> None:
    escsr.train("esc-light-x2-quick", data, tmp_path, settings=[*SETTINGS, "iterations=1"], device="cpu")
    assert not list(tmp_path.glob("events.*"))


def test_without_the_package_the_install_line_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def hidden(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "tensorboard" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", hidden)
    with pytest.raises(ConfigError, match=re.escape(install_line("tensorboard"))):
        RunFolder(tmp_path, tensorboard=True)
    RunFolder(tmp_path)
