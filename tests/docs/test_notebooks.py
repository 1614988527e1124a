"""The notebooks run, and print what their pages show."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

import run_notebooks


@pytest.mark.slow
@pytest.mark.parametrize("path", run_notebooks.NOTEBOOKS, ids=lambda path: path.name)
def test_notebook(path: Path) -> None:
    kept = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    notebook = run_notebooks.executed(path, steps=2)
    assert run_notebooks.printed(kept) == run_notebooks.printed(notebook)
    assert drawings(kept) == drawings(notebook) > 0


def drawings(notebook: nbformat.NotebookNode) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def test_the_kept_figures_show_that_convattn_is_ahead() -> None:
    kept = nbformat.read(run_notebooks.ROOT / "docs" / "denoising.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    text = "".join(output.get("text", "") for cell in kept.cells for output in cell.get("outputs", ()))
    sizes = [int(count.replace(",", "")) for count in re.findall(r"([\d,]+) parameters", text)]
    quality = [float(value) for value in re.findall(r"([\d.]+) dB, \d+ s of CPU", text)]
    assert abs(sizes[0] - sizes[1]) < 0.005 * sizes[0]
    assert quality[0] > quality[1]
