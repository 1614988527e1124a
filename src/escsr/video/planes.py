"""A frame's planes: numpy views of them, and what their format holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from escsr.errors import VideoError
from escsr.video.library import library

if TYPE_CHECKING:
    from av import VideoFrame

__all__ = ["Layout", "new_frame", "planar", "views"]

_CHROMA = {(1, 1): "420", (1, 0): "422", (0, 0): "444", (0, 1): "440"}
"""By halvings of width and of height."""

_UNLIKE = ("pal8", "xyz12le", "xyz12be", "monow", "monob")
"""Formats whose components do not tell what they are: palettes, other colours, bits."""

_MOST_BITS = 16

_HIGH_BITS = re.compile("p[024]1[026]le")
"""Luma in a plane, chroma in pairs in another, values in the upper bits of 16: FFmpeg's scaler is at times
one off in them."""

_WORDS = re.compile("(rgb|bgr)(444|555|565)(le|be)")
"""Colours in a word, the first one in the upper bits; FFmpeg's scaler makes grey of white in them."""


@dataclass(frozen=True)
class Layout:
    """What a pixel format holds.

    Attributes:
        family: "yuv", "rgb" or "grey".
        bits: Of a value.
        chroma: "420", "422", "444" or "440"; "444" for RGB and grey.
        has_alpha: Whether it has opacity.
        is_full: Whether its name says that values use the full range (the old formats yuvj…).
    """

    family: str
    bits: int
    chroma: str = "444"
    has_alpha: bool = False
    is_full: bool = False

    @classmethod
    def of(cls, format_name: str) -> Layout:
        """The layout of a pixel format, as FFmpeg names it.

        Raises:
            VideoError: It is none that can be converted (floating values, Bayer patterns).
        """
        if _WORDS.fullmatch(format_name):
            return cls("rgb", 8)
        if format_name in _UNLIKE or format_name.startswith(("rgb4", "rgb8", "bgr4", "bgr8")):
            if format_name in ("rgb48le", "rgb48be", "bgr48le", "bgr48be"):
                return cls("rgb", _MOST_BITS)
            if format_name.startswith("xyz"):
                raise VideoError(
                    f"Pixel format {format_name} (colours of cinema, XYZ) cannot be converted."
                )
            return cls("grey", 8) if format_name.startswith("mono") else cls("rgb", 8)
        form = library().VideoFormat(format_name, 64, 64)
        bits = max((part.bits for part in form.components), default=0)
        if not 0 < bits <= _MOST_BITS or format_name.startswith("bayer"):
            raise VideoError(f"Pixel format {format_name} cannot be converted.")
        alpha = any(part.is_alpha for part in form.components)
        if form.is_rgb:
            return cls("rgb", bits, "444", alpha)
        if len(form.components) <= 2:
            return cls("grey", bits, "444", alpha)
        part = form.components[1]
        halvings = 64 // part.width - 1, 64 // part.height - 1
        return cls("yuv", bits, _CHROMA.get(halvings, "444"), alpha, format_name.startswith("yuvj"))

    @property
    def name(self) -> str:
        """The planar format of this layout, as FFmpeg names it; grey has no opacity of its own there."""
        if self.family == "rgb":
            stem = "gbrap" if self.has_alpha else "gbrp"
        elif self.family == "grey":
            stem = "gbrap" if self.has_alpha else "gray"
        else:
            stem = f"yuv{'a' * self.has_alpha}{self.chroma}p"
        return stem if self.bits == 8 else f"{stem}{self.bits}le"


def planar(frame: VideoFrame) -> tuple[VideoFrame, Layout]:
    """The frame with its values in planes, unchanged: packed formats are only unpacked.

    Colours of less than 8 bits are stretched to 8.

    Args:
        frame: As decoded.

    Returns:
        The frame, and its layout; of grey with opacity that of RGB with opacity.
    """
    layout = Layout.of(frame.format.name)
    if layout.family == "grey" and layout.has_alpha:
        layout = Layout("rgb", layout.bits, has_alpha=True)
    if frame.format.name in (layout.name, layout.name.replace("yuv", "yuvj")):
        return frame, layout
    if _HIGH_BITS.fullmatch(frame.format.name):
        return _without_pairs(frame, layout), layout
    if words := _WORDS.fullmatch(frame.format.name):
        return _without_words(frame, layout, *words.groups()), layout
    return frame.reformat(format=layout.name), layout


def _without_pairs(frame: VideoFrame, layout: Layout) -> VideoFrame:
    """A frame of `_HIGH_BITS` in three planes."""
    luma, pairs = (_words(plane) >> (_MOST_BITS - layout.bits) for plane in frame.planes)
    return _of_planes((luma, pairs[:, 0::2], pairs[:, 1::2]), frame, layout)


def _without_words(frame: VideoFrame, layout: Layout, order: str, widths: str, end: str) -> VideoFrame:
    """A frame of `_WORDS` in three planes."""
    words = _words(frame.planes[0], "<u2" if end == "le" else ">u2")
    values = {}
    for name, bits in zip(reversed(order), reversed(widths), strict=True):
        most = 2 ** int(bits) - 1
        values[name] = ((words & most) * 255 + most // 2) // most
        words = words >> np.uint16(int(bits))
    return _of_planes([values[name] for name in "rgb"], frame, layout)


def _of_planes(planes: Sequence[NDArray[Any]], frame: VideoFrame, layout: Layout) -> VideoFrame:
    """A frame of given values, wider or higher than it perhaps, at another's time."""
    out = new_frame(frame.width, frame.height, layout)
    if frame.time_base is not None:
        out.pts, out.time_base = frame.pts, frame.time_base
    for view, values in zip(views(out), planes, strict=True):
        view[...] = values[: view.shape[0], : view.shape[1]]
    return out


def _words(plane: Any, kind: str = "<u2") -> NDArray[np.uint16]:
    """Values of 16 bits, (rows, line)."""
    return np.frombuffer(plane, kind).reshape(-1, plane.line_size // 2)


def views(frame: VideoFrame) -> list[NDArray[Any]]:
    """Writable views of a planar frame's values: Y, U, V; or R, G, B; then opacity.

    Args:
        frame: See `planar`.
    """
    kind = np.dtype("<u2") if frame.format.components[0].bits > 8 else np.dtype(np.uint8)
    arrays = []
    for part in frame.format.components:
        plane = frame.planes[part.plane]
        rows = np.frombuffer(plane, kind).reshape(-1, plane.line_size // kind.itemsize)  # type: ignore[call-overload]
        arrays.append(rows[: plane.height, : plane.width])
    return arrays


def new_frame(width: int, height: int, layout: Layout) -> VideoFrame:
    """A frame to be filled through `views`."""
    frame: VideoFrame = library().VideoFrame(width, height, layout.name)
    return frame
