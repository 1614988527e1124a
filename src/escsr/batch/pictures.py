"""What is said of a picture on its way: how far it is, and what became of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Literal

from escsr.batch.jobs import Job
from escsr.batch.pipeline import PipelineItem
from escsr.errors import DeviceError, EscError, ImageError
from escsr.images import Animation, Picture
from escsr.upscaling.damage import measure_damage

__all__ = ["Outcome", "Progress", "failure_of", "hint_for", "outcome_of", "progress_of"]

_LOG = logging.getLogger(__name__)


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
        hint: What would look better, in words; "" for nothing.
    """

    job: Job
    status: Literal["done", "skipped", "failed"]
    error: EscError | None = None
    seconds: float = 0.0
    model: str = ""
    size: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()
    hint: str = ""


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


def progress_of(
    jobs: Sequence[Job], on_progress: Callable[[Progress], None]
) -> Callable[[int, float], None]:
    """Takes the index of a job and the share of it that is done, and reports how far all of them are."""
    up_to = [0, *accumulate(_bytes_of(job.source) for job in jobs)]

    def report(index: int, share: float) -> None:
        before, after = up_to[index : index + 2]
        overall = (before + share * (after - before)) / max(1, up_to[-1])
        on_progress(Progress(jobs[index], share, overall, index + 1, len(jobs)))

    return report


def hint_for(picture: Picture | Animation) -> str:
    """What suits a picture better than a model for clean ones; of an animation the first frame decides.

    Args:
        picture: As decoded.

    Returns:
        A sentence for people; "" where none does.
    """
    if isinstance(picture, Animation):
        damage = measure_damage(picture.frames[0])
    else:
        damage = measure_damage(picture.pixels, linear=picture.linear)
    return f"{damage} found; --model real will look better." if damage.is_damaged else ""


def outcome_of(job: Job, item: PipelineItem[int, Outcome]) -> Outcome:
    """What became of a job by its item: whatever was raised is one failed picture."""
    if item.error is None:
        return replace(item.value or Outcome(job, "skipped"), seconds=item.seconds)
    return Outcome(job, "failed", failure_of(job, item.error), item.seconds)


def failure_of(job: Job, error: Exception) -> EscError:
    """Why a job failed, in words for its user, by whatever was raised."""
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
    return error.with_traceback(None)


def _bytes_of(source: Path) -> int:
    try:
        return source.stat().st_size
    except (OSError, ValueError):
        return 0
