"""Words as pixels, for pages of pictures."""

from __future__ import annotations

from html import escape

import numpy as np
import pyvips
from numpy.typing import NDArray

from escsr.runtime.fork import claim_process

__all__ = ["draw_text"]

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
        (rows, columns): how far each pixel is covered by ink, 0 to 255. Its size is that of the ink; where
        there is none, one empty pixel.

    Example:
        >>> draw_text("ESC").max() > 200
        True
    """
    claim_process()
    printable = "".join(letter if letter.isprintable() else "?" for letter in text)
    if not printable.strip():
        return np.zeros((1, 1), np.uint8)
    font = f"sans {'bold ' if bold else ''}{height * _POINTS_PER_PIXEL:g}"
    limits = {} if width is None else {"width": max(width, height), "wrap": "word-char"}
    ink: NDArray[np.uint8] = pyvips.Image.text(escape(printable), font=font, dpi=96, **limits).numpy()
    return ink.reshape(ink.shape[:2])
