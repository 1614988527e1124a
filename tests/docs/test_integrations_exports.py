"""docs/integrations.md says what `escsr export` and `--backend` do."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from escsr.cli import app
from escsr.exports import export
from escsr.exports.whole import OPSETS
from escsr.models.bundled import list_models
from samples import ROOT

PAGE = (ROOT / "docs" / "integrations.md").read_text()
LINES = re.findall(r"^escsr (?:export|upscale .*--backend) .*$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("line", LINES)
def test_commands_parse(line: str) -> None:
    _, name, *arguments = shlex.split(line, comments=True)
    command: Any = typer.main.get_command(app)
    given = command.commands[name].make_context(name, arguments).params
    if name == "export":
        assert given["model"] in list_models() or given["model"].endswith(".safetensors")
    else:
        assert given["backend"] != "torch"


def test_there_are_commands() -> None:
    assert sum(line.startswith("escsr export") for line in LINES) >= 5


def test_metadata_and_opsets_are_those_written(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason='needs pip install "escsr[onnx]"')
    graph = onnx.load(export("esc-light-x2", output=tmp_path / "model.onnx"))
    row = next(line for line in PAGE.splitlines() if line.startswith("| metadata |"))
    named = set(re.findall(r"`(\w+)`", row)) - {"escsr"}
    assert named == {entry.key for entry in graph.metadata_props}
    assert f"opset {graph.opset_import[0].version} ({OPSETS[0]} to {OPSETS[-1]} by choice)" in PAGE


def test_exactness_is_that_of_the_record() -> None:
    record = json.loads((ROOT / "results" / "exports" / "exactness.json").read_text())
    assert {row["model"] for row in record["rows"]} <= set(list_models())
    nearest, exceptions = 0.0, set()
    for row in record["rows"]:
        for size in row["max_differences"].values():
            worst = max(value for name, value in size.items() if name.endswith("from torch"))
            if worst > 5e-6:
                exceptions.add(row["model"])
            else:
                nearest = max(nearest, worst)
    assert nearest <= 5e-6
    sentence = next(part for part in PAGE.split("\n\n") if part.startswith("How exact they are"))
    assert {name for name in list_models() if f"`{name}`" in sentence} == exceptions
