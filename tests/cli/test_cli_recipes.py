"""`escsr recipes` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from commands import run_escsr
from escsr.cli.charts import curve, sparkline
from escsr.errors import ConfigError
from escsr.training.recipes import GROUPS, RECIPES, duration, recipe
from escsr.training.recipes.duration import estimate_seconds, spoken


def call(*arguments: str) -> str:
    done = run_escsr("recipes", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


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
    assert [line.split()[0] for line in printed.splitlines()] == ["setting", "optimizer.betas"]
    printed = call("diff", "esc-x2", "esc-light-x2")
    assert [line.split()[0] for line in printed.splitlines()] == ["setting", "network.num_blocks"]


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


def test_the_list_is_grouped_and_quick_ones_come_first() -> None:
    lines = call().splitlines()
    titles = [lines.index(next(line for line in lines if line.startswith(title))) for title in GROUPS]
    assert titles == sorted(titles)
    assert set(chain(*GROUPS.values())) == set(RECIPES)
    minutes = [line for line in lines[titles[0] : titles[1]] if "minute" in line]
    hours = [line for line in lines[titles[0] : titles[1]] if "hour" in line]
    assert not minutes or not hours or lines.index(minutes[-1]) < lines.index(hours[0])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(20, "1 minute"), (600, "10 minutes"), (3600, "1 hour"), (5400, "1.5 hours"), (3 * 86_400, "3 days")],
)
def test_spoken_times(seconds: float, words: str) -> None:
    assert spoken(seconds) == words


def test_estimates_are_near_the_recorded_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of runs of two cores that were recorded with their time; the first three without native kernels."""
    monkeypatch.setattr(duration, "num_cores", lambda: 2)
    monkeypatch.setattr(duration, "has_bfloat16", lambda: True)
    recorded = {"esc-light-x3-quick": 54 / 1.74, "esc-light-x4-quick": 66 / 1.74, "esc-x4-quick": 64 / 1.74}
    recorded |= {"esc-real-light-x4": 21, "esc-real-light-gan-x4": 31}
    for name, minutes in recorded.items():
        assert 0.6 < estimate_seconds(recipe(name)) / 60 / minutes < 1.6
    assert estimate_seconds(recipe("esc-x2")) > 1000 * estimate_seconds(recipe("esc-x2-quick")) / 10


@pytest.mark.parametrize(
    ("name", "hidden", "shown"),
    [
        ("esc-light-x2-quick", ["schedule.milestones", "validation_scales"], ["schedule.final_ratio"]),
        ("esc-x2", ["schedule.final_ratio"], ["schedule.milestones"]),
        ("esc-lte", [], ["validation_scales", "objective.queries"]),
        (
            "esc-real",
            ["objective.adversarial.", "objective.perceptual.", "objective.shift"],
            ["objective.degradation."],
        ),
        ("esc-real-gan", [], ["objective.adversarial.", "objective.perceptual."]),
    ],
)
def test_what_has_no_effect_is_hidden(name: str, hidden: list[str], shown: list[str]) -> None:
    keys = [line.split()[0] for line in call("show", name).splitlines() if line.strip()]
    everything = [line.split()[0] for line in call("show", name, "--all").splitlines() if line.strip()]
    for key in hidden:
        assert not any(each.startswith(key) for each in keys)
        assert any(each.startswith(key) for each in everything)
    for key in shown:
        assert any(each.startswith(key) for each in keys)


def test_recipes_in_files(tmp_path: Path) -> None:
    whole = tmp_path / "whole.json"
    whole.write_text(json.dumps({**recipe("esc-lte-quick").to_dict(), "data": "fingerprint of a run"}))
    assert recipe(str(whole)) == recipe("esc-lte-quick")
    changed = tmp_path / "mine.toml"
    changed.write_text('base = "esc-light-x2-quick"\niterations = 500\n[optimizer]\nclip_norm = "none"\n')
    expected = recipe("esc-light-x2-quick").with_settings(["name=mine", "iterations=500"])
    assert recipe(str(changed)) == expected.with_settings(["optimizer.clip_norm=none"])
    assert "500" in call("show", str(changed))
    assert "iterations" in call("diff", str(changed), "esc-light-x2-quick")
    assert call("diff", str(changed)) == call("diff", str(changed), "esc-light-x2-quick")
    refused = run_escsr("recipes", "diff", str(whole))
    assert refused.returncode != 0
    assert "has no paper's text to compare with; give OTHER." in " ".join(refused.stderr.split())


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("a.json", "{", "not valid JSON"),
        ("a.toml", "base = ", "not valid TOML"),
        ("a.json", "[]", "settings with names"),
        ("a.toml", 'base = "esc-light-x2-quik"', "Did you mean esc-light-x2-quick"),
        ("a.toml", 'base = "esc-light-x2-quick"\niteratons = 5', "Did you mean iterations"),
        ("none.toml", None, "cannot be read"),
    ],
)
def test_recipe_files_that_cannot_be_used(
    tmp_path: Path, file: str, content: str | None, words: str
) -> None:
    path = tmp_path / file
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=words) as error:
        recipe(str(path))
    assert str(error.value).startswith(str(path))


def test_a_base_is_looked_up_beside_its_file_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.toml").write_text('base = "b.toml"\nbatch_size = 8\n')
    (tmp_path / "b.toml").write_text('base = "esc-light-x2-quick"\niterations = 500\n')
    monkeypatch.chdir(tmp_path)
    assert recipe("mine/a.toml").iterations == 500, "from where escsr runs"
    (tmp_path / "mine" / "b.toml").write_text('base = "esc-light-x2-quick"\niterations = 600\n')
    assert recipe("mine/a.toml").iterations == 600
    assert recipe("mine/a.toml").batch_size == 8


@pytest.mark.parametrize(
    ("bases", "words"), [(["a.toml"], "a.toml: its"), (["b.toml", "a.toml"], "a.toml: .*b.toml: its")]
)
def test_a_recipe_file_is_not_its_own_base(tmp_path: Path, bases: list[str], words: str) -> None:
    for name, base in zip("ab", bases, strict=False):
        (tmp_path / f"{name}.toml").write_text(f'base = "{base}"\n')
    with pytest.raises(ConfigError, match=rf"{words} base a\.toml is this file, or is built on it"):
        recipe(str(tmp_path / "a.toml"))
