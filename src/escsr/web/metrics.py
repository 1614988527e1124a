"""Figures for Prometheus: how many jobs, how long, how much; nothing of a picture."""

from __future__ import annotations

from functools import partial

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from escsr.web.jobs import Job, Jobs

__all__ = ["Metrics"]

_SECONDS = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)

_GAUGES = (
    ("escsr_jobs_waiting", "Jobs in the queue."),
    ("escsr_jobs_working", "Jobs at work."),
    ("escsr_stored_bytes", "Uploads and results kept."),
)
"""In the order of `Jobs.counts`."""


class Metrics:
    """The figures of one server.

    Args:
        jobs: Whose queue is measured.
    """

    content_type = prometheus_client.CONTENT_TYPE_LATEST

    def __init__(self, jobs: Jobs) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._jobs = Counter("escsr_jobs", "Jobs that ended.", ["state"], registry=registry)
        self._seconds = Histogram(
            "escsr_job_seconds", "Seconds of work on a job.", buckets=_SECONDS, registry=registry
        )
        self._pixels = Counter(
            "escsr_pixels", "Pixels of upscaled pictures.", ["device"], registry=registry
        )
        self.refused = Counter("escsr_refused", "Requests refused.", ["status"], registry=registry)
        for index, (name, what) in enumerate(_GAUGES):
            gauge = Gauge(name, what, registry=registry)
            gauge.set_function(partial(_count, jobs, index))

    def ended(self, job: Job, device: object, seconds: float) -> None:
        """Counts a job that was worked on."""
        self._jobs.labels(job.state).inc()
        self._seconds.observe(seconds)
        if job.state == "done" and job.plan is not None:
            self._pixels.labels(str(device)).inc(job.plan.work)

    def text(self) -> bytes:
        """All figures, as Prometheus reads them."""
        return prometheus_client.generate_latest(self._registry)


def _count(jobs: Jobs, index: int) -> float:
    return jobs.counts()[index]
