"""What a page shows, before it is drawn or written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from escsr.evaluation.crops import Crop

__all__ = ["Page", "Pixels", "Shown"]

Pixels = NDArray[np.uint8]
"""(H, W, 3), RGB, sRGB."""


@dataclass(frozen=True)
class Shown:
    """A column of a page.

    Attributes:
        label: What stands above it.
        detail: A line below that; "" for none.
        crops: Its results of the page's crops, each of the size of the crop in the result.
        whole: Its whole result; None where only crops are shown.
    """

    label: str
    detail: str
    crops: tuple[Pixels, ...]
    whole: Pixels | None = None


@dataclass(frozen=True)
class Page:
    """Results of several models side by side.

    Attributes:
        title: Name of the picture.
        lines: What is to be said of it.
        picture: The input.
        scale: From the input to the results.
        crops: The places shown, in input pixels.
        columns: From left to right.
    """

    title: str
    lines: tuple[str, ...]
    picture: Pixels
    scale: float
    crops: tuple[Crop, ...]
    columns: tuple[Shown, ...]
