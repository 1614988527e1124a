"""Videos through pipes, frame by frame as they come: YUV4MPEG2 (y4m), or bare frames of a known format."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count
from operator import itemgetter
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from escsr.batch.pipeline import Pipeline
from escsr.errors import ConfigError, VideoError
from escsr.upscaling.target_size import TargetSize
from escsr.upscaling.upscaler import Upscaler
from escsr.video.colour import Colours, from_rgb, to_rgb
from escsr.video.frames import Damage, shown_frames
from escsr.video.network import FrameUpscaler
from escsr.video.planes import Layout, new_frame, views
from escsr.video.source import Video

if TYPE_CHECKING:
    from av import VideoFrame

__all__ = [
    "PipeFormat",
    "frames_of_pipe",
    "frames_of_video",
    "read_format",
    "write_frames",
]

_MAGIC, _FRAME = b"YUV4MPEG2", b"FRAME"
_LONGEST_LINE = 1024
_QUEUE = 4
_OLD_NAMES = {"420jpeg": "420", "420mpeg2": "420", "420paldv": "420"}
"""Three places of chroma, all of which are taken for the usual one."""

_DEPTHS = ("9", "10", "12", "14", "16")
"""Bits beyond 8 of FFmpeg's formats."""

_MOST_VALUES = 2**28
"""Columns and margin by rows and margin of a frame, for FFmpeg; a frame with more cannot be made."""

_MARGIN = 128

_RAW = re.compile(r"raw:(\d{1,5})[x×](\d{1,5}):([a-z0-9]+)")


@dataclass(frozen=True)
class PipeFormat:
    """What goes through a pipe.

    Attributes:
        width: Pixels.
        height: Pixels.
        layout: Of the frames.
        colours: By which they become RGB, and RGB them.
        tokens: Of y4m's header without the size; None for bare frames.

    Raises:
        VideoError: Frames are larger than FFmpeg's can be.
    """

    width: int
    height: int
    layout: Layout
    colours: Colours
    tokens: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if (self.width + _MARGIN) * (self.height + _MARGIN) >= _MOST_VALUES:
            raise VideoError(f"Frames of {self.width}×{self.height} pixels are too large.")

    @property
    def header(self) -> bytes:
        """What stands before all frames."""
        if self.tokens is None:
            return b""
        return (
            " ".join(("YUV4MPEG2", f"W{self.width}", f"H{self.height}", *self.tokens)).encode("latin-1")
            + b"\n"
        )

    @classmethod
    def of_video(cls, video: Video) -> PipeFormat:
        """What a file's frames are as y4m: a constant rate, and no opacity.

        Raises:
            VideoError: y4m has no form for them.
        """
        layout = video.layout
        if layout.has_alpha or layout.family == "rgb" or layout.chroma == "440":
            raise VideoError(f"{video.path}: y4m has no form for {layout.name}; write a file.")
        chroma = "mono" if layout.family == "grey" else layout.chroma
        depth = "" if layout.bits == 8 else f"{'' if chroma == 'mono' else 'p'}{layout.bits}"
        aspect = video.shown_aspect
        tokens = [
            f"F{video.rate.numerator}:{video.rate.denominator}",
            "Ip",
            f"A{aspect.numerator}:{aspect.denominator}",
            f"C{chroma}{depth}",
        ]
        if video.colours.range:
            tokens.append(f"XCOLORRANGE={'FULL' if video.colours.range == 2 else 'LIMITED'}")
        height, width = video.shown_size
        return cls(width, height, layout, video.colours, tuple(tokens))


def read_format(stream: BinaryIO, kind: str) -> PipeFormat:
    """Reads y4m's header, or takes the format of bare frames from its name.

    Args:
        stream: Where frames come from.
        kind: "y4m", or like "raw:640x480:yuv420p10le", by FFmpeg's names.

    Raises:
        ConfigError: The name is none of these.
        VideoError: The header is not y4m's, or holds what cannot be worked with.
    """
    if kind == "y4m":
        return _y4m_format(stream)
    match = _RAW.fullmatch(kind)
    if match is None:
        raise ConfigError(f"pipe is y4m, or like raw:640x480:yuv420p10le, not {kind!r}.")
    width, height = int(match[1]), int(match[2])
    try:
        layout = Layout.of(match[3])
    except ValueError as error:
        raise ConfigError(f"pipe: FFmpeg has no pixel format {match[3]!r}.") from error
    if layout.name not in (match[3], match[3].replace("yuvj", "yuv")) or not width or not height:
        raise ConfigError(f"pipe: bare frames are planar, like yuv420p or gbrp, not {match[3]}.")
    return PipeFormat(width, height, layout, Colours.guessed(width, height, layout))


