"""`escsr evaluate` with several models and `escsr models compare`, as a user meets them."""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from escsr import cli, images
from escsr.cli.models import compare as compare_command
from escsr.errors import ConfigError
from escsr.evaluation.bicubic import Bicubic
from escsr.evaluation.comparison import compare
from escsr.images import Picture
from escsr.models.saving import save_network
from samples import flowers, small_network


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pixels = flowers()
    images.write(Picture(pixels[:46, :50]), tmp_path / "in" / "a.png")
    images.write(Picture(pixels[40:80, :50]), tmp_path / "in" / "b.png")
    save_network(small_network("esc"), tmp_path / "fixed.safetensors")
    save_network(small_network("esc-lte"), tmp_path / "any.safetensors")
    # The commands of a test share its process, whose allocator stays as it is.
    monkeypatch.setattr("escsr.runtime.allocator.keep_freed_memory", lambda: False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments, catch_exceptions=False)


def test_several_models_in_one_table(folder: Path) -> None:
    models = ["--model", "bicubic", "--model", "fixed.safetensors", "--model", "any.safetensors"]
    done = run("evaluate", *models, "--data", "in", "--scale", "2", "--protocol", "lte")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert "bicubic, fixed.safetensors, any.safetensors ×2, protocol lte, no padding" in lines[0]
    assert [line.split()[0] for line in lines[-3:]] == ["a", "b", "mean"]
    assert all(len(line.split()) == 4 for line in lines[-3:])
    told = json.loads(run("evaluate", *models, "--data", "in", "--scale", "2", "--json").stdout)
    assert [each["model"] for each in told] == models[1::2]
    assert all({"psnr_y", "ssim_y", "scores"} <= set(each) for each in told)


def test_the_bar_counts_pictures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[object, ...]] = []

    @contextmanager
    def progress(text: str, quiet: bool) -> Iterator[Callable[..., None]]:
        yield lambda *state: told.append(state)

    monkeypatch.setattr("escsr.cli.research.progress", progress)
    run("evaluate", "--model", "bicubic", "--data", "in", "--scale", "2")
    assert told == [(1, 2, "bicubic: a"), (2, 2, "bicubic: b")]


def test_what_was_measured_before_a_failure_is_printed(folder: Path) -> None:
    models = ["--model", "bicubic", "--model", "fixed.safetensors", "--model", "esc-light-x3"]
    options = ["evaluate", *models, "--data", "in", "--scale", "2", "--json"]
    done = CliRunner().invoke(cli.app, options)
    assert isinstance(done.exception, ConfigError)
    assert "upscales by 3, not by 2" in str(done.exception)
    assert [each["model"] for each in json.loads(done.stdout)] == ["bicubic", "fixed.safetensors"]
    table = CliRunner().invoke(cli.app, options[:-1]).stdout
    assert table.splitlines()[0].startswith("bicubic, fixed.safetensors ×2")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("way", [["--data", "in"], ["--real", "in"]])
@pytest.mark.parametrize("interrupts", [1, 2])
def test_what_was_measured_before_an_interrupt_is_printed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, way: list[str], interrupts: int
) -> None:
    """It comes at the second picture of the second model, which is finished, or left at another."""
    pixels = flowers()
    for name in "abc":
        images.write(Picture(pixels[:96, :192]), folder / "in" / f"{name}.png")
    upscale, calls = Bicubic.__call__, list[int]()

    def interrupted(self: Bicubic, *given: Any, **how: Any) -> Any:
        calls.append(1)
        for _ in range(interrupts if len(calls) == 5 else 0):
            os.kill(os.getpid(), signal.SIGINT)
        return upscale(self, *given, **how)

    monkeypatch.setattr(Bicubic, "__call__", interrupted)
    options = ["evaluate", *["--model", "bicubic"] * 3, *way, "--scale", "2"]
    measured = 3 - interrupts
    done = run(*options, "--json")
    assert (done.exit_code, len(calls)) == (130, 5)
    assert "press Ctrl-C again to stop at once" in done.stderr
    told = json.loads(done.stdout)
    assert [(len(each["scores"]), each["left"]) for each in told] == [(3, 0), (measured, 3 - measured)]
    calls.clear()
    tables = run(*options).stdout.split("\n\n")
    assert [table.count("\nmean ") for table in tables] == [1, 1]
    assert "interrupted" not in tables[0]
    assert f"; interrupted, {measured} of 3 pictures\n" in tables[1]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.usefixtures("heeded_signals")
def test_an_interrupt_before_the_first_score_prints_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        for _interrupt in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Bicubic, "__call__", interrupted)
    done = run("evaluate", "--model", "bicubic", "--data", "in", "--scale", "2", "--json")
    assert (done.exit_code, done.stdout) == (130, "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.usefixtures("heeded_signals")
def test_an_interrupt_while_json_is_printed_does_not_cut_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(value: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return value

    monkeypatch.setattr("escsr.cli.console.only_finite", interrupted)
    done = run("evaluate", "--model", "bicubic", "--data", "in", "--scale", "2", "--json")
    assert len(json.loads(done.stdout)["scores"]) == 2


def test_bicubic_beside_a_model_of_a_strength(folder: Path) -> None:
    models = ["--model", "bicubic", "--model", "real"]
    done = run("evaluate", *models, "--data", "in", "--scale", "4", "--strength", "0.5", "--json")
    assert [each["model"] for each in json.loads(done.stdout)] == ["bicubic", "real"]
    alone = CliRunner().invoke(
        cli.app, ["evaluate", "-m", "bicubic", "--data", "in", "-s", "4", "--strength", "0.5"]
    )
    assert "strength is for models given by name" in str(alone.exception)


def test_rgb_protocol_and_fractional_scale(folder: Path) -> None:
    options = ["evaluate", "--model", "any.safetensors", "--data", "in", "--protocol", "lte-div2k"]
    told = json.loads(run(*options, "--scale", "2.5", "--json").stdout)
    assert told["scale"] == 2.5
    assert set(told["scores"][0]) == {"name", "psnr_rgb"}
    assert "RGB-PSNR dB" in run(*options, "--scale", "2.5").stdout


@pytest.mark.slow
def test_compare_as_a_table_and_as_json(folder: Path) -> None:
    options = ["models", "compare", "any.safetensors", "--size", "24x16", "--rounds", "1"]
    options += ["--scale", "2", "--device", "cpu", "--data", "in"]
    lines = run(*options).stdout.splitlines()
    assert lines[0].split()[-1] == "in"
    assert "MiB at 24×16" in lines[0]
    assert lines[1].startswith("any.safetensors  ×2")
    assert lines[-1] == "Quality: Y-PSNR in dB (of bicubic), protocol classic, from in."
    told = json.loads(run(*options, "--json").stdout)
    assert [each["model"] for each in told["models"]] == ["any.safetensors"]
    assert told["quality_from"] == "in"


def test_compare_and_its_function_have_the_same_names_and_defaults() -> None:
    ours = inspect.signature(compare_command).parameters
    theirs = inspect.signature(compare).parameters
    assert set(ours) - {"as_json"} == set(theirs) - {"on_step"}
    for name in set(ours) - {"as_json"}:
        default = theirs[name].default
        assert ours[name].default == (None if default == () else default), name


def test_a_mistake_is_the_librarys_own_error(folder: Path) -> None:
    with pytest.raises(ConfigError, match="rounds must be at least 1"):
        run("models", "compare", "any.safetensors", "--rounds", "0")
