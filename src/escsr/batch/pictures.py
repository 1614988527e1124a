"""The way of one picture: read, upscaled, written, and what became of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Literal, NamedTuple

from escsr import images
from escsr.batch.jobs import Job
from escsr.batch.manifest import Manifest, key_of
from escsr.batch.models import Models
from escsr.batch.pipeline import PipelineItem
from escsr.errors import DeviceError, EscError, ImageError
from escsr.images import Animation, Picture
from escsr.upscaling.preflight import check_result
from escsr.upscaling.target_size import TargetSize
from escsr.upscaling.upscaler import Upscaler

__all__ = ["Outcome", "PictureSteps", "Progress", "Status", "outcome_of"]

_LOG = logging.getLogger(__name__)

Status = Literal["done", "skipped", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: The picture and where its result went.
        status: "done", "skipped" (was done already) or "failed".
        error: Why it failed, else None.
        seconds: Reading, network and writing.
        model: Name of the model that upscaled it.
        size: Width and height of the result, pixels; None where there is none.
        notes: What had to be changed on the way, in words.
    """

    job: Job
    status: Status
    error: EscError | None = None
    seconds: float = 0.0
    model: str = ""
    size: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Progress:
    """How far the work is.

    Attributes:
        job: The picture at hand.
        share: How much of it is done, in [0, 1].
        overall: How much of all jobs is done, by the bytes of their files, in [0, 1].
        number: Number of the job, from 1.
        jobs: Jobs in all.
    """

    job: Job
    share: float
    overall: float
    number: int
    jobs: int


class _Work(NamedTuple):
    """A picture on its way."""

    number: int
    key: str
    upscaler: Upscaler
    picture: Picture | Animation


@dataclass
class PictureSteps:
    """The steps of a `Pipeline`, whose items are indices of jobs.

    Attributes:
        jobs: The plan.
        models: The models at hand.
        size: What results measure.
        manifest: Where pictures that are done are noted, or None.
        on_progress: Called often, or None.
    """

    jobs: Sequence[Job]
    models: Models
    size: TargetSize
    manifest: Manifest | None = None
    on_progress: Callable[[Progress], None] | None = None

    def __post_init__(self) -> None:
        sizes = (_bytes_of(job.source) for job in self.jobs) if self.on_progress else ()
        self._bytes_up_to = [0, *accumulate(sizes)]

    def read(self, index: int) -> _Work | None:
        """The reader's part; what is done already is not decoded, and passed over."""
        job, options, key = self.jobs[index], self.models.options, ""
        header = images.read_header(job.source)
        scale = self.size.scale_of(header.height, header.width)
        if self.manifest is not None:
            key = key_of(job.source, self.models.digest(scale), self.size, options)
            if self.manifest.has(job.target, key):
                return None
        upscaler = self.models.reaching(scale)
        check_result(header, job.target, self.size, scale=upscaler.scale, max_pixels=options.max_pixels)
        picture = images.read_for(job.target, job.source, to_srgb=options.to_srgb)
        return _Work(index, key, upscaler, picture)

    def upscale(self, work: _Work | None) -> _Work | None:
        """The network's part."""
        if work is None:
            return None
        report = self.on_progress and partial(self._report, self.on_progress, work.number)
        larger = work.upscaler.upscale_picture(work.picture, size=self.size, on_progress=report)
        return work._replace(picture=larger)

    def write(self, work: _Work | None) -> Outcome | None:
        """The writer's part; the note follows the picture."""
        if work is None:
            return None
        job, picture = self.jobs[work.number], work.picture
        images.write(picture, job.target, self.models.options.write_options)
        if self.manifest is not None:
            self.manifest.add(job.target, work.key)
        rows, columns = (picture.frames[0] if isinstance(picture, Animation) else picture.pixels).shape[:2]
        return Outcome(job, "done", model=work.upscaler.name, size=(columns, rows), notes=picture.notes)

    def _report(self, on_progress: Callable[[Progress], None], index: int, share: float) -> None:
        before, after = self._bytes_up_to[index : index + 2]
        overall = (before + share * (after - before)) / max(1, self._bytes_up_to[-1])
        on_progress(Progress(self.jobs[index], share, overall, index + 1, len(self.jobs)))


def outcome_of(job: Job, item: PipelineItem[int, Outcome | None]) -> Outcome:
    """What became of a job by its item: whatever was raised is one failed picture."""
    error = item.error
    if error is None:
        return replace(item.value or Outcome(job, "skipped"), seconds=item.seconds)
    _LOG.debug("%s failed", job.source, exc_info=error)
    if isinstance(error, MemoryError):
        error = DeviceError(
            f"{job.source}: not enough memory; close other programs, or choose a smaller size."
        )
    elif isinstance(error, OSError):
        error = ImageError(f"{job.source}: cannot be read or written ({error.strerror or error}).")
    elif not isinstance(error, EscError):
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        error = EscError(f"{job.source}: {what} (a fault of escsr; --debug shows where).")
    # The traceback holds the pictures of its frames.
    return Outcome(job, "failed", error.with_traceback(None), item.seconds)


def _bytes_of(source: Path) -> int:
    try:
        return source.stat().st_size
    except (OSError, ValueError):
        return 0
