"""`escsr upscale` for videos."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from escsr.cli.console import ERR, plain, progress
from escsr.cli.interrupts import finish_on_interrupt
from escsr.cli.reports import JsonReport, Report, duration_text, write_line
from escsr.errors import ConfigError

if TYPE_CHECKING:
    from escsr.upscaling.options import UpscaleOptions
    from escsr.video import VideoOptions, VideoPlan, VideoProgress
    from escsr.video.jobs import VideoJob

__all__ = ["check_options", "refuse_unused", "upscale_pipe", "upscale_videos"]

_LONG_SECONDS = 3600.0
"""Work that a terminal's user should agree to first."""

_OF_PICTURES = ("quality", "lossless", "subsampling", "strip", "to_srgb")

_OF_ENCODING = ("codec", "crf", "preset", "segment")

_EVERY_SECONDS = 1.0
"""Between two lines of progress in JSON."""


def check_options(options: UpscaleOptions, shard: str | None, jobs: Sequence[VideoJob] = ()) -> None:
    """Refuses options that are for pictures only, unless frames become pictures.

    Raises:
        ConfigError: One of them is given.
    """
    from escsr.video.frame_files import is_frame_pattern

    plain_ones = type(options)()
    if jobs and all(is_frame_pattern(job.target) for job in jobs):
        options = plain_ones
    given = [name for name in _OF_PICTURES if getattr(options, name) != getattr(plain_ones, name)]
    given += ["shard"] if shard is not None else []
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ConfigError(f"{flags}: for pictures, not for videos; see --codec, --crf and --preset.")


def refuse_unused(by: str, how: VideoOptions, **given: object) -> None:
    """Refuses options that would have no effect where frames are not encoded as a video.

    Args:
        by: What makes them useless, for the message.
        how: The options of videos.
        given: Further ones by name; those that are true are refused.

    Raises:
        ConfigError: One of them is given.
    """
    usual = type(how)()
    unused = [name for name in _OF_ENCODING if getattr(how, name) != getattr(usual, name)]
    unused += [name for name, value in given.items() if value]
    if unused:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in unused)
        raise ConfigError(f"{flags}: of no use with {by}.")


def upscale_videos(
    jobs: Sequence[VideoJob],
    report: Report,
    *,
    options: UpscaleOptions,
    how: VideoOptions,
    format: str | None,
    suffix: str | None,
    dry_run: bool,
    yes: bool,
    skip_existing: bool,
    fail_fast: bool,
    debug: bool,
    quiet: bool,
) -> None:
    """Upscales videos one after the other, or says what would be done.

    Args:
        jobs: The videos.
        report: Takes what becomes of them.
        options: How frames are upscaled.
        how: How they are encoded.
        format: Ending of results beside their sources.
        suffix: What to put in the place of "_x2" in their names.
        dry_run: Only say what would be done.
        yes: Begin work of hours without asking for it.
        skip_existing: Skip what an earlier run with `skip_existing` made from equal input and settings.
        fail_fast: Stop at the first that fails.
        debug: Raise the first error as it is.
        quiet: No progress bar.

    Raises:
        ConfigError: Of one video: options do not fit, or the work is long, and `yes` is not given on a
            terminal. Of several, each that they do not fit fails.
    """
    from escsr.batch import Job, Outcome
    from escsr.batch.manifest import Manifest
    from escsr.batch.pictures import failure_of
    from escsr.video import plan_video
    from escsr.video.forecast import forecast_video
    from escsr.video.frame_files import is_frame_pattern
    from escsr.video.frame_folders import FPS_WITHOUT_FRAMES, frames_as_video

    manifest = Manifest()
    if how.fps is not None and not any(job.source.is_dir() for job in jobs):
        raise ConfigError(FPS_WITHOUT_FRAMES)

    def upscale_one(job: VideoJob) -> None:
        if job.target is not None and is_frame_pattern(job.target):
            unused = {"dry_run": dry_run, "skip_existing": skip_existing, "yes": yes}
            refuse_unused("frames as pictures", how, **unused)
            _run_to_frames(job.source, job.target, options, how, report, quiet=quiet)
            return
        with frames_as_video(job.source, how.fps) as file:
            report.names = {str(file): str(job.source)}
            upscale_file(file, job.target)

    def upscale_file(source: Path, target: Path | None) -> None:
        plan = plan_video(source, target, options, how, format=format, suffix=suffix)
        if skip_existing and manifest.has(plan.target, plan.key):
            report.add(Outcome(Job(source, plan.target), "skipped"))
        elif dry_run:
            report.add(forecast_video(plan))
        else:
            _agree(plan, yes=yes)
            if skip_existing:
                manifest.begin(plan.target)
            is_whole = _run(plan, report, quiet=quiet)
            if is_whole and skip_existing:
                manifest.add(plan.target, plan.key)

    for job in jobs:
        try:
            upscale_one(job)
        except Exception as error:
            if debug or (isinstance(error, ConfigError) and len(jobs) == 1):
                raise
            failed = Job(job.source, job.target or job.source)
            report.add(Outcome(failed, "failed", failure_of(failed, error)))
            if fail_fast:
                return
        if report.stopped:
            return


