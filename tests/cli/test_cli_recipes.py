"""`escsr recipes` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from escsr.cli.charts import curve, sparkline
from escsr.training.recipes import RECIPES, recipe


def call(*arguments: str) -> str:
    command = [sys.executable, "-m", "escsr", "recipes", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_list() -> None:
    printed = call()
    assert printed == call("list")
    assert all(name in printed for name in RECIPES)


def test_show() -> None:
    printed = call("show", "esc-light-x2", "--set", "iterations=1000")
    lines = {line.split()[0]: line for line in printed.splitlines() if line.strip()}
    assert "--set" in lines["iterations"]
    assert "the paper's text has (0.9, 0.999)" in lines["optimizer.betas"]
    assert "network.window_size" in lines
    assert "█" in printed
    assert json.loads(call("show", "esc-fp-x3", "--json")) == json.loads(
        json.dumps(recipe("esc-fp-x3").to_dict())
    )


def test_the_schema_names_every_setting() -> None:
    schema = json.loads(call("show", "esc-x2", "--schema"))
    assert set(schema["properties"]) == set(recipe("esc-x2").to_dict())
    assert "discriminator" in schema["properties"]["objective"]
    assert schema["$defs"]["OptimizerSettings"]["properties"]["learning_rate"]["exclusiveMinimum"] == 0


def test_recipes_are_listed_without_torch() -> None:
    code = (
        "import sys; from escsr.training.recipes import RECIPES, about, recipe, source_of;"
        "[(recipe(name), about(name)) for name in RECIPES]; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_diff() -> None:
    printed = call("diff", "esc-x4")
    assert [line.split()[0] for line in printed.splitlines()] == ["value", "optimizer.betas"]
    printed = call("diff", "esc-x2", "esc-light-x2")
    assert [line.split()[0] for line in printed.splitlines()] == ["value", "network.num_blocks"]


@pytest.mark.parametrize("name", ["esc-x2", "esc-light-x2-quick"])
def test_the_drawn_learning_rate(name: str) -> None:
    lines = call("show", name).rstrip().splitlines()[-9:-1]
    heights = [sum(line.ljust(72)[column] != " " for line in lines) for column in range(72)]
    assert max(heights) == 8
    assert heights[-1] <= 1
    assert heights[5:] == sorted(heights[5:], reverse=True), "it falls after the warm-up"


def test_charts() -> None:
    assert sparkline([0, 1, 2]) == "▁▅█"
    assert sparkline([]) == ""
    assert sparkline([3.0, 3.0]) == "▁▁"
    assert curve([0, 1, 2], height=2) == ["  █", " ██"]
    assert curve([0.0], height=1) == [" "]
