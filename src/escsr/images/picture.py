"""Picture and Animation: decoded files with all that they carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Animation", "Picture"]


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright, with what a file carries beside the pixels.

    Attributes:
        pixels: (H, W, C), of a type in `value_range.DEPTHS`, which is the file's depth; C is 1 grey, 2 grey
            and alpha, 3 RGB, 4 RGBA, in the colour space of the profile.
        metadata: Blocks of the file as they were: "exif-data", "xmp-data" (but for what tells of a video or
            a gain map behind the picture), "iptc-data" (bare records) and "icc-profile-data"; where colours
            are not those of sRGB also "cicp-data", "png-colour-data" or "exr-primaries", see `colour_tags`;
            "exr-pixel-aspect", where pixels are not square. The orientation
            in EXIF is already applied; it is written as upright.
        pixels_per_mm: Resolution for printing, or None.
        bits: Bits per value that matter, where they are fewer than the type has (10-bit AVIF).
        linear: Whether floating values are proportional to light (EXR, HDR).
        premultiplied: Whether colours are multiplied by alpha (EXR).
        notes: What reading had to change, in words for the user.
    """

    pixels: NDArray[Any]
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    pixels_per_mm: tuple[float, float] | None = None
    bits: int | None = None
    linear: bool = False
    premultiplied: bool = False
    notes: tuple[str, ...] = ()

    @property
    def colour(self) -> NDArray[Any]:
        """Colour or grey channels only: (H, W, 3) or (H, W, 1)."""
        return self.pixels[..., : self.pixels.shape[2] - self.has_alpha]

    @property
    def alpha(self) -> NDArray[Any] | None:
        """(H, W, 1), or None."""
        return self.pixels[..., -1:] if self.has_alpha else None

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is opacity."""
        return self.pixels.shape[2] in (2, 4)

    @property
    def is_opaque(self) -> bool:
        """Whether nothing can be seen through, with or without alpha."""
        whole = 1 if self.pixels.dtype.kind == "f" else np.iinfo(self.pixels.dtype).max
        return self.alpha is None or bool((self.alpha >= whole).all())

    @property
    def is_grey(self) -> bool:
        """Whether there is one channel instead of three colours."""
        return self.pixels.shape[2] < 3


@dataclass(frozen=True)
class Animation:
    """Frames as they are seen, each whole, with their timing.

    Attributes:
        frames: (N, H, W, C), uint8, RGB or RGBA.
        delays_ms: How long each frame is shown.
        loops: How often the animation plays; 0 for ever.
        metadata: As in `Picture`.
        notes: As in `Picture`.
    """

    frames: NDArray[np.uint8]
    delays_ms: tuple[int, ...]
    loops: int = 0
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
