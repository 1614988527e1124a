"""Jobs from their upload to the end of their results: a bounded queue, a private folder, and a sweep."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from escsr.errors import EscError
from escsr.web.codec import SOURCE
from escsr.web.limits import Limits
from escsr.web.plan import Plan

__all__ = ["STOPPED", "CancelledJobError", "FullError", "Job", "Jobs", "Place", "State"]

State = Literal["waiting", "working", "done", "failed", "cancelled"]
"""Of a job; the last three do not change any more."""

_ID_BYTES = 24
_MOST_PIXEL_BYTES = 16
"""Of a result: four floats."""

STOPPED = "The server was stopped."
"""Why jobs are cancelled when the server ends."""


class FullError(EscError):
    """The server has as much to do, or to keep, as it takes."""


@dataclass(frozen=True, eq=False)
class Place:
    """A place in the queue, held while an upload is on its way.

    Attributes:
        bytes: Room that is kept for it.
    """

    bytes: int


class CancelledJobError(Exception):
    """Raised through the work on a job that is not wanted any more."""


@dataclass
class Job:
    """One picture; changed by the worker's thread, and looked at by the others.

    Attributes:
        id: Cannot be guessed; who knows it may see and delete the job.
        folder: With the upload, and later the result, in it.
        name: Of the upload.
        plan: What to do.
        state: See `State`.
        progress: Share of the network's work that is done, in [0, 1].
        started: When the work began, by the clock of `time.monotonic`.
        ended: When it ended.
        error: Why it failed, a sentence.
        notes: What had to be changed, and what would look better.
        result_bytes: Size of the result; None while, or once, there is none.
        sha256: Of the result.
        fetched: When the result was fetched whole.
    """

    id: str
    folder: Path
    name: str
    plan: Plan | None = None
    state: State = "waiting"
    progress: float = 0.0
    started: float | None = None
    ended: float | None = None
    error: str | None = None
    notes: tuple[str, ...] = ()
    result_bytes: int | None = None
    sha256: str | None = None
    fetched: float | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    upload_bytes: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("done", "failed", "cancelled")

    @property
    def most_result_bytes(self) -> int:
        """What its result cannot exceed; metadata are the upload's."""
        if self.plan is None:
            return 0
        (width, height), (columns, rows) = self.plan.in_size, self.plan.out_size
        frames = self.plan.work // (width * height)
        return columns * rows * frames * _MOST_PIXEL_BYTES + self.upload_bytes

    @property
    def source(self) -> Path:
        """The upload."""
        return self.folder / SOURCE

    def in_words(self, error: Exception) -> str:
        """A sentence for the job's owner: with the names of its files instead of our paths."""
        text = str(error).replace(str(self.source), self.name)
        if self.plan is not None:
            text = text.replace(str(self.plan.target), self.plan.result_name)
        return text.replace(f"{self.folder}{os.sep}", "")


