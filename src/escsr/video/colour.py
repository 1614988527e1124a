"""YUV ↔ RGB in float, by the matrix and the range that a video declares; and these declarations.

FFmpeg's scaler goes through integers of 15 bits: greys of 8-bit video come back with channels up to two
levels of 255 apart, and white as 0.996. Here greys stay grey, and white is 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from escsr.errors import VideoError
from escsr.images.colour_tags import cicp_tags
from escsr.video.chroma import chroma_down, chroma_up
from escsr.video.planes import Layout, new_frame, planar, views

if TYPE_CHECKING:
    from av import VideoFrame

__all__ = ["Colours", "from_rgb", "to_rgb"]

_UNSPECIFIED = (2, 3)
"""How a matrix, primaries or a transfer say nothing: "unspecified", and "reserved"."""

_RGB, _FULL, _LIMITED = 0, 2, 1

_WEIGHTS = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC
    5: (0.299, 0.114),  # BT.470 B/G
    6: (0.299, 0.114),  # SMPTE 170M
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020, not constant luminance
}
"""Weights of red and blue in luma by matrix, ITU-T H.273, table 4."""

_SD_PRIMARIES = (5, 6)
"""Of BT.601, which are guessed for standard definition."""

_NAMES = {1: "BT.709", 5: "BT.601", 6: "BT.601"}
_SD_WIDTH, _SD_HEIGHT, _NTSC_HEIGHT = 1280, 576, 480


@dataclass(frozen=True)
class Colours:
    """What a video declares of its colours, by the numbers of ITU-T H.273.

    Attributes:
        matrix: RGB to YUV.
        primaries: The colours of red, green and blue.
        transfer: The curve.
        range: 1 limited ("tv"), 2 full ("pc").
        note: What was guessed, in words; "" for nothing.
    """

    matrix: int
    primaries: int
    transfer: int
    range: int
    note: str = ""

    @classmethod
    def of(cls, frame: VideoFrame) -> Colours:
        """The declarations of a frame; what is unspecified is guessed as players do.

        A matrix by the size: BT.601 for standard definition, else BT.709. Then the guess is declared of the
        result, because a player would guess another for its size.

        Args:
            frame: The first one of a video.

        Raises:
            VideoError: The matrix is one that is not known here.
        """
        layout = Layout.of(frame.format.name)
        declared = cls(
            int(frame.colorspace), int(frame.color_primaries), int(frame.color_trc), int(frame.color_range)
        )
        if layout.family != "yuv":
            return replace(declared, matrix=_RGB) if layout.family == "rgb" else declared
        colours = declared._with_range(layout)._with_matrix(frame.width, frame.height)
        if colours.matrix not in _WEIGHTS:
            raise VideoError(
                f"Colour matrix {colours.matrix} (of ITU-T H.273) cannot be converted; known are BT.601, "
                "BT.709, FCC, SMPTE 240M and BT.2020 with non-constant luminance."
            )
        return colours

    @classmethod
    def guessed(cls, width: int, height: int, layout: Layout) -> Colours:
        """The declarations of frames that have none, but for the range that their layout tells.

        Args:
            width: Pixels.
            height: Pixels.
            layout: Of the frames.
        """
        nothing = cls(2, 2, 2, 0)
        if layout.family != "yuv":
            return replace(nothing, matrix=_RGB) if layout.family == "rgb" else nothing
        return nothing._with_range(layout)._with_matrix(width, height)

    def _with_range(self, layout: Layout) -> Colours:
        if self.range in (_LIMITED, _FULL):
            return self
        return replace(self, range=_FULL if layout.is_full else _LIMITED)

    def _with_matrix(self, width: int, height: int) -> Colours:
        if self.matrix not in (*_UNSPECIFIED, _RGB):
            return self
        if width >= _SD_WIDTH or height > _SD_HEIGHT:
            matrix = primaries = 1
        else:
            matrix, primaries = 6, 6 if height <= _NTSC_HEIGHT else 5
        if self.primaries not in _UNSPECIFIED:
            primaries = self.primaries
        note = (
            f"the colour matrix is not declared; {_NAMES[matrix]} was taken, by the size, and is declared"
        )
        return replace(self, matrix=matrix, primaries=primaries, note=note)

    def for_layout(self, layout: Layout) -> Colours:
        """What a result of another layout declares: RGB or grey become YUV by BT.709, of full range."""
        if layout.family != "yuv" or self.matrix in _WEIGHTS:
            return self
        return replace(self, matrix=1, range=self.range or _FULL)

    @property
    def picture_tags(self) -> dict[str, bytes]:
        """What tells a picture of these colours, see `cicp_tags`; what was guessed is not told."""
        is_guess = self.note != "" and self.primaries in _SD_PRIMARIES
        primaries = 2 if is_guess or self.primaries in _UNSPECIFIED else self.primaries
        return cicp_tags(primaries, 2 if self.transfer in _UNSPECIFIED else self.transfer)


def to_rgb(frame: VideoFrame, colours: Colours) -> NDArray[np.float32]:
    """A frame's colours, for a network.

    Args:
        frame: As decoded.
        colours: Of its video.

    Returns:
        (H, W, 3), or (H, W, 4) with opacity, float32, in [0, 1]; whiter than white is cut.
    """
    frame, layout = planar(frame)
    planes = [torch.from_numpy(plane.astype(np.float32)) for plane in views(frame)]
    alpha = [planes.pop() / (2**layout.bits - 1)] if layout.has_alpha else []
    black, span = _luma_range(layout, colours)
    if layout.family != "yuv":
        rgb = [(plane - black) / span for plane in planes] * (3 // len(planes))
    else:
        luma = (planes[0] - black) / span
        middle, reach = 2 ** (layout.bits - 1), _chroma_reach(layout, colours)
        size = (frame.height, frame.width)
        blue, red = ((chroma_up(plane, layout.chroma, size) - middle) / reach for plane in planes[1:])
        weight_red, weight_blue = _WEIGHTS[colours.matrix]
        rgb_red = luma + red * (2 * (1 - weight_red))
        rgb_blue = luma + blue * (2 * (1 - weight_blue))
        weight_green = 1 - weight_red - weight_blue
        # From luma's differences, so that grey, which has none, is grey to the bit.
        green = luma - (weight_red * (rgb_red - luma) + weight_blue * (rgb_blue - luma)) / weight_green
        rgb = [rgb_red, green, rgb_blue]
    return torch.stack([*rgb, *alpha], dim=-1).clamp_(0, 1).numpy()


def from_rgb(pixels: NDArray[np.float32], layout: Layout, colours: Colours) -> VideoFrame:
    """A frame of a layout, rounded once.

    Args:
        pixels: (H, W, 3 or 4), float32, in [0, 1].
        layout: Of the result; opacity that it does not hold is left out.
        colours: Of its video.

    Returns:
        The frame, with the declarations, without a time.
    """
    height, width = pixels.shape[:2]
    frame = new_frame(width, height, layout)
    red, green, blue, *alpha = torch.from_numpy(np.ascontiguousarray(pixels)).unbind(-1)
    black, span = _luma_range(layout, colours)
    if layout.family == "rgb":
        planes = [plane * span + black for plane in (red, green, blue)]
    elif layout.family == "grey":
        planes = [green * span + black]
    else:
        weight_red, weight_blue = _WEIGHTS[colours.matrix]
        luma = green + weight_red * (red - green) + weight_blue * (blue - green)
        middle, reach = 2 ** (layout.bits - 1), _chroma_reach(layout, colours)
        planes = [luma * span + black]
        for plane, weight in ((blue, weight_blue), (red, weight_red)):
            chroma = (plane - luma) / (2 * (1 - weight))
            planes.append(chroma_down(chroma, layout.chroma) * reach + middle)
    if layout.has_alpha:
        planes.append(alpha[0] * (2**layout.bits - 1))
    for view, plane in zip(views(frame), planes, strict=True):
        view[...] = _rounded(plane, layout.bits)
    frame.colorspace, frame.color_range = colours.matrix, colours.range
    frame.color_primaries, frame.color_trc = colours.primaries, colours.transfer
    return frame


def _luma_range(layout: Layout, colours: Colours) -> tuple[float, float]:
    """Black, and white less black; where grey or RGB declare no range the whole, so that nothing is cut."""
    if colours.range != _LIMITED:
        return 0.0, float(2**layout.bits - 1)
    step = 2.0 ** (layout.bits - 8)
    return 16 * step, 219 * step


def _chroma_reach(layout: Layout, colours: Colours) -> float:
    """From the least to the greatest chroma."""
    return float(2**layout.bits - 1) if colours.range != _LIMITED else 224 * 2.0 ** (layout.bits - 8)


def _rounded(plane: Tensor, bits: int) -> NDArray[Any]:
    return plane.round().clamp_(0, 2**bits - 1).numpy().astype(np.uint8 if bits == 8 else np.uint16)
