"""What a run writes for Weights & Biases where it is asked for, without any network."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_runs import TINY, tiny_arguments, write_pictures

from commands import escsr_command
from escsr import images
from escsr.errors import ConfigError
from escsr.runtime.extras import install_line
from escsr.training.recipes import recipe
from escsr.training.records import RunFolder

SETTINGS = [*TINY, "precision=float32", "iterations=4", "schedule=steps"]


def train(tmp_path: Path, *more: str, mode: str = "offline") -> subprocess.CompletedProcess[str]:
    data = write_pictures(tmp_path / "hr")
    command = [*escsr_command(), *tiny_arguments(data, tmp_path / "run", SETTINGS), *more]
    apart = {"WANDB_MODE": mode, "HOME": str(tmp_path), "NETRC": str(tmp_path / "none")}
    env = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")} | apart
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=tmp_path)


@pytest.mark.slow
def test_figures_and_pictures(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="requires wandb")
    done = train(tmp_path, "--wandb")
    assert done.returncode == 0, done.stderr
    (record,) = (tmp_path / "run").glob("wandb/offline-run-*/run-*.wandb")
    content = record.read_bytes()
    own = tmp_path.name.encode()  # as the parent of a folder "hr" is called
    for name in (b"loss", b"learning_rate", b"validation/" + own, b"samples/" + own, b"optimizer"):
        assert name in content
    (shown,) = record.parent.glob("files/media/images/samples/*.png")
    (sample,) = (tmp_path / "run" / "samples").iterdir()
    assert np.array_equal(images.read(shown).colour, images.read(sample).colour)
    number = (tmp_path / "run" / "wandb-id.txt").read_text().strip()
    assert record.name == f"run-{number}.wandb"


@pytest.mark.slow
def test_off_by_default_and_a_clear_line_without_a_login(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="requires wandb")
    refused = train(tmp_path, "--wandb", mode="online")
    assert refused.returncode == 2
    assert "Run `wandb login`, or set WANDB_MODE=offline" in refused.stderr
    assert "Traceback" not in refused.stderr
    done = train(tmp_path)
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "run").glob("wandb*"))


def test_a_missing_login_is_told_before_pictures_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Error(Exception): ...

    def login() -> None:
        raise Error("No API key configured.")

    found = SimpleNamespace(login=login, errors=SimpleNamespace(Error=Error))
    monkeypatch.setitem(sys.modules, "wandb", found)
    monkeypatch.setattr("escsr.training.records.check_wandb", lambda: None)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    folder, config = RunFolder(tmp_path / "run", wandb=True), recipe("esc-light-x2-quick")
    with pytest.raises(ConfigError, match=r"cannot start \(No API key configured\.\)\. Run `wandb login`"):
        folder.check(config)
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder.check(config)


def test_without_the_package_the_install_line_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError) as refused:
        RunFolder(tmp_path, wandb=True)
    assert install_line("wandb") in str(refused.value)