class Jobs:
    """All jobs of a server; any thread may call it.

    Args:
        folder: A private folder, for this server alone.
        limits: See `Limits`.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self.limits = folder, limits
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._coming: set[Place] = set()
        self._changed = threading.Condition()
        self.is_closed = False

    @contextmanager
    def coming(self, announced: int | None = None) -> Iterator[Place]:
        """Holds a place in the queue while an upload is on its way, until `add` takes it.

        Args:
            announced: Most bytes that the upload can have; None where that is not known.

        Raises:
            FullError: The queue or the folder is full.
        """
        with self._changed:
            if self.is_closed:
                raise FullError(STOPPED)
            if len(self._coming) + self._under_way() >= self.limits.max_queue:
                raise FullError("The queue is full; try again when some pictures are done.")
            most = self.limits.max_upload
            place = Place(most if announced is None else min(announced, most))
            room = self.limits.max_stored - self._stored() - place.bytes
            if room < 0:
                raise FullError("Too many results wait; fetch or delete some, or try again later.")
            if room < sum(other.bytes for other in self._coming):
                raise FullError("Too much is being uploaded at once; try again when it has come.")
            self._coming.add(place)
        try:
            yield place
        finally:
            with self._changed:
                self._coming.discard(place)

    def create(self, name: str) -> Job:
        """A job for an upload of a name, not in the queue yet; its folder is still to be made."""
        return Job(secrets.token_urlsafe(_ID_BYTES), self._folder / secrets.token_hex(_ID_BYTES), name)

    def add(self, job: Job, place: Place) -> None:
        """Puts a job with its plan at the end of the queue, in the place that was held for it.

        Raises:
            FullError: The server was stopped meanwhile.
        """
        with self._changed:
            if self.is_closed:
                raise FullError(STOPPED)
            self._coming.discard(place)
            job.upload_bytes = job.source.stat().st_size
            self._jobs[job.id] = job
            self._waiting.append(job)
            self._changed.notify()

    def next(self) -> Job | None:
        """The job to work on; waits for one, and for room for its result. None once the server stops."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_closed or (self._waiting and self._has_room()))
            if self.is_closed:
                return None
            job = self._waiting.popleft()
            job.state, job.started = "working", time.monotonic()
            return job

    def end(self, job: Job, state: State, error: str | None = None) -> None:
        """Notes how a job ended; all but its result is deleted."""
        with self._changed:
            if job.is_over:
                return
            if state == "done" and job.id not in self._jobs:  # deleted at the last moment
                state = "cancelled"
            if state == "cancelled" and self.is_closed:
                error = STOPPED
            job.error, job.ended = error, time.monotonic()
            job.upload_bytes = 0
            self._clear(job, keep_result=state == "done")
            job.state = state
            self._changed.notify_all()

    def find(self, job_id: str) -> Job | None:
        """The job of an id, as long as it is remembered."""
        with self._changed:
            return self._jobs.get(job_id)

    def delete(self, job: Job) -> None:
        """Takes a job out of the queue, stops the work on it, forgets it and deletes its files."""
        with self._changed:
            self._jobs.pop(job.id, None)
            job.cancelled.set()
            if job in self._waiting:
                self._waiting.remove(job)
                self.end(job, "cancelled")
            elif job.is_over:
                self._clear(job)

    def ahead_of(self, job: Job) -> int:
        """How many jobs will be done before a waiting one."""
        with self._changed:
            return self._waiting.index(job) if job in self._waiting else 0

    def counts(self) -> tuple[int, int, int]:
        """Jobs that wait, jobs at work, and bytes kept."""
        with self._changed:
            working = sum(job.state == "working" for job in self._jobs.values())
            return len(self._waiting), working, self._stored()

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits."""
        with self._changed:
            return not self._waiting

    def sweep(self) -> None:
        """Deletes results whose time is over, and forgets the oldest of too many jobs."""
        now, limits = time.monotonic(), self.limits
        with self._changed:
            over = [job for job in self._jobs.values() if job.is_over]
            for job in over:
                if job.fetched is not None and now > job.fetched + limits.keep_fetched_seconds:
                    self._clear(job)
                if now > (job.ended or now) + limits.keep_seconds:
                    self.delete(job)
            most = len(over) - limits.max_records
            bare = sorted((job.ended or now, job.id) for job in over if job.result_bytes is None)
            for _, job_id in bare[: max(0, most)]:
                self._jobs.pop(job_id, None)

    def close(self) -> None:
        """Ends waiting jobs, and asks for the end of those at work; no more are taken."""
        with self._changed:
            self.is_closed = True
            while self._waiting:
                self.end(self._waiting.popleft(), "cancelled")
            for job in self._jobs.values():
                job.cancelled.set()
            self._changed.notify_all()

    def _under_way(self) -> int:
        return sum(not job.is_over for job in self._jobs.values())

    def _stored(self) -> int:
        return sum(job.upload_bytes + (job.result_bytes or 0) for job in self._jobs.values())

    def _has_room(self) -> bool:
        """Whether the next result can be kept as well.

        Beside no other it always is; others are fetched, deleted, or their time ends, so no job waits for
        ever.
        """
        working = [job for job in self._jobs.values() if job.state == "working"]
        if not working and not any(job.result_bytes for job in self._jobs.values()):
            return True
        coming = sum(job.most_result_bytes for job in (*working, self._waiting[0]))
        return self._stored() + coming <= self.limits.max_stored

    def _clear(self, job: Job, *, keep_result: bool = False) -> None:
        if keep_result and job.plan is not None:
            for path in job.folder.iterdir():
                if path != job.plan.target:
                    path.unlink()
            return
        job.result_bytes = None
        shutil.rmtree(job.folder, ignore_errors=True)
        self._changed.notify_all()
