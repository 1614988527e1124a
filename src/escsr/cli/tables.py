"""Tables on stdout, as wide as they are."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

__all__ = ["print_table"]

_WIDTH = 1000
"""Columns that a table may take. A table cut to the width of a pipe or a narrow terminal would hide the
figures that it is printed for; a terminal folds long lines by itself."""


def print_table(table: Table) -> None:
    """Prints a table, never cut."""
    Console(highlight=False, width=_WIDTH).print(table)
