"""The network over frames: each by itself, and one that equals the one before only once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from escsr.upscaling.target_size import TargetSize
from escsr.upscaling.upscaler import Upscaler

__all__ = ["FrameUpscaler"]


class FrameUpscaler:
    """Upscales the frames of a video in their order.

    Args:
        upscaler: The model.
        wanted: What results measure.
        size: Width and height of them, where they are to have more: the last pixels are repeated.
    """

    def __init__(self, upscaler: Upscaler, wanted: TargetSize, size: tuple[int, int] | None = None) -> None:
        self.upscaler, self.wanted, self.size = upscaler, wanted, size
        self._before: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    def __call__(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """A frame's result; for a frame that equals the one before the same object.

        Args:
            pixels: (H, W, 3 or 4), float32, in [0, 1].
        """
        if self._before is None or not np.array_equal(self._before[0], pixels):
            result = self.upscaler(pixels, size=self.wanted)
            rows, columns = result.shape[:2]
            width, height = self.size or (columns, rows)
            if (width, height) != (columns, rows):
                result = np.pad(result, ((0, height - rows), (0, width - columns), (0, 0)), mode="edge")
            self._before = pixels, result
        return self._before[1]
