"""A video that is read: opened, looked through once, and described before any work."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from escsr.errors import VideoError
from escsr.video.colour import Colours
from escsr.video.library import library, side_data, words_of
from escsr.video.light import Light
from escsr.video.planes import Layout
from escsr.video.wholeness import check_whole

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["Video", "describe", "opened", "time_of", "video_stream"]

_UPRIGHT = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)

_SAMPLE_FRAMES = 30
"""Frames decoded to see whether a video is interlaced; the first may not show it."""


@dataclass(frozen=True)
class Video:
    """What a video is, as far as its packets and its first frames tell.

    Attributes:
        path: The file.
        codec: Of the stream that is upscaled.
        index: Of that stream, in the file.
        width: Stored pixels, before any rotation.
        height: Stored pixels.
        layout: Of the frames.
        colours: What they declare; what was guessed is noted.
        light: Mastering display and light levels, where they are declared.
        aspect: Width of a pixel by its height.
        matrix: Display matrix (rotation), nine integers; None where there is none.
        time_base: Seconds per tick.
        rate: Frames a second, on average.
        is_steady: Whether all frames are shown equally long, but for the last.
        frames: Packets with a picture.
        seconds: From the first frame to the end of the last.
        last_duration: Of the last frame, ticks.
        is_interlaced: Whether frames are made of two fields.
        notes: What a user should know, in words.
    """

    path: Path
    codec: str
    index: int
    width: int
    height: int
    layout: Layout
    colours: Colours
    light: Light
    aspect: Fraction
    matrix: tuple[int, ...] | None
    time_base: Fraction
    rate: Fraction
    is_steady: bool
    frames: int
    seconds: float
    last_duration: int
    is_interlaced: bool
    notes: tuple[str, ...] = ()

    @property
    def is_turned(self) -> bool:
        """Whether it is shown with width and height exchanged."""
        return self.matrix is not None and self.matrix[0] == 0 and self.matrix[4] == 0

    def as_shown(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height as they are shown, of those that are stored."""
        return size[::-1] if self.is_turned else size

    @property
    def shown_size(self) -> tuple[int, int]:
        """Rows and columns of a frame as it is shown."""
        return (self.width, self.height) if self.is_turned else (self.height, self.width)

    @property
    def shown_aspect(self) -> Fraction:
        """Width of a pixel by its height, as it is shown."""
        return 1 / self.aspect if self.is_turned else self.aspect

    def check_fields(self, *, deinterlace: bool) -> None:
        """Refuses interlaced frames, unless they are made whole.

        Args:
            deinterlace: Whether they are.

        Raises:
            VideoError: They would be upscaled as combs.
        """
        if self.is_interlaced and not deinterlace:
            raise VideoError(
                f"{self.path}: its frames are interlaced, which would be upscaled as combs; add "
                "--deinterlace."
            )

    def upright(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """A frame's pixels as they are shown, where no declaration can go with them; mirroring is left out.

        Args:
            pixels: (H, W, C).
        """
        if self.matrix is None:
            return pixels
        turns = -math.atan2(self.matrix[1], self.matrix[0]) / (math.pi / 2)
        return np.ascontiguousarray(np.rot90(pixels, round(turns)))


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """A file's container, closed at the end.

    Raises:
        VideoError: The file is missing, empty, cut off or no video.
    """
    check_whole(path)
    av = library()
    try:
        # A whole path, since in "Part: 2.mkv" the first word would be taken for a protocol.
        container = av.open(str(path.absolute()), metadata_errors="surrogateescape")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path}: not a readable video ({words_of(error)}).") from error
    with container:
        yield container


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The stream that is upscaled: the first that is no cover picture; decoded by one thread or by slices.

    Threads by frames would tell of damaged packets some packets later.

    Raises:
        VideoError: There is none, or none that can be decoded.
    """
    av = library()
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not streams:
        raise VideoError(f"{path}: there is no video in it.")
    if streams[0].codec_context is None:
        raise VideoError(f"{path}: its video cannot be decoded: FFmpeg knows no decoder for it.")
    streams[0].thread_type = "SLICE"
    return streams[0]


def time_of(thing: Packet[VideoStream] | VideoFrame) -> int | None:
    """The time of presentation in ticks; files without such times (AVI) have those of decoding."""
    return thing.dts if thing.pts is None else thing.pts


def describe(path: Path) -> Video:
    """Looks through a video's packets, and decodes its first frames.

    Args:
        path: The file.

    Raises:
        VideoError: It is missing, empty, cut off or damaged, or holds no video that can be decoded.
    """
    with opened(path) as container:
        stream = video_stream(container, path)
        first, is_interlaced = _first_frames(container, stream, path)
        colours = Colours.of(first)
        values: dict[str, Any] = {
            "codec": stream.codec_context.name,
            "index": stream.index,
            "width": first.width,
            "height": first.height,
            "layout": Layout.of(first.format.name),
            "colours": colours,
            "light": Light.of(first),
            "aspect": stream.sample_aspect_ratio or Fraction(1),
            "matrix": _display_matrix(first),
            "time_base": stream.time_base,
            "rate": stream.average_rate or stream.guessed_rate or Fraction(25),
        }
        notes = [colours.note] if colours.note else []
        if stream.metadata.get("alpha_mode") == "1" and not values["layout"].has_alpha:
            notes.append("its transparency is not read, and is left out")
    # Opened anew, since not every container can be rewound.
    with opened(path) as container:
        stream = video_stream(container, path)
        values |= _look_through(container, stream, values["rate"])
    return Video(
        path=path,
        is_interlaced=is_interlaced,
        notes=tuple(notes),
        **values,
    )


def _first_frames(container: InputContainer, stream: VideoStream, path: Path) -> tuple[VideoFrame, bool]:
    av = library()
    first, seen, interlaced, reason = None, 0, False, "no frame in it"
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            reason = words_of(error)
            continue
        for frame in frames:
            first = first or frame
            seen += 1
            interlaced |= frame.interlaced_frame
        if seen >= _SAMPLE_FRAMES:
            break
    if first is None:
        raise VideoError(f"{path}: its video cannot be decoded ({reason}).")
    return first, interlaced


def _look_through(container: InputContainer, stream: VideoStream, rate: Fraction) -> dict[str, Any]:
    """What only all packets tell."""
    assert stream.time_base is not None
    usual = max(1, round(1 / (rate * stream.time_base)))
    times, count, longest = [], 0, (-(2**63), usual)
    for packet in container.demux(stream):
        if not packet.size or packet.is_discard:
            continue
        count += 1
        time = time_of(packet)
        if time is not None:
            times.append(time)
            longest = max(longest, (time, packet.duration or usual))
    span = max(times) - min(times) + longest[1] if times else count * usual
    times.sort()
    gaps = [later - earlier for earlier, later in pairwise(times)] or [usual]
    rounding = max(min(2, min(gaps) // 2), min(gaps) // 10)  # ticks; less than a frame that is left out
    return {
        "frames": count,
        "seconds": float(span * stream.time_base),
        "last_duration": longest[1],
        "is_steady": max(gaps) - min(gaps) <= rounding,
    }


def _display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    raw = side_data(frame, "DISPLAYMATRIX")
    if raw is None:
        return None
    matrix = struct.unpack_from("=9i", raw)
    return None if matrix == _UPRIGHT else matrix
