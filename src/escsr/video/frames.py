"""Frames of a video in the order they are shown, with their times; none is lost in silence."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from escsr.errors import VideoError
from escsr.video.library import library, words_of
from escsr.video.source import Video, opened, time_of, video_stream

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.video.stream import VideoStream

__all__ = ["Damage", "Shown", "shown_frames"]

_HIDES_FRAMES = ("vp8",)
"""Codecs with packets that are never shown; what is missing there is told by errors alone."""

_REORDERED = ("h264", "hevc")
"""Codecs whose frames have times of decoding where they are from AVI, which holds no others."""

_MOST_AHEAD = 16
"""Frames that may be decoded after another and shown before it: encoders make no more B-frames in a row."""


@dataclass(frozen=True)
class Shown:
    """A frame at a time.

    Attributes:
        time: When it is shown, ticks of the source.
        frame: The picture.
        is_repeated: Whether it stands for one that could not be decoded.
    """

    time: int
    frame: VideoFrame
    is_repeated: bool = False


@dataclass
class Damage:
    """What was wrong with a video, counted as it is decoded.

    Attributes:
        repeated: Frames that could not be decoded, in whose place the one before is shown.
        concealed: Frames that the decoder says are damaged.
        left_out: Packets before the first frame that can be decoded.
        moved: Frames whose times did not rise, moved behind the one before.
        reasons: What the decoder said.
    """

    repeated: int = 0
    concealed: int = 0
    left_out: int = 0
    moved: int = 0
    reasons: list[str] = field(default_factory=list)

    def notes(self) -> tuple[str, ...]:
        """In words for people."""
        reasons = f" ({'; '.join(dict.fromkeys(self.reasons))})" if self.reasons else ""
        counts = (
            (self.repeated, f"frames that could not be decoded, shown by the one before{reasons}"),
            (self.concealed, "frames that their decoder calls damaged, taken as they are"),
            (self.left_out, "packets before the first frame that can be decoded; no player shows them"),
            (self.moved, "frames whose times did not rise, moved behind the one before"),
        )
        return tuple(f"{text}: {count}" for count, text in counts if count)


def shown_frames(video: Video, damage: Damage, *, deinterlace: bool = False) -> Iterator[Shown]:
    """Decodes a video from its beginning.

    Every packet that holds a picture has a time; where no frame comes out for it, the frame before is
    given again, as a player would show it. Interlaced, or to be deinterlaced, only where the decoder says
    that it failed.

    Args:
        video: As described.
        damage: Takes what is wrong.
        deinterlace: Make each frame whole from its two fields and their neighbours (bwdif).

    Yields:
        Frames, their times rising.

    Raises:
        VideoError: The size changes on the way (deinterlaced, the pixel format), a frame is interlaced that
            is not to be made whole, or nothing can be decoded.
    """
    # Fields may be packets of their own, of which the second brings no frame; any may begin late.
    fills = video.codec not in _HIDES_FRAMES and not video.is_interlaced and not deinterlace
    frames = _of_one_size(_decoded(video, damage, fills=fills), video)
    frames = _deinterlaced(frames, video) if deinterlace else _without_fields(frames, video)
    last: Shown | None = None
    for shown in frames:
        if last is not None and shown.time <= last.time:
            damage.moved += 1
            shown = Shown(last.time + 1, shown.frame, shown.is_repeated)  # noqa: PLW2901
        last = shown
        yield shown
    if last is None:
        raise VideoError(f"{video.path}: no frame of it can be decoded.")


def _of_one_size(frames: Iterator[Shown], video: Video) -> Iterator[Shown]:
    for shown in frames:
        size = shown.frame.width, shown.frame.height
        if size != (video.width, video.height):
            raise _changed(video, shown, f"{video.width}×{video.height}", f"{size[0]}×{size[1]}")
        yield shown


def _without_fields(frames: Iterator[Shown], video: Video) -> Iterator[Shown]:
    """Refuses interlaced frames behind those that `describe` looked at."""
    for shown in frames:
        if shown.frame.interlaced_frame:
            seconds = float(shown.time * video.time_base)
            raise VideoError(
                f"{video.path}: its frames are interlaced from {seconds:.1f} s on, which would be upscaled "
                "as combs; add --deinterlace."
            )
        yield shown


def _changed(video: Video, shown: Shown, before: str, after: str) -> VideoError:
    seconds = float(shown.time * video.time_base)
    return VideoError(
        f"{video.path}: frames change from {before} to {after} at {seconds:.1f} s; cut it there, and "
        "upscale the parts."
    )


def _decoded(video: Video, damage: Damage, *, fills: bool) -> Iterator[Shown]:
    """Frames as they come; where `fills`, each packet without one is a frame that is lost."""
    waiting: list[int] = []  # times of packets whose frames have not come yet
    last: Shown | None = None
    step = max(1, round(1 / (video.rate * video.time_base)))
    with opened(video.path) as container:
        stream = video_stream(container, video.path)
        is_mixed = container.format.name == "avi" and video.codec in _REORDERED
        times = _Times(_MOST_AHEAD if is_mixed else 0)
        for packet in container.demux(stream):
            time = time_of(packet)
            frames, failed = _frames_of(packet, damage)
            if time is not None and not packet.is_discard and (fills or failed):
                heapq.heappush(waiting, time)
            is_end = not packet.size and packet.dts is None
            for frame in times.given(frames, is_end=is_end):
                time = time_of(frame)
                if time is None:  # raw streams have none at all
                    time = 0 if last is None else last.time + step
                while waiting and waiting[0] <= time:
                    missing = heapq.heappop(waiting)
                    if missing == time:
                        continue
                    if last is None:
                        damage.left_out += 1
                    elif missing > last.time:
                        last = _repeated(last, missing, damage)
                        yield last
                damage.concealed += frame.is_corrupt
                last = Shown(time, frame)
                yield last
        for missing in sorted(waiting):
            if last is not None and missing > last.time:
                last = _repeated(last, missing, damage)
                yield last


class _Times:
    """Gives times that are mixed to frames anew: decoders give frames in the order they are shown.

    Args:
        ahead: How many more frames are waited for, until the least of their times is known.
    """

    def __init__(self, ahead: int) -> None:
        self._ahead = ahead
        self._frames: deque[VideoFrame] = deque()
        self._times: list[int] = []

    def given(self, frames: list[VideoFrame], *, is_end: bool) -> Iterator[VideoFrame]:
        """All frames but those that wait for more, each with its time; at the end all of them."""
        for frame in frames:
            self._frames.append(frame)
            if (time := time_of(frame)) is not None:
                heapq.heappush(self._times, time)
        while len(self._frames) > (0 if is_end else self._ahead):
            frame = self._frames.popleft()
            frame.pts = heapq.heappop(self._times) if self._times else None
            yield frame


def _frames_of(packet: Packet[VideoStream], damage: Damage) -> tuple[list[VideoFrame], bool]:
    """A packet's frames, and whether it could not be decoded."""
    try:
        return packet.decode(), False
    except library().error.FFmpegError as error:
        if isinstance(error, EOFError):
            return [], False
        damage.reasons.append(words_of(error))
        return [], True


