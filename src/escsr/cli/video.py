"""`escsr upscale` for videos."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from escsr.cli.console import ERR, plain, progress
from escsr.cli.reports import Report, duration_text
from escsr.cli.video_runs import run_one, run_to_frames
from escsr.errors import ConfigError

if TYPE_CHECKING:
    from escsr.batch.manifest import Manifest
    from escsr.upscaling.options import UpscaleOptions
    from escsr.video import VideoOptions, VideoPlan
    from escsr.video.jobs import VideoJob

__all__ = ["check_options", "refuse_unused", "upscale_pipe", "upscale_videos"]

_LONG_SECONDS = 3600.0
"""Work that a terminal's user should agree to first."""

_OF_PICTURES = ("quality", "lossless", "subsampling", "strip", "to_srgb")

_OF_ENCODING = ("codec", "crf", "preset", "segment")


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


def refuse_unused(by: str, how: VideoOptions | None = None, **given: object) -> None:
    """Refuses options that would have no effect.

    Args:
        by: What makes them useless, for the message.
        how: Of videos, where frames are not encoded as one; None where there are no such options.
        given: Further ones by name; those that are true are refused.

    Raises:
        ConfigError: One of them is given.
    """
    unused = [name for name, value in given.items() if value]
    if how is not None:
        usual = type(how)()
        unused = [name for name in _OF_ENCODING if getattr(how, name) != getattr(usual, name)] + unused
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
        dry_run: Only say what would be done; of a folder of frames as far as the first one tells.
        yes: Begin without asking for it what takes hours, or more room than there is.
        skip_existing: Skip what an earlier run with `skip_existing` made from equal input and settings.
        fail_fast: Stop at the first that fails.
        debug: Raise the first error as it is.
        quiet: No progress bar.

    Raises:
        ConfigError: Of one video: options do not fit, or the work is long or large, and `yes` is not given
            on a terminal. Of several, each that they do not fit fails.
    """
    from escsr.batch import Job, Outcome
    from escsr.batch.manifest import Manifest
    from escsr.batch.pictures import failure_of
    from escsr.video.frame_folders import FPS_WITHOUT_FRAMES

    if how.fps is not None and not any(job.source.is_dir() for job in jobs):
        raise ConfigError(FPS_WITHOUT_FRAMES)
    videos = _Videos(
        report, options, how, format, suffix, dry_run, yes, quiet, Manifest() if skip_existing else None
    )
    for job in jobs:
        try:
            videos.upscale(job)
        except Exception as error:
            if debug or (isinstance(error, ConfigError) and len(jobs) == 1):
                raise
            failed = Job(job.source, job.target or job.source)
            report.add(Outcome(failed, "failed", failure_of(failed, error)))
            if fail_fast:
                return
        if report.stopped:
            return


@dataclass(frozen=True)
class _Videos:
    """How each video is upscaled; without a manifest nothing is skipped. See `upscale_videos`."""

    report: Report
    options: UpscaleOptions
    how: VideoOptions
    format: str | None
    suffix: str | None
    dry_run: bool
    yes: bool
    quiet: bool
    manifest: Manifest | None

    def upscale(self, job: VideoJob) -> None:
        from escsr.video.frame_files import is_frame_pattern
        from escsr.video.frame_folders import frames_as_video

        if job.target is not None and is_frame_pattern(job.target):
            useless = {"dry_run": self.dry_run, "skip_existing": self.manifest is not None, "yes": self.yes}
            refuse_unused("frames as pictures", self.how, **useless)
            run_to_frames(job.source, job.target, self.options, self.how, self.report, quiet=self.quiet)
            return
        first = None
        if job.source.is_dir() and (first := self._told_by_first_frame(job)) is None:
            return
        with frames_as_video(job.source, self.how.fps) as file:
            self.report.names = {str(file): str(job.source)}
            self._upscale_file(file, job.target, first)

    def _told_by_first_frame(self, job: VideoJob) -> VideoPlan | None:
        """Its plan, or None where that is all; what does not fit is refused before all frames are read."""
        from escsr.video.forecast import forecast_video
        from escsr.video.frame_folders import planned_by_first_frame

        with planned_by_first_frame(job.source, job.target, self.options, self.how) as plan:
            self.report.names = {str(plan.video.path): str(job.source)}
            if self.manifest is not None and self.manifest.lists(plan.target):
                return plan
            if self._is_passed_over(plan):
                return None
            if self.dry_run:
                self.report.add(forecast_video(plan))
                return None
            _agree(plan, yes=self.yes)
            return plan

    def _upscale_file(self, source: Path, target: Path | None, first: VideoPlan | None) -> None:
        from escsr.video import plan_video
        from escsr.video.forecast import forecast_video

        plan = plan_video(
            source,
            target,
            self.options,
            self.how,
            format=self.format,
            suffix=self.suffix,
            first=first,
        )
        if self._is_passed_over(plan):
            return
        if self.dry_run:
            self.report.add(forecast_video(plan))
            return
        _agree(plan, yes=self.yes)
        self.report.begin_video(plan)
        if self.manifest is not None:
            self.manifest.begin(plan.target)
        if run_one(plan, self.report, quiet=self.quiet) and self.manifest is not None:
            self.manifest.add(plan.target, plan.key)

    def _is_passed_over(self, plan: VideoPlan) -> bool:
        """Whether the result is there: made so by an earlier run, or a file of somebody else's."""
        from escsr.batch import Job, Outcome
        from escsr.batch.pictures import LEFT

        if self.manifest is None:
            return False
        is_left = self.manifest.is_foreign(plan.target)
        if not (is_left or self.manifest.has(plan.target, plan.key)):
            return False
        job = Job(plan.video.path, plan.target)
        self.report.add(Outcome(job, "skipped", notes=(LEFT,) if is_left else ()))
        return True


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
    if inputs[0] == "-" and how.deinterlace:
        raise ConfigError(
            "--deinterlace: for files, not for standard input; ffmpeg -vf bwdif does it before."
        )
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
    """Asks for --yes where somebody sits before work of hours, or one that the disk has no room for."""
    from escsr.video.forecast import forecast_video
    from escsr.video.segments import segments_bytes

    if yes or not (sys.stdin is not None and sys.stdin.isatty() and ERR.is_terminal):
        return
    free = plan.free_bytes
    if plan.disk_bytes > free and (need := plan.disk_bytes - segments_bytes(plan.target, plan.key)) > free:
        raise ConfigError(
            f"{plan.target} takes about {need / 2**30:.2f} GiB of disk until it is whole, and "
            f"{free / 2**30:.2f} are free; make room, or add --yes to begin."
        )
    promised = forecast_video(plan)
    if promised.seconds > _LONG_SECONDS:
        raise ConfigError(
            f"{promised.frames} frames take about {duration_text(promised.seconds)}; "
            "add --yes to begin. It can be interrupted, and the same command continues it."
        )
