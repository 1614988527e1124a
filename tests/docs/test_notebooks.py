"""The notebooks run, and print what their pages show."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

import run_notebooks


@pytest.mark.parametrize("path", run_notebooks.NOTEBOOKS, ids=lambda path: path.name)
def test_notebook(path: Path) -> None:
    shown = run_notebooks.printed(nbformat.read(path, as_version=4))  # type: ignore[no-untyped-call]
    notebook = run_notebooks.executed(path)
    assert shown == run_notebooks.printed(notebook)
    drawn = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    assert len(drawn) == 2