def _repeated(last: Shown, time: int, damage: Damage) -> Shown:
    damage.repeated += 1
    return Shown(time, last.frame, is_repeated=True)


def _deinterlaced(frames: Iterator[Shown], video: Video) -> Iterator[Shown]:
    """One whole frame for each; the filter looks at the next one, so it is one behind."""
    pushed: deque[Shown] = deque()
    graph: Any = None
    name = ""
    for shown in frames:
        if graph is None:
            graph, name = _bwdif(shown.frame), shown.frame.format.name
        if shown.frame.format.name != name:
            raise _changed(video, shown, name, shown.frame.format.name)
        pushed.append(shown)
        graph.vpush(shown.frame)
        yield from _pulled(graph, pushed)
    if graph is not None:
        graph.vpush(None)
        yield from _pulled(graph, pushed)
        for shown in pushed:  # none is left, unless the filter keeps one
            yield shown


def _pulled(graph: Any, pushed: deque[Shown]) -> Iterator[Shown]:
    av = library()
    with suppress(av.error.BlockingIOError, av.error.EOFError):
        while True:
            frame = graph.vpull()
            source = pushed.popleft()
            yield Shown(source.time, frame, source.is_repeated)


def _bwdif(frame: VideoFrame) -> Any:
    graph = library().filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    bwdif = graph.add("bwdif", "mode=send_frame:deint=interlaced")
    graph.link_nodes(source, bwdif, graph.add("buffersink")).configure()
    return graph
