"""docs/fleet.md says what fleets do."""

from __future__ import annotations

import json
import re

import pytest

from samples import ROOT

PAGE = (ROOT / "docs" / "fleet.md").read_text()


def test_columns_are_those_of_outcomes_and_tables() -> None:
    pytest.importorskip("pyarrow", reason="requires the extra fleet")
    from escsr.batch import table
    from escsr.fleet.outcomes import SCHEMA

    (outcomes,) = re.findall(r"\n## What was done\n(.*?)\n## ", PAGE, re.DOTALL)
    (inputs,) = re.findall(r"\n## Input and output\n(.*?)\n## ", PAGE, re.DOTALL)
    for section, columns in ((outcomes, SCHEMA.names), (inputs, table._COLUMNS)):
        rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
        assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(columns)


def test_figures() -> None:
    pytest.importorskip("pyarrow", reason="requires the extra fleet")
    from escsr.fleet import ledger, worker

    assert worker.ATTEMPTS == ledger.DEADLY == 3
    assert f"last {ledger._SECONDS:g} seconds" in PAGE


def test_cost_follows_from_the_seconds_told() -> None:
    record = json.loads((ROOT / "results" / "models" / "compare-cpu.json").read_text())
    seconds = {row["model"]: row["seconds_per_megapixel"] for row in record["models"]}["esc-light-x2"]
    core_seconds, price = 2 * round(seconds), 0.02  # of two cores
    assert f"{core_seconds} core-seconds" in PAGE
    for megapixels, hours, cost in ((0.262144, "1,200", "23"), (1, "4,400", "89"), (12, "53,000", "1,070")):
        exact = megapixels * 1e6 * core_seconds / 3600
        assert abs(float(hours.replace(",", "")) / exact - 1) < 0.04
        assert abs(float(cost.replace(",", "")) / (exact * price) - 1) < 0.02
        assert f"| {hours} | {cost} |" in PAGE