def upscale_pipe(
    inputs: Sequence[str],
    output: str | None,
    pipe: str,
    options: UpscaleOptions,
    how: VideoOptions,
    *,
    quiet: bool = False,
) -> None:
    """Upscales a video from standard input to standard output, or a file to standard output, as y4m or raw.

    Args:
        inputs: `-`, or one video.
        output: `-`; None for it.
        pipe: See `escsr.video.pipes.read_format`.
        options: How frames are upscaled.
        how: Whether interlaced frames are made whole.
        quiet: No progress bar.

    Raises:
        ConfigError: Inputs or output are others.
        OutputError: Frames have too many pixels, or a standard stream is closed.
        VideoError: The source cannot be read, or is interlaced.
    """
    from escsr.batch.pipes import bytes_of
    from escsr.video.frames import Damage
    from escsr.video.heeded_pipes import heeding
    from escsr.video.pipes import (
        PipeFormat,
        frames_of_pipe,
        frames_of_video,
        read_format,
        write_frames,
    )
    from escsr.video.plan import check_pixels, upscaler_for
    from escsr.video.source import describe

    if len(inputs) != 1 or output not in (None, "-"):
        raise ConfigError("--pipe takes one video, a file or -, to standard output; leave out -o.")
    damage, notes, ended = Damage(), tuple[str, ...](), threading.Event()
    target = heeding(ended, bytes_of(sys.stdout, "output"))
    if inputs[0] == "-":
        source = heeding(ended, bytes_of(sys.stdin, "input"))
        form = read_format(source, pipe)
        frames = frames_of_pipe(source, form)
        wanted, upscaler = upscaler_for(form.height, form.width, options)
    elif pipe == "y4m":
        video = describe(Path(inputs[0]))
        video.check_fields(deinterlace=how.deinterlace)
        form, notes = PipeFormat.of_video(video), video.notes
        if not video.is_steady:
            notes += (f"its frames are not equally long; y4m shows {float(video.rate):.4g} a second",)
        frames = frames_of_video(video, damage, deinterlace=how.deinterlace)
        wanted, upscaler = upscaler_for(form.height, form.width, options)
    else:
        raise ConfigError("--pipe of a file is y4m; raw is for standard input.")
    rows, columns = (part.stop - part.start for part in wanted.kept(form.height, form.width))
    name = "Standard input" if inputs[0] == "-" else inputs[0]
    check_pixels(name, (form.width, form.height), (columns, rows), options.max_pixels)
    with progress("", quiet=quiet) as bar:
        for number in write_frames(frames, form, target, upscaler, wanted, ended=ended):
            bar(None, None, f"frame {number}")
    for note in (*notes, *damage.notes()):
        ERR.print(plain(note))


def _agree(plan: VideoPlan, *, yes: bool) -> None:
    """Asks for --yes where somebody sits before work of hours."""
    from escsr.video.forecast import forecast_video

    if yes or not (sys.stdin is not None and sys.stdin.isatty() and ERR.is_terminal):
        return
    promised = forecast_video(plan)
    if promised.seconds > _LONG_SECONDS:
        raise ConfigError(
            f"{promised.frames} frames take about {duration_text(promised.seconds)}; "
            "add --yes to begin. It can be interrupted, and the same command continues it."
        )


def _run(plan: VideoPlan, report: Report, *, quiet: bool) -> bool:
    """Upscales under a bar, with Ctrl-C in two steps; returns whether the result is whole."""
    from escsr.video import run_video
    from escsr.video.forecast import outcome_of_video

    source = report.named(plan.video.path)
    stop, name, said = threading.Event(), Path(source).absolute().name, 0.0
    done, ended = None, f"{name}: stopped; the same command continues behind the last finished segment."
    with (
        _ended_by_signals(report, ended),
        progress("", quiet) as bar,
        finish_on_interrupt(stop, lambda: ERR.print(_FINISHING)),
    ):

        def show(at: VideoProgress) -> None:
            nonlocal said
            bar(
                at.frame,
                at.frames,
                f"{name}  {at.frame} of {at.frames}  {at.frames_per_second:.2f} frames/s",
            )
            if isinstance(report, JsonReport) and time.perf_counter() - said >= _EVERY_SECONDS:
                said = time.perf_counter()
                write_line({"event": "progress", "source": source, **vars(at)})

        done = run_video(plan, stop=stop, on_progress=show)
    report.stopped |= stop.is_set()
    if done is None:
        return False
    if done.is_whole:
        report.add(outcome_of_video(plan, done))
    else:
        of = f"{done.frames} of {plan.video.frames} frames"
        ERR.print(plain(f"{name}: stopped with {of} done; the same command continues from there."))
    return done.is_whole


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


def _run_to_frames(
    source: Path,
    pattern: Path,
    options: UpscaleOptions,
    how: VideoOptions,
    report: Report,
    *,
    quiet: bool,
) -> None:
    """Upscales under a bar, with Ctrl-C in two steps."""
    from escsr.batch import Job, Outcome
    from escsr.video.frame_files import upscale_to_frames

    begun, stop, made = time.perf_counter(), threading.Event(), None
    rest = "the same command begins anew, with the first frame"
    with (
        _ended_by_signals(report, f"{source.name}: stopped; what is done is in {pattern.parent}; {rest}."),
        progress("", quiet) as bar,
        finish_on_interrupt(stop, lambda: ERR.print(_FINISHING_FRAME)),
    ):
        made = upscale_to_frames(
            source,
            pattern,
            options,
            how,
            stop=stop,
            on_progress=lambda number, of: bar(number, of, f"{source.name}  {number} of {of}"),
        )
    report.stopped |= stop.is_set()
    if made is None:
        return
    if made.is_whole:
        seconds = time.perf_counter() - begun
        report.add(Outcome(Job(source, pattern), "done", seconds=seconds, notes=made.notes))
        return
    ERR.print(plain(f"{source.name}: stopped with {made.frames} frames in {pattern.parent}; {rest}."))
    for note in made.notes:
        ERR.print(plain(f"  {note}"))


_FINISHING_FRAME = "Finishing the current frame; press Ctrl-C again to stop at once."
_FINISHING = "Finishing the current segment; press Ctrl-C again to stop at once (and do it again later)."
