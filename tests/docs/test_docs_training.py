"""docs/training.md says what the code does: commands parse; recipes, models, links and figures exist."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import typer

import draw_learning_curves as curves
from escsr.cli import app
from escsr.models.bundled import find_model, list_models
from escsr.models.published import RELEASED
from escsr.training.recipes import RECIPES, recipe
from escsr.training.recipes.ablations import ABLATIONS
from escsr.training.records import _MAY_CHANGE
from samples import ROOT

PATH = ROOT / "docs" / "training.md"
PAGE = PATH.read_text()


def commands() -> Iterator[str]:
    """Every command line of ours in the page's blocks of shell, with what stands before it left out."""
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if re.search(r"(^|-m |srun )escsr ", line):
                yield line[line.index("escsr ") :]


@dataclass(frozen=True)
class Parsed:
    """A command's path, as "data verify", and its parameters by name."""

    path: str
    parameters: dict[str, Any]


def parse(line: str) -> Parsed:
    """Parses a line by the command itself, without running it; a wrong option or value raises."""
    _, *arguments = shlex.split(line, comments=True)
    command: Any = typer.main.get_command(app)
    path = []
    while hasattr(command, "commands"):
        if not arguments and command.invoke_without_command:
            break
        path.append(arguments.pop(0))
        command = command.commands[path[-1]]
    context = command.make_context(path[-1], arguments)
    return Parsed(" ".join(path), context.params)


LINES = list(commands())


def test_there_are_commands() -> None:
    assert len(LINES) > 25
    assert {parse(line).path for line in LINES} >= {"train", "upscale", "evaluate", "recipes diff"}


@pytest.mark.parametrize("line", LINES)
def test_commands_parse(line: str) -> None:
    given = parse(line).parameters
    for name in filter(None, (given.get("recipe"), given.get("name"), given.get("other"))):
        if not name.startswith("published-"):
            recipe(name).with_settings(given.get("settings") or [])
    models = [given.get("start"), *(given["model"] if isinstance(given.get("model"), list) else [])]
    for model in filter(None, models):
        known = {*list_models(), *RELEASED, "bicubic"}
        assert model in known or model.endswith(".safetensors"), model


@pytest.mark.parametrize(
    "line",
    [
        "escsr train --recipe esc-x2 --data a --output b --valdate c",
        "escsr train --data a --output b",
        "escsr recipes shew esc-x2",
        "escsr upscale a --scale much",
    ],
)
def test_wrong_commands_would_be_found(line: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such option|missing|shew|valid number"):
        parse(line)


def test_settings_in_the_text() -> None:
    """Values that stand in the running text or in tables, as `key=value`."""
    settings = re.findall(r"`(?:--set )?([a-z_.]+=[^`]+)`", PAGE)
    assert len(settings) > 10
    for setting in settings:
        real = setting.startswith(("objective.degradation", "objective.perceptual"))
        recipe("esc-real" if real else "esc-light-x2").with_settings([setting.replace("=N", "=2")])


def test_what_the_quick_recipe_is_made_of() -> None:
    (section,) = re.findall(r"\n## What the quick recipes are made of\n(.*?)\n## ", PAGE, re.DOTALL)
    table = section[: section.index("Seconds a step")]
    quick = recipe("esc-light-x2-quick")
    told = [part for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for part in row.split(", ")]
    assert len(told) > 8
    assert quick.with_settings([part.strip("`") for part in told]) == quick


def test_recipes_exist() -> None:
    (section,) = re.findall(r"\n## Choosing a recipe\n(.*?)\n## ", PAGE, re.DOTALL)
    told = set(re.findall(r"`(esc[a-z0-9-]*)`", section))
    assert told <= set(RECIPES)
    assert {name for name in RECIPES if name.endswith(("-quick", "-hour"))} <= told
    for name in ABLATIONS:
        assert f"`esc-x2-{name}`" in PAGE


def test_what_may_change_in_a_continued_run() -> None:
    (sentence,) = re.findall(r"\nAnother value of (.*?),\s+another\s+device", PAGE, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", sentence)) == set(_MAY_CHANGE)


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", PAGE)
    assert links
    for target, section in links:
        page = PATH.parent / target if target else PATH
        assert page.is_file(), target
        titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE) if section else []
        anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
        assert not section or section in anchors, section


def test_curves_are_made_from_the_records() -> None:
    records = curves.read_records()
    assert curves.with_tables(PAGE, records) == PAGE
    assert curves.PICTURE.read_text() == curves.picture(records)


@pytest.mark.parametrize("record", curves.read_records(), ids=lambda record: record["name"])
def test_records_are_whole(record: curves.Record) -> None:
    config = recipe(record["recipe"]).with_settings(record["settings"])
    assert (config.iterations, config.network.scale) == (record["iterations"], record["scale"])
    steps = [point["iteration"] for point in record["points"]]
    assert steps == sorted(set(steps))
    assert steps[-1] == config.iterations
    for point in record["points"]:
        figures = {key: value for key, value in point.items() if key not in ("iteration", "seconds")}
        assert {key.split()[0] for key in figures} <= set(curves.SETS)
        assert all(20 < value < 50 for value in figures.values())
    for key in ("about", "minutes_known", "hardware", "data", "validation", "date"):
        assert record[key]


@pytest.mark.parametrize(
    "name", [name for name in list_models() if name[-2:] in ("x2", "x3", "x4") and "real" not in name]
)
def test_the_bundled_models_are_the_ends_of_their_curves(name: str) -> None:
    """Weights are bundled in half precision, which moves a figure by less than 0.01 dB."""
    quality = json.loads(find_model(name).with_suffix(".json").read_text())
    recipe_of = {
        record["recipe"]: record
        for record in curves.read_records()
        if record["name"] in (name, f"{name}-flat")
    }
    last = recipe_of[quality["training"]["recipe"]]["points"][-1]
    for data in ("Set5", "Set14"):
        assert math.isclose(quality["sets"][data]["model"][0], last[data], abs_tol=0.01)
