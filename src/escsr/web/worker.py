"""The thread that upscales: one a device, with its models loaded once and kept."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from escsr.batch.jobs import Job as FileJob
from escsr.batch.pictures import failure_of
from escsr.errors import EscError
from escsr.files import sha256_of
from escsr.models.selection import DEFAULT_MODEL
from escsr.runtime.allocator import return_freed_memory
from escsr.upscaling.damage import hint_for
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.upscaler import Upscaler
from escsr.web.jobs import CancelledJobError, Job, Jobs
from escsr.web.metrics import Metrics
from escsr.web.sandbox import Sandbox

__all__ = ["Worker"]

_KEPT_MODELS = 12
_LOG = logging.getLogger(__name__)


class Worker(threading.Thread):
    """Takes jobs from the queue until it is closed.

    Args:
        jobs: The queue.
        metrics: Counts what it does.
        options: What all jobs share: the device and the arithmetic.
        first: File of a model to load before the first job.
    """

    def __init__(self, jobs: Jobs, metrics: Metrics, options: UpscaleOptions, first: Path) -> None:
        super().__init__(name=f"escsr on {options.device}", daemon=True)
        self._jobs, self._metrics, self._options, self._first = jobs, metrics, options, first
        self._upscalers: OrderedDict[tuple[object, ...], Upscaler] = OrderedDict()

    def run(self) -> None:
        """Works; one failed picture is no reason to stop."""
        with suppress(EscError):  # which each job then says
            self._upscaler(self._first, self._options)
        while (job := self._jobs.next()) is not None:
            start = time.monotonic()
            self._do(job)
            assert job.plan is not None
            self._metrics.ended(job, self._options.device, time.monotonic() - start)
            _LOG.info("A job %s after %.1f s.", job.state, time.monotonic() - start)
            if self._jobs.is_idle:
                return_freed_memory()

    def _do(self, job: Job) -> None:
        assert job.plan is not None
        try:
            self._upscale(job)
        except CancelledJobError:
            self._jobs.end(job, "cancelled")
        except Exception as error:
            failure = failure_of(FileJob(job.source, job.plan.target), error)
            self._jobs.end(job, "failed", job.in_words(failure))
        else:
            self._jobs.end(job, "done")

    def _upscale(self, job: Job) -> None:
        plan, limits, start = job.plan, self._jobs.limits, time.monotonic()
        assert plan is not None

        def check() -> None:
            if job.cancelled.is_set():
                raise CancelledJobError
            if time.monotonic() > start + limits.max_job_minutes * 60:
                raise EscError(
                    f"{job.source}: takes more than {limits.max_job_minutes:g} minutes, the most that this "
                    "server works on a picture (--max-job-minutes)."
                )

        with Sandbox(job.folder, limits, check) as sandbox:

            def report(share: float) -> None:
                check()
                sandbox.check_alive()
                job.progress = share

            picture = sandbox.read(plan.target, to_srgb=plan.options.to_srgb)
            hint = hint_for(picture, "the model real") if plan.options.model == DEFAULT_MODEL else ""
            upscaler = self._upscaler(plan.weights, plan.options)
            larger = upscaler.upscale_picture(picture, size=plan.size, on_progress=report)
            sandbox.write(larger, plan.options)
        job.notes = (*larger.notes, *([f"{hint}."] if hint else []))
        job.sha256, job.result_bytes = sha256_of(plan.target), plan.target.stat().st_size

    def _upscaler(self, weights: Path, options: UpscaleOptions) -> Upscaler:
        """Loaded once; of many, the one that was not used for longest makes room."""
        strength = options.of_file(weights).strength
        key = (weights, options.self_ensemble, options.keep_colour, strength)
        if key not in self._upscalers:
            own = replace(
                self._options,
                model=weights,
                self_ensemble=options.self_ensemble,
                keep_colour=options.keep_colour,
                strength=strength,
            )
            self._upscalers[key] = Upscaler(options=own)
        self._upscalers.move_to_end(key)
        if len(self._upscalers) > _KEPT_MODELS:
            self._upscalers.popitem(last=False)
        return self._upscalers[key]
