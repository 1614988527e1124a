"""Which model enlarges, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest

import escsr
from escsr.batch.models import Models
from escsr.checkpoints import find_model, save_network
from escsr.upscaler import DEFAULT_MODEL, DEFAULT_REASON
from samples import ROOT, small_network


def test_the_default_is_told_with_its_reason() -> None:
    assert Models(DEFAULT_MODEL).why(2) == (
        f"esc-light: the default, {DEFAULT_REASON}; esc-light-x2: its smallest scale that reaches ×2"
    )
    assert Models(DEFAULT_MODEL).why(None).endswith("each picture takes the smallest that reaches its size")


@pytest.mark.parametrize("enlargement", [1.2, 2, 2.7, 3.0001, 4, 9])
def test_the_scale_told_is_the_one_that_is_taken(enlargement: float) -> None:
    models = Models("esc-light")
    reason, chosen = models.why(enlargement), models.path(enlargement).stem
    assert f"; {chosen}: " in reason
    assert f"×{enlargement:g}" in reason
    assert ("is reached by resizing" in reason) == (enlargement > 4)


def test_a_model_that_was_named(tmp_path: Path) -> None:
    assert Models("esc-light-x3").why(2) == "esc-light-x3: as named"
    path = tmp_path / "mine.safetensors"
    save_network(small_network("esc"), path)
    assert Models(path).why(None) == f"{path}: as named"


def test_the_default_is_bundled_at_every_usual_scale() -> None:
    scales = [escsr.load_network(find_model(DEFAULT_MODEL, scale=x)).config.scale for x in (2, 3, 4)]
    assert scales == [2, 3, 4]
    assert f"`{DEFAULT_MODEL}`" in (ROOT / "docs" / "command-line.md").read_text()
