"""The eight symmetries that training patches are seen in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["augment"]


def augment(image: Tensor, flips: NDArray[np.bool_]) -> Tensor:
    """Flips and transposes an image, each by its own coin.

    Args:
        image: (H, W, C).
        flips: Whether to flip left to right, to flip top to bottom, and then to transpose.

    Returns:
        (H, W, C), or (W, H, C) where transposed.

    Example:
        >>> augment(torch.arange(4).reshape(2, 2, 1), np.array([True, False, True]))[..., 0]
        tensor([[1, 3],
                [0, 2]])
    """
    image = image.flip(1) if flips[0] else image
    image = image.flip(0) if flips[1] else image
    return image.transpose(0, 1) if flips[2] else image
