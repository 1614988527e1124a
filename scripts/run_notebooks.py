"""Executes the notebooks of the documentation and keeps what they print and draw.

python scripts/run_notebooks.py
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "docs").rglob("*.ipynb"))


def main() -> None:
    """Rewrites each notebook with its outputs."""
    for path in NOTEBOOKS:
        nbformat.write(executed(path), path)  # type: ignore[no-untyped-call]


def executed(path: Path) -> NotebookNode:
    """A notebook run from the root of the repository; an error in a cell raises."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(ROOT)}}, record_timing=False
    )
    client.execute()
    return notebook


def printed(notebook: NotebookNode) -> list[str]:
    """What each cell of code printed."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(each.get("text", "") for each in cell.outputs) for cell in cells]


if __name__ == "__main__":
    main()
