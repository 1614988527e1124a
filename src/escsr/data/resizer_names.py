"""Names of the known ways to downscale; without PyTorch, so that settings can be read quickly."""

from __future__ import annotations

from typing import Literal

__all__ = ["Resizer"]

Resizer = Literal[
    "matlab-bicubic",
    "matlab-double",
    "pil-bicubic",
    "pil-lanczos",
    "pil-bilinear",
    "pil-box",
    "pil-nearest",
    "torch-bicubic",
    "opencv-bicubic",
    "opencv-bilinear",
    "opencv-area",
    "opencv-nearest",
]
"""Known ways to downscale an image.

`matlab-bicubic` is `imresize` on uint8, with which DIV2K and the test sets were made, and
`matlab-double` is `imresize(im2double(I))`. `torch-bicubic` is `interpolate(antialias=True)` on
floats. `opencv-bicubic` and `opencv-bilinear` do not antialias; PyTorch without antialias gives the
same. The nearest pixel is the first of each r×r in OpenCV, the middle one in Pillow.
"""
