"""Made patches of what photographs lack: flat colours, and patterns as fine as single pixels.

A network that never saw them may answer with activations beyond all measure, or with a flat colour that
is not flat. A few of them among the photographs prevent that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_pattern"]


def draw_pattern(generator: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """An LR patch: flat every second time, else two colours in stripes, diagonals, checks, dots or noise.

    What belongs to it in HR is each pixel repeated, as of a drawing in pixels.

    Args:
        generator: Where chance comes from.
        side: Rows and columns p, pixels.

    Returns:
        uint8 (p, p, 3).
    """
    if generator.random() < 0.5:
        return np.broadcast_to(_colour(generator), (side, side, 3)).copy()
    rows, columns = np.indices((side, side))
    if generator.random() < 0.5:
        rows, columns = columns, rows
    period = int(generator.integers(2, 5))
    width = int(generator.integers(1, period))
    size = int(generator.integers(1, 4))
    masks = (
        rows % period < width,
        (rows + columns) % period < width,
        (rows // size + columns // size) % 2 == 0,
        (rows % period < 1) & (columns % period < 1),
        generator.random((side, side)) < 0.5,
    )
    mask = masks[generator.integers(len(masks))]
    colours = np.stack([_colour(generator), _colour(generator)])
    if generator.random() < 0.5:
        colours = np.array([[0] * 3, [255] * 3], np.uint8)[generator.permutation(2)]
    return np.where(mask[..., None], colours[0], colours[1])


def _colour(generator: np.random.Generator) -> NDArray[np.uint8]:
    """(3,): a grey, any colour, or a corner of the colour cube, where borders are hardest to keep flat."""
    grey = np.full(3, generator.integers(256), np.uint8)
    colour = generator.integers(256, size=3, dtype=np.uint8)
    corner = (255 * generator.integers(2, size=3)).astype(np.uint8)
    return (grey, colour, corner)[generator.integers(3)]
