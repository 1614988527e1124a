"""How work reports how far it is."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["OnProgress", "part_of"]

OnProgress = Callable[[float], None]
"""Takes the share of the work that is done, in [0, 1]."""


def part_of(report: OnProgress | None, index: int, parts: int) -> OnProgress | None:
    """Reports the progress of one of several equal parts of the work as that of the whole."""
    return None if report is None else lambda share: report((index + share) / parts)
