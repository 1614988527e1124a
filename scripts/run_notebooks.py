"""Executes the notebooks of the documentation and keeps what they print and draw.

python scripts/run_notebooks.py                       # all of them
python scripts/run_notebooks.py docs/denoising.ipynb  # one

A cell with the tag "parameters" may set STEPS, which tests lower; cells with the tag "trained" then print
other figures than those that are kept.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "docs").rglob("*.ipynb"))


def main() -> None:
    """Rewrites each notebook with its outputs, or those named."""
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else NOTEBOOKS:
        nbformat.write(executed(path), path)  # type: ignore[no-untyped-call]


def executed(path: Path, *, steps: int | None = None) -> NotebookNode:
    """A notebook run from the root of the repository, its trainings with so many steps; errors raise."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        if steps is not None and "parameters" in tags(cell):
            cell.source = re.sub(r"^STEPS = \d+", f"STEPS = {steps}", cell.source, flags=re.MULTILINE)
    client = NotebookClient(
        notebook,
        timeout=3600,
        resources={"metadata": {"path": str(ROOT)}},
        record_timing=False,
        coalesce_streams=True,
    )
    client.execute()
    return notebook


def tags(cell: NotebookNode) -> list[str]:
    """Marks of a cell, which notebooks keep but do not show."""
    return list(cell.metadata.get("tags", ()))


def printed(notebook: NotebookNode) -> list[str]:
    """What each cell of code printed, without those that depend on a training."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and "trained" not in tags(cell)]
    return ["".join(each.get("text", "") for each in cell.outputs) for cell in cells]


if __name__ == "__main__":
    main()
