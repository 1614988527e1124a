"""HDR10's static metadata: the mastering display and the light levels of a video."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from escsr.video.library import side_data

if TYPE_CHECKING:
    from av import VideoFrame

__all__ = ["Light"]

_CHROMATICITY, _LUMINANCE = 50_000, 10_000
"""Units a whole of which the encoders count, as SMPTE ST 2086 does."""


@dataclass(frozen=True)
class Light:
    """What a frame declares of the light it was made for.

    Attributes:
        display: Ten numbers: x and y of red, green, blue and white, least and greatest luminance in cd/m²;
            None where they are not declared.
        levels: MaxCLL and MaxFALL, cd/m²; None where they are not declared.
    """

    display: tuple[Fraction, ...] | None = None
    levels: tuple[int, int] | None = None

    @classmethod
    def of(cls, frame: VideoFrame) -> Light:
        """Reads the side data of a frame.

        Args:
            frame: The first one of a video.
        """
        display = levels = None
        if (raw := side_data(frame, "MASTERING_DISPLAY_METADATA")) is not None:
            *numbers, has_primaries, has_luminance = struct.unpack_from("=22i", raw)
            pairs = zip(numbers[::2], numbers[1::2], strict=True)
            if has_primaries and has_luminance:
                display = tuple(Fraction(over, under or 1) for over, under in pairs)
        if (raw := side_data(frame, "CONTENT_LIGHT_LEVEL")) is not None:
            greatest, average = struct.unpack_from("=2I", raw)
            levels = (greatest, average)
        return cls(display, levels)

    def __bool__(self) -> bool:
        return self.display is not None or self.levels is not None

    def options(self, encoder: str) -> str:
        """What tells an encoder, as its own parameters; "" where there is nothing to tell, or no way to.

        Args:
            encoder: "libx264", "libx265" or "libsvtav1".
        """
        names = _NAMES.get(encoder)
        if names is None:
            return ""
        parts = []
        if self.display is not None:
            parts.append(f"{names[0]}={self._display(plain=encoder == 'libsvtav1')}")
        if self.levels is not None:
            parts.append(f"{names[1]}={self.levels[0]},{self.levels[1]}")
        return ":".join(parts)

    def _display(self, *, plain: bool) -> str:
        assert self.display is not None
        red, green, blue, white, luminance = zip(self.display[::2], self.display[1::2], strict=True)
        if plain:
            pairs = [tuple(map(float, pair)) for pair in (green, blue, red, white, luminance[::-1])]
            text = [f"({first:.7g},{second:.7g})" for first, second in pairs]
        else:
            scaled = [
                (round(x * _CHROMATICITY), round(y * _CHROMATICITY)) for x, y in (green, blue, red, white)
            ]
            scaled.append((round(luminance[1] * _LUMINANCE), round(luminance[0] * _LUMINANCE)))
            text = [f"({first},{second})" for first, second in scaled]
        return "".join(name + pair for name, pair in zip(("G", "B", "R", "WP", "L"), text, strict=True))


_NAMES = {
    "libx264": ("mastering-display", "cll"),
    "libx265": ("master-display", "max-cll"),
    "libsvtav1": ("mastering-display", "content-light"),
}