def _y4m_format(stream: BinaryIO) -> PipeFormat:
    magic, *tokens = stream.readline(_LONGEST_LINE).split() or [b""]
    try:
        values = {token[:1].decode("ascii"): token[1:].decode("latin-1") for token in tokens}
        if magic != _MAGIC:
            raise ValueError
        width, height = int(values["W"]), int(values["H"])
        chroma = _OLD_NAMES.get(values.get("C", "420"), values.get("C", "420"))
        found = re.fullmatch(r"(420|422|444|mono)p?(\d+)?", chroma)
        if found is None or min(width, height) < 1 or (found[2] or "10") not in _DEPTHS:
            raise ValueError
    except (KeyError, ValueError) as error:
        raise VideoError("Standard input is not YUV4MPEG2 (y4m) of a format that is known here.") from error
    if values.get("I", "p") not in ("p", "?"):
        raise VideoError(
            "Standard input is interlaced, which would be upscaled as combs; deinterlace it before, as "
            "ffmpeg -vf bwdif does."
        )
    family = "grey" if found[1] == "mono" else "yuv"
    layout = Layout(family, int(found[2] or 8), "444" if family == "grey" else found[1])
    is_full = b"XCOLORRANGE=FULL" in tokens
    colours = Colours.guessed(width, height, replace(layout, is_full=is_full))
    kept = tuple(token.decode("latin-1") for token in tokens if token[:1] not in (b"W", b"H"))
    return PipeFormat(width, height, layout, colours, kept)


def frames_of_pipe(stream: BinaryIO, form: PipeFormat) -> Iterator[NDArray[np.float32]]:
    """Frames as they come, in float.

    Args:
        stream: Behind its header.
        form: What it said.

    Yields:
        (H, W, 3 or 4).

    Raises:
        VideoError: It ends within a frame, or what comes is no frame.
    """
    for number in count(1):
        if form.tokens is not None:
            line = stream.readline(_LONGEST_LINE)
            if not line:
                return
            if not line.startswith(_FRAME):
                raise VideoError(f"Standard input: no frame where frame {number} should be.")
        frame = new_frame(form.width, form.height, form.layout)
        for index, view in enumerate(_sent(frame)):
            wanted = view.size * view.itemsize
            data = stream.read(wanted)
            if not data and index == 0 and form.tokens is None:
                return
            if len(data) < wanted:
                raise VideoError(f"Standard input ends within frame {number}.")
            view[...] = np.frombuffer(data, view.dtype).reshape(view.shape)
        yield to_rgb(frame, form.colours)


def _sent(frame: VideoFrame) -> list[NDArray[Any]]:
    """Views of a frame's planes in the order they are sent: of RGB green, blue and red."""
    places = [part.plane for part in frame.format.components]
    return [view for _, view in sorted(zip(places, views(frame), strict=True), key=itemgetter(0))]


def frames_of_video(video: Video, damage: Damage, *, deinterlace: bool) -> Iterator[NDArray[np.float32]]:
    """A file's frames, upright, in float; their times are left behind."""
    for shown in shown_frames(video, damage, deinterlace=deinterlace):
        yield video.upright(to_rgb(shown.frame, video.colours))


def _tokens(form: PipeFormat, wanted: TargetSize) -> tuple[str, ...] | None:
    """Of the result's header, with the shape that its pixels have."""

    def larger(token: str) -> str:
        width, _, height = token[1:].partition(":")
        if token[0] != "A" or not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
            return token
        aspect = Fraction(int(width), int(height))
        shape = wanted.shape_of_pixels(aspect, form.height, form.width)
        return token if shape == aspect else f"A{shape.numerator}:{shape.denominator}"

    return None if form.tokens is None else tuple(map(larger, form.tokens))


def write_frames(
    frames: Iterator[NDArray[np.float32]],
    form: PipeFormat,
    target: BinaryIO,
    upscaler: Upscaler,
    wanted: TargetSize,
    *,
    ended: threading.Event | None = None,
) -> Iterator[int]:
    """Upscales frames and writes them in the same format, larger; three steps at once.

    Args:
        frames: As they come.
        form: Theirs.
        target: Takes header and frames.
        upscaler: The model.
        wanted: What results shall measure.
        ended: Set when no more frames are wanted, see `escsr.video.heeded_pipes`.

    Yields:
        The number of each frame that is written, from 1.

    Raises:
        EscError: As the frames' source and the upscaler do.
        OSError: The target takes no more.
    """
    rows, columns = (part.stop - part.start for part in wanted.kept(form.height, form.width))
    target.write(replace(form, width=columns, height=rows, tokens=_tokens(form, wanted)).header)
    network, is_read = FrameUpscaler(upscaler, wanted), False

    def read(_: int) -> NDArray[np.float32] | None:
        nonlocal is_read
        following = next(frames, None)
        is_read = following is None
        return following

    def write(pixels: NDArray[np.float32]) -> bool:
        if form.tokens is not None:
            target.write(_FRAME + b"\n")
        for view in _sent(from_rgb(pixels, form.layout, form.colours)):
            target.write(np.ascontiguousarray(view).tobytes())
        target.flush()
        return True

    def numbers() -> Iterator[int]:
        for number in count():
            if is_read:
                return
            yield number

    done = 0
    # One frame after the other is written: none behind one that failed.
    pipeline = Pipeline(read, network, write, queue_size=_QUEUE, on_error="raise")
    with closing(pipeline.run(numbers(), ended=ended)) as items:
        for item in items:
            if item.value is not None:
                done += 1
                yield done
