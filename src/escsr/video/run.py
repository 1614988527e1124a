"""A video upscaled: decoded, upscaled and encoded at once, in segments that outlive an interruption."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from escsr.batch.pipeline import Pipeline
from escsr.errors import ConfigError
from escsr.runtime.choices import VideoCodec
from escsr.upscaling.options import UpscaleOptions
from escsr.video.colour import from_rgb, to_rgb
from escsr.video.frame_folders import frames_as_video, planned_by_first_frame
from escsr.video.frames import Damage, Shown, shown_frames
from escsr.video.joining import join
from escsr.video.network import FrameUpscaler
from escsr.video.plan import VideoOptions, VideoPlan, plan_video
from escsr.video.segments import Segments, SegmentWriter, number_of, older_segments

if TYPE_CHECKING:
    from av import VideoFrame

__all__ = ["UpscaledVideo", "VideoProgress", "run_video", "upscale_video"]

_QUEUE = 4
"""Frames that wait before the network, and behind it."""


@dataclass(frozen=True)
class VideoProgress:
    """How far a video is.

    Attributes:
        frame: Frames that are done, those of earlier runs too.
        frames: Frames in all.
        frames_per_second: Speed of this run.
        seconds_left: At this speed; None before there is one.
    """

    frame: int
    frames: int
    frames_per_second: float
    seconds_left: float | None


@dataclass(frozen=True)
class UpscaledVideo:
    """What became of a video.

    Attributes:
        target: The result.
        is_whole: Whether it is there; else the run was stopped at the end of a segment, and goes on when it
            is called again.
        frames: Frames that are done.
        size: Width and height of the result as it is shown, pixels.
        model: Name of the model.
        seconds: This run.
        notes: What a user should know, in words.
    """

    target: Path
    is_whole: bool
    frames: int
    size: tuple[int, int]
    model: str
    seconds: float
    notes: tuple[str, ...]


class _Work(NamedTuple):
    """A frame on its way; results that are those of the frame before are the same object."""

    number: int
    segment: int
    time: int
    pixels: NDArray[np.float32]


def run_video(
    plan: VideoPlan,
    *,
    stop: threading.Event | None = None,
    on_progress: Callable[[VideoProgress], None] | None = None,
) -> UpscaledVideo:
    """Carries out a plan; what an earlier run has done is not done again.

    Args:
        plan: As checked.
        stop: Once set, the segment at hand is finished and no other begun.
        on_progress: Called after each frame.

    Raises:
        OutputError: The result cannot be written; what is done is kept.
        VideoError: The source changes its size on the way.
        DeviceError: The memory does not suffice.
    """
    start = time.perf_counter()
    stop = stop or threading.Event()
    with Segments(plan.target, plan.key) as segments:
        if not segments.is_complete:
            _Run(plan, segments, stop, on_progress).upscale()
        frames = sum(len(segment.times) for segment in segments.done.values())
        notes = plan.notes + (segments.notes or ())
        if segments.is_complete:
            join(plan.video, segments.done, plan.target, plan.encoding, plan.container)
            segments.remove()
        seconds = time.perf_counter() - start
        is_whole = segments.is_complete
    return UpscaledVideo(plan.target, is_whole, frames, plan.size, plan.upscaler.name, seconds, notes)


class _StoppedError(Exception):
    """A frame is not begun, because the run is to end before its segment."""


class _Run:
    """The frames of one run, from the first segment that is not done."""

    def __init__(
        self,
        plan: VideoPlan,
        segments: Segments,
        stop: threading.Event,
        on_progress: Callable[[VideoProgress], None] | None,
    ) -> None:
        self.plan, self.segments, self.stop, self.on_progress = plan, segments, stop, on_progress
        self.damage = Damage()
        self.cancel = threading.Event()
        self.is_read = False  # to the end
        self.frames = self._frames()
        self.counted = count()
        self.writer: SegmentWriter | None = None
        self.written = 0
        self.segment = -1  # of the last frame that was written
        self.working = -1  # of the last frame that was upscaled
        self.network = FrameUpscaler(plan.upscaler, plan.wanted, plan.encoding.size)
        self.encoded: tuple[NDArray[np.float32], VideoFrame] | None = None

    def upscale(self) -> None:
        """Upscales frame by frame; whatever ends it leaves whole segments only."""
        pipeline: Pipeline[int, _Work, _Work, int] = Pipeline(
            self._read, self._upscale, self._write, queue_size=_QUEUE
        )
        before = sum(len(segment.times) for segment in self.segments.done.values())
        start, done = time.perf_counter(), 0
        try:
            with closing(pipeline.run(self._numbers(), cancel=self.cancel)) as items:
                for item in items:
                    if isinstance(item.error, _StoppedError):
                        break
                    if item.error is not None:
                        self.cancel.set()
                        raise item.error
                    if item.value is not None:
                        done += 1
                        self._report(before, done, time.perf_counter() - start)
            self._close_segment()
            if not self.cancel.is_set():
                self.segments.complete(self.damage.notes())
        finally:
            self.frames.close()
            if self.writer is not None:
                self.writer.abandon()

    def _numbers(self) -> Iterator[int]:
        for number in count():
            if self.is_read:
                return
            yield number

    def _frames(self) -> Generator[tuple[int, Shown], None, None]:
        """Frames that are not done, with the numbers of their segments.

        Decoding begins at the beginning all the same: it takes a fraction of the network's time, and
        frames after a jump may be others.
        """
        plan, first = self.plan, None
        for shown in shown_frames(plan.video, self.damage, deinterlace=plan.how.deinterlace):
            first = shown.time if first is None else first
            number = number_of(shown.time, first, plan.video.time_base, plan.how.segment)
            if number not in self.segments.done:
                yield number, shown

    def _read(self, _: int) -> _Work | None:
        """The reader's part: the next frame, in float."""
        following = next(self.frames, None)
        if following is None:
            self.is_read = True
            return None
        number, shown = following
        return _Work(next(self.counted), number, shown.time, to_rgb(shown.frame, self.plan.video.colours))

    def _upscale(self, work: _Work) -> _Work:
        """The network's part; a frame that equals the one before takes its result."""
        if self.stop.is_set() and self.working not in (-1, work.segment):
            self.cancel.set()
            raise _StoppedError
        self.working = work.segment
        return work._replace(pixels=self.network(work.pixels))

    def _write(self, work: _Work) -> int:
        """The writer's part; nothing is written behind a frame that failed."""
        assert work.number == self.written, "the frame before is missing"
        if self.segment != work.segment:
            self._close_segment()
            self.writer = SegmentWriter(self.segments.path_of(work.segment), self.plan.encoding)
            self.segment = work.segment
        encoding = self.plan.encoding
        if self.encoded is None or self.encoded[0] is not work.pixels:
            self.encoded = work.pixels, from_rgb(work.pixels, encoding.layout, encoding.colours)
        assert self.writer is not None
        self.writer.write(self.encoded[1], work.time)
        self.written += 1
        return work.segment

    def _close_segment(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.segments.add(self.segment, self.writer.times)
            self.writer = None

    def _report(self, before: int, done: int, seconds: float) -> None:
        if self.on_progress is not None:
            total = max(self.plan.video.frames, before + done)
            speed = done / max(seconds, 1e-9)
            self.on_progress(VideoProgress(before + done, total, speed, (total - before - done) / speed))


def upscale_video(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    *,
    codec: VideoCodec = "auto",
    crf: int | None = None,
    preset: str | None = None,
    segment: float = 10.0,
    deinterlace: bool = False,
    fps: str | None = None,
    stop: threading.Event | None = None,
    on_progress: Callable[[VideoProgress], None] | None = None,
    options: UpscaleOptions | None = None,
    **settings: Any,
) -> UpscaledVideo:
    """Upscales a video: every frame, at its time; all other streams are copied.

    A run that was interrupted, by whatever, goes on where it was when it is called again with the same
    source, target and settings; the result is the same.

    Args:
        source: The file, or a folder of pictures, see `frames_as_video`; the latter needs a target.
        target: File to write: .mp4, .mkv, .mov, .webm; None for a name beside the source.
        codec: See `VideoOptions`.
        crf: See `VideoOptions`.
        preset: See `VideoOptions`.
        segment: See `VideoOptions`.
        deinterlace: See `VideoOptions`.
        fps: See `VideoOptions`.
        stop: Once set, the segment at hand is finished and no other begun.
        on_progress: Called after each frame.
        options: See `UpscaleOptions`; None for the usual ones.
        settings: Options by name, in place of those in `options`: `scale=4`, `model="real"`.

    Returns:
        What became of it.

    Raises:
        VideoError: The source cannot be read, or the extra `video` is not installed.
        EscError: Model, device, target or settings are not as they should be.
    """
    how = VideoOptions(
        codec=codec, crf=crf, preset=preset, segment=segment, deinterlace=deinterlace, fps=fps
    )
    chosen = replace(options or UpscaleOptions(), **settings)
    source, target = Path(source), None if target is None else Path(target)
    if target is None and source.is_dir():
        raise ConfigError(f"{source} is a folder of frames; name the video that it shall become.")
    first = None
    if source.is_dir():  # what does not fit is told before all frames are read
        with planned_by_first_frame(source, target, chosen, how) as first:
            pass
    with frames_as_video(source, fps) as file:
        plan = plan_video(file, target, chosen, how, first=first)
        older = older_segments(plan.target, plan.key)
        done = run_video(plan, stop=stop, on_progress=on_progress)
        return replace(done, notes=(*done.notes, *older))
