"""Draws README's comparison: a crop of an example, halved and enlarged by bicubic and by a model.

python scripts/before_after.py examples/flowers.png docs/images/flowers.jpg --at 330 190
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import escsr
from escsr import images
from escsr.data.resize import imresize

HEIGHT, WIDTH, ZOOM, GAP = 192, 288, 2, 8


def main() -> None:
    """Writes bicubic | model | original, side by side, each pixel doubled."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("picture", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--model", default="esc-light-x2")
    parser.add_argument("--at", type=int, nargs=2, default=(0, 0), metavar=("TOP", "LEFT"))
    options = parser.parse_args()
    original = images.read(options.picture).colour
    small = imresize(original, 0.5)
    upscaler = escsr.Upscaler(options.model, device="cpu")
    top, left = options.at
    crops = [
        picture[top : top + HEIGHT, left : left + WIDTH].repeat(ZOOM, 0).repeat(ZOOM, 1)
        for picture in (imresize(small, 2), upscaler(small), original)
    ]
    gap = np.full((HEIGHT * ZOOM, GAP, 3), 255, np.uint8)
    row = np.concatenate([part for crop in crops for part in (crop, gap)][:-1], 1)
    images.write(images.Picture(row), options.target)


if __name__ == "__main__":
    main()
