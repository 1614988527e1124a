"""Which model enlarges, and what is said about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import escsr
from escsr.models.saving import save_network
from escsr.models.selection import ANY_SCALE_UP_TO, DEFAULT_MODEL, choose_model, explain
from samples import ROOT, small_network

RECORD = json.loads((ROOT / "results" / "models" / "any-scale.json").read_text())


@pytest.mark.parametrize(
    ("enlargement", "chosen"),
    [
        (None, "esc-light-x2"),
        (0.5, "esc-light-x2"),
        (1, "esc-light-x2"),
        (1.2, "esc-lte"),
        (1.5, "esc-lte"),
        (1.75, "esc-lte"),
        (1.76, "esc-light-x2"),
        (2, "esc-light-x2"),
        (2.7, "esc-light-x3"),
        (3, "esc-light-x3"),
        (3.3, "esc-light-x4"),
        (4, "esc-light-x4"),
        (8, "esc-light-x4"),
    ],
)
def test_the_default_follows_its_rule(enlargement: float | None, chosen: str) -> None:
    assert choose_model(DEFAULT_MODEL, enlargement).stem == chosen


@pytest.mark.parametrize("row", RECORD["scales"], ids=lambda row: f"×{row['scale']}")
def test_the_rule_is_what_the_record_says(row: dict[str, Any]) -> None:
    takes_any = choose_model(DEFAULT_MODEL, row["scale"]).stem == RECORD["any"]
    assert takes_any == (row["scale"] <= ANY_SCALE_UP_TO)
    if takes_any:
        assert row["any_psnr_y"] > row["fixed_psnr_y"] + 0.05
    else:
        assert row["fixed_psnr_y"] > row["any_psnr_y"] - 0.05
        assert row["fixed_seconds"] < row["any_seconds"] / 2


def test_the_default_is_told_with_its_reason() -> None:
    default = "the default, nearly as sharp as esc in two thirds of the time"
    assert explain(DEFAULT_MODEL, 2) == f"esc-light-x2 ({default})"
    assert explain(DEFAULT_MODEL, 2.7) == f"esc-light-x3 ({default}); its ×3 result is resized to ×2.7"
    assert explain(DEFAULT_MODEL, 1.4).startswith("esc-lte (the default up to ×1.75, sharper there")
    assert explain(DEFAULT_MODEL, None).endswith(
        "for each picture at the smallest scale that reaches its size; up to ×1.75 esc-lte"
    )


@pytest.mark.parametrize("enlargement", [1.2, 2, 2.7, 3.0001, 4, 9])
def test_the_scale_told_is_the_one_that_is_taken(enlargement: float) -> None:
    reason, chosen = explain("esc-light", enlargement), choose_model("esc-light", enlargement).stem
    assert reason.startswith(f"{chosen} (as given)")
    assert (f"resized to ×{enlargement:g}" in reason) == (enlargement not in (2, 3, 4))


def test_a_model_that_was_named(tmp_path: Path) -> None:
    assert explain("esc-light-x3", 2) == "esc-light-x3 (as given)"
    path = tmp_path / "mine.safetensors"
    save_network(small_network("esc"), path)
    assert explain(path, None) == f"{path} (as given)"


def test_the_default_is_bundled_at_every_usual_scale() -> None:
    scales = [escsr.load_network(choose_model(DEFAULT_MODEL, x)).config.scale for x in (2, 3, 4)]
    assert scales == [2, 3, 4]
    assert f"×{ANY_SCALE_UP_TO:g}" in (ROOT / "docs" / "upscale.md").read_text()
