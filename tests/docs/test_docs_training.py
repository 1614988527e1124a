"""docs/training.md says what the code does: settings, recipes and figures."""

from __future__ import annotations

import json
import math
import re

import pytest

import draw_learning_curves as curves
from escsr.models.bundled import find_model, list_models
from escsr.networks.ablations import ABLATIONS
from escsr.training.recipes import RECIPES, recipe
from escsr.training.records import _MAY_CHANGE
from samples import ROOT

PATH = ROOT / "docs" / "training.md"
PAGE = PATH.read_text()


def test_settings_in_the_text() -> None:
    """Values that stand in the running text or in tables, as `key=value`."""
    settings = re.findall(r"`(?:--set )?([a-z_.]+=[^`]+)`", PAGE)
    assert len(settings) > 10
    for setting in settings:
        real = setting.startswith("objective.")
        recipe("esc-real" if real else "esc-light-x2").with_settings([setting.replace("=N", "=2")])


def test_what_the_quick_recipe_is_made_of() -> None:
    (section,) = re.findall(r"\n## What the quick recipes are made of\n(.*?)\n## ", PAGE, re.DOTALL)
    table = section[: section.index("Seconds per step")]
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
    (sentence,) = re.findall(
        r"\nWhen you continue a run, you may change (.*?),\s+the\s+device", PAGE, re.DOTALL
    )
    assert set(re.findall(r"`(\w+)`", sentence)) == set(_MAY_CHANGE)


def test_curves_are_made_from_the_records() -> None:
    records = curves.read_records()
    assert curves.with_tables(PAGE, records) == PAGE
    assert curves.PICTURE.read_text() == curves.picture(records)


@pytest.mark.parametrize("record", curves.read_records(), ids=lambda record: record["name"])
def test_records_are_whole(record: curves.Record) -> None:
    runs = [record["settings"], *record.get("then", [])]
    configs = [recipe(record["recipe"]).with_settings(settings) for settings in runs]
    assert {config.network.scale for config in configs} == {record["scale"]}
    assert sum(config.iterations for config in configs) == record["iterations"]
    steps = [point["iteration"] for point in record["points"]]
    assert steps == sorted(set(steps))
    assert steps[-1] == record["iterations"]
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
    """Half precision moves a figure by less than 0.01 dB; a mean of runs has no curve."""
    quality = json.loads(find_model(name).with_suffix(".json").read_text())
    if not quality["training"]["learning_curve"]:
        assert "the mean of the weights" in quality["training"]["summary"]
        return
    recipe_of = {
        record["recipe"]: record
        for record in curves.read_records()
        if record["name"] in (name, f"{name}-flat")
    }
    last = recipe_of[quality["training"]["recipe"]]["points"][-1]
    for data in ("Set5", "Set14"):
        assert math.isclose(quality["sets"][data]["model"][0], last[data], abs_tol=0.01)
