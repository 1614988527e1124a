"""Videos at work: the bar or the lines of progress, and what Ctrl-C ends when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from escsr.cli.console import ERR, plain, progress
from escsr.cli.interrupts import finish_on_interrupt
from escsr.cli.reports import JsonReport, Report, write_line

if TYPE_CHECKING:
    from escsr.upscaling.options import UpscaleOptions
    from escsr.video import VideoOptions, VideoPlan, VideoProgress

__all__ = ["run_one", "run_to_frames"]

_EVERY_SECONDS = 1.0
"""Between two lines of progress in JSON."""


def run_one(plan: VideoPlan, report: Report, *, quiet: bool) -> bool:
    """Upscales a video under a bar, with Ctrl-C in two steps; returns whether the result is whole.

    Args:
        plan: As checked.
        report: Takes what becomes of it.
        quiet: No progress bar.
    """
    from escsr.video import run_video
    from escsr.video.forecast import outcome_of_video
    from escsr.video.segments import older_segments

    source = report.named(plan.video.path)
    for note in (
        () if quiet and not isinstance(report, JsonReport) else older_segments(plan.target, plan.key)
    ):
        ERR.print(plain(f"{source}: {note}."))
    stop, name = threading.Event(), Path(source).absolute().name
    done, ended = None, f"{name}: stopped; the same command continues behind the last finished segment."
    with (
        _ended_by_signals(report, ended),
        progress("", quiet) as bar,
        finish_on_interrupt(stop, lambda: ERR.print(_FINISHING)),
    ):
        done = run_video(plan, stop=stop, on_progress=_shown(bar, report, source))
    report.stopped |= stop.is_set()
    if done is None:
        return False
    if done.is_whole:
        report.add(outcome_of_video(plan, done))
    else:
        of = f"{done.frames} of {plan.video.frames} frames"
        ERR.print(plain(f"{name}: stopped with {of} done; the same command continues from there."))
    return done.is_whole


def _shown(bar: Callable[..., None], report: Report, source: str) -> Callable[[VideoProgress], None]:
    """Shows progress beside the bar, and for programs as lines of JSON."""
    name, said = Path(source).absolute().name, -_EVERY_SECONDS

    def show(at: VideoProgress) -> None:
        nonlocal said
        bar(at.frame, at.frames, f"{name}  {at.frame} of {at.frames}  {at.frames_per_second:.2f} frames/s")
        if isinstance(report, JsonReport) and time.perf_counter() - said >= _EVERY_SECONDS:
            said = time.perf_counter()
            write_line({"event": "progress", "source": source, **vars(at)})

    return show


@contextmanager
def _ended_by_signals(report: Report, text: str) -> Iterator[None]:
    """Says how it goes on where a second Ctrl-C stops the work, or a signal ends the process."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as ended:
        report.stopped = True
        ERR.print(plain(text))
        if isinstance(ended, SystemExit):
            report.end()
            raise


def run_to_frames(
    source: Path,
    pattern: Path,
    options: UpscaleOptions,
    how: VideoOptions,
    report: Report,
    *,
    quiet: bool,
) -> None:
    """Upscales a video to pictures under a bar, with Ctrl-C in two steps.

    Args:
        source: The video.
        pattern: Of the pictures' names.
        options: How frames are upscaled, and pictures written.
        how: Whether interlaced frames are made whole.
        report: Takes what becomes of it.
        quiet: No progress bar.
    """
    from escsr.batch import Job
    from escsr.video import VideoProgress
    from escsr.video.forecast import VideoOutcome
    from escsr.video.frame_files import upscale_to_frames

    begun, stop, made = time.perf_counter(), threading.Event(), None
    rest = "the same command begins anew, with the first frame"
    with (
        _ended_by_signals(report, f"{source.name}: stopped; what is done is in {pattern.parent}; {rest}."),
        progress("", quiet) as bar,
        finish_on_interrupt(stop, lambda: ERR.print(_FINISHING_FRAME)),
    ):
        show = _shown(bar, report, str(source))

        def show_frame(number: int, of: int) -> None:
            speed = number / max(time.perf_counter() - begun, 1e-9)
            frames = max(number, of)
            show(VideoProgress(number, frames, speed, (frames - number) / speed))

        made = upscale_to_frames(
            source,
            pattern,
            options,
            how,
            stop=stop,
            on_progress=show_frame,
        )
    report.stopped |= stop.is_set()
    if made is None:
        return
    if made.is_whole:
        seconds = time.perf_counter() - begun
        done = VideoOutcome(
            Job(source, pattern),
            "done",
            seconds=seconds,
            model=made.model,
            size=made.size,
            notes=made.notes,
            frames=made.frames,
        )
        report.add(done)
        return
    ERR.print(plain(f"{source.name}: stopped with {made.frames} frames in {pattern.parent}; {rest}."))
    for note in made.notes:
        ERR.print(plain(f"  {note}"))


_FINISHING_FRAME = "Finishing the current frame; press Ctrl-C again to stop at once."
_FINISHING = "Finishing the current segment; press Ctrl-C again to stop at once (and do it again later)."
