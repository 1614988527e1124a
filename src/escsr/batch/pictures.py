"""What is said of a picture on its way: how far it is, and what became of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from escsr.batch.jobs import Job
from escsr.batch.pipeline import PipelineItem
from escsr.errors import ConfigError, DeviceError, EscError, ImageError

__all__ = ["LEFT", "Outcome", "Progress", "ProgressCount", "failure_of", "outcome_of"]

LEFT = "left as it is: the file was there already, and is not of an earlier run with --skip-existing"
"""The note of an outcome that is skipped though no earlier run is known to have made the result."""

_LOG = logging.getLogger(__name__)

_WRITING = 0.1
"""Share of a job that writing its result counts for."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: The picture and where its result went.
        status: "done", "skipped" (was done before, or see `LEFT`) or "failed".
        error: Why it failed, else None.
        seconds: Reading, network and writing.
        model: Name of the model that upscaled it.
        size: Width and height of the result, pixels; None where there is none.
        notes: What had to be changed on the way, in words; of a skipped one `LEFT` or nothing.
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


class ProgressCount:
    """Counts how far all jobs are; the network of one may be at work while another is written.

    Args:
        jobs: All of them.
        on_progress: Told of every change, from any thread.
    """

    def __init__(self, jobs: Sequence[Job], on_progress: Callable[[Progress], None]) -> None:
        self._jobs, self._on_progress = jobs, on_progress
        self._weights = [max(1, _bytes_of(job.source)) for job in jobs]
        self._total = sum(self._weights)
        self._shares = [0.0] * len(jobs)
        self._done, self._current = 0.0, 0
        self._lock = threading.Lock()

    def upscaled(self, index: int, share: float) -> None:
        """A share of a job's upscaling is done; writing is still to come."""
        self._current = index
        self._set(index, share * (1 - _WRITING))

    def ended(self, index: int) -> None:
        """A job is written, was skipped or has failed."""
        self._set(index, 1.0)

    def _set(self, index: int, share: float) -> None:
        with self._lock:
            self._done += self._weights[index] * (share - self._shares[index])
            self._shares[index] = share
            current = self._current
            overall = min(1.0, round(self._done / self._total, 9))  # the sum of many shares
            self._on_progress(
                Progress(self._jobs[current], self._shares[current], overall, current + 1, len(self._jobs))
            )


def outcome_of(job: Job, item: PipelineItem[int, Outcome]) -> Outcome:
    """What became of a job by its item: whatever was raised is one failed picture."""
    if item.error is None:
        assert item.value is not None
        return replace(item.value, seconds=item.seconds)
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
    elif isinstance(error, ConfigError):  # which knows of no file
        error = ConfigError(f"{job.source}: {error}")
    elif not isinstance(error, EscError):
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        error = EscError(f"{job.source}: {what} (this is a bug in escsr; --debug shows where).")
    # The traceback holds the pictures of its frames.
    return error.with_traceback(None)


def _bytes_of(source: Path) -> int:
    try:
        return source.stat().st_size
    except (OSError, ValueError):
        return 0
