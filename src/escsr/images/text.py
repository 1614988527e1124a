"""Words as pixels, for pages of pictures."""

from __future__ import annotations

from html import escape

import numpy as np
import pyvips
from numpy.typing import NDArray

from escsr.runtime.fork import claim_process

__all__ = ["draw_text", "has_font"]

_POINTS_PER_PIXEL = 0.75
"""At 96 dots per inch."""


def draw_text(
    text: str, *, height: int = 16, width: int | None = None, bold: bool = False
) -> NDArray[np.uint8]:
    """Draws text in the system's sans-serif font.

    Args:
        text: Any; what cannot be printed becomes "?".
        height: Of the letters, pixels.
        width: Longer lines are broken, within words where they must be; None for one line.
        bold: Thick letters.

    Returns:
        (rows, columns): how far each pixel is covered by ink, 0 to 255, from the top of the first line, so
        that letters of several texts stand on one line, to the end of the ink. One empty pixel where there
        is no ink.

    Example:
        >>> draw_text("ESC").ndim
        2
    """
    claim_process()
    printable = "".join(letter if letter.isprintable() else "?" for letter in text)
    if not printable.strip():
        return np.zeros((1, 1), np.uint8)
    font = f"sans {'bold ' if bold else ''}{height * _POINTS_PER_PIXEL:g}"
    limits = {} if width is None else {"width": max(width, height), "wrap": "word-char"}
    image = pyvips.Image.text(escape(printable), font=font, dpi=96, **limits)
    ink: NDArray[np.uint8] = image.numpy()
    return np.pad(ink.reshape(ink.shape[:2]), ((max(0, image.yoffset), 0), (0, 0)))


def has_font() -> bool:
    """Whether the system has any font; without one, as in small containers, all letters are empty boxes."""
    return draw_text("i").shape != draw_text("W").shape
