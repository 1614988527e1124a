"""Curves drawn with characters."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["curve", "sparkline"]

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float]) -> str:
    """One character a value, the lowest ▁ and the highest █."""
    if not values:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(_EIGHTHS[1 + round((value - low) / span * 7)] for value in values)


def curve(values: Sequence[float], *, height: int = 8) -> list[str]:
    """Columns from zero to the highest value.

    Args:
        values: One a column, not negative.
        height: Lines.

    Returns:
        The lines, from the top.
    """
    most = max(values, default=0.0) or 1.0
    filled = [round(value / most * height * 8) for value in values]
    return [
        "".join(_EIGHTHS[max(0, min(8, eighths - 8 * row))] for eighths in filled)
        for row in reversed(range(height))
    ]
