"""What a run would do: sizes, models, memory and time, before anything is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from timeit import repeat
from typing import Literal

import torch

from escsr import images
from escsr.batch.jobs import Job
from escsr.batch.manifest import Manifest
from escsr.batch.pictures import Outcome, failure_of
from escsr.batch.run import Batch
from escsr.errors import EscError
from escsr.upscaling.preflight import check_result, frames_of_result
from escsr.upscaling.upscaler import Upscaler

__all__ = ["Forecast", "forecast", "seconds_per_pixel"]

_SAMPLE = 128
"""Side of the picture that is upscaled to learn the speed, pixels."""

_WORTH = 8
"""Where all pictures together have fewer pixels than this many samples, the sample is smaller: to learn the
speed may not take longer than the work."""


@dataclass(frozen=True)
class Forecast:
    """What would become of a job.

    Attributes:
        job: The picture and where its result would go.
        error: Why it would fail, as far as its header tells, else None.
        size: Width and height of the picture, upright, pixels.
        out_size: Width and height of the result, pixels.
        model: Name of the model.
        device: Where it would run.
        tile_size: Side of the tiles, input pixels; larger pictures may take a faster one.
        memory_bytes: Peak beside the process itself.
        seconds: Time of the network, from the speed on a small picture; reading and writing not counted.
        skipped: What the run would say of a job that it passes over, of which nothing else is told; else
            None.
    """

    job: Job
    error: EscError | None = None
    size: tuple[int, int] | None = None
    out_size: tuple[int, int] | None = None
    model: str = ""
    device: str = ""
    tile_size: int = 0
    memory_bytes: int = 0
    seconds: float = 0.0
    skipped: Outcome | None = None

    @property
    def status(self) -> Literal["planned", "skipped", "failed"]:
        """Whether it can be done, or is done already."""
        if self.skipped:
            return "skipped"
        return "planned" if self.error is None else "failed"


def forecast(batch: Batch, *, skip_existing: bool = False) -> Iterator[Forecast]:
    """Says for each job what a run would do.

    Args:
        batch: The plan.
        skip_existing: As the run shall have it, see `Batch.run`.

    Yields:
        One forecast a job.
    """
    manifest = Manifest() if skip_existing else None
    speed_of = cache(partial(seconds_per_pixel, sample=_sample_side(batch)))
    for job in batch.jobs:
        try:
            promised = _forecast(job, batch, speed_of, manifest)
        except Exception as error:
            promised = Forecast(job, failure_of(job, error))
        yield promised


def _forecast(
    job: Job, batch: Batch, speed_of: Callable[[Upscaler, int], float], manifest: Manifest | None
) -> Forecast:
    header = images.read_header(job.source)
    if manifest is not None and (skipped := batch.skipped(job, header, manifest)):
        return Forecast(job, skipped=skipped)
    size = header.height, header.width
    scale, limits = batch.size.scale_of(*size), batch.options.limits
    upscaler = batch.upscaler(scale)
    kept, computed = check_result(header, job.target, batch.size, scale=upscaler.scale, **limits)
    frames = frames_of_result(header, job.target)
    seconds = speed_of(upscaler, upscaler.scale or math.ceil(scale))
    return Forecast(
        job,
        size=size[::-1],
        out_size=kept[::-1],
        model=upscaler.name,
        device=str(upscaler.device),
        tile_size=upscaler.inference.usual_tile_size,
        memory_bytes=upscaler.inference.predict(size, computed).total,
        seconds=seconds * header.height * header.width * frames,
    )


def _sample_side(batch: Batch) -> int:
    """Side of the sample for all pictures, of which no more headers are read than it takes."""
    pixels = 0
    for job in batch.jobs:
        with suppress(Exception):  # which the forecast of that job reports
            header = images.read_header(job.source)
            pixels += header.width * header.height * header.frames
        if pixels >= _WORTH * _SAMPLE**2:
            return _SAMPLE
    return max(1, math.isqrt(pixels // _WORTH))


def seconds_per_pixel(upscaler: Upscaler, scale: int, *, sample: int = _SAMPLE) -> float:
    """Of input; the faster of two runs on a small picture, because the first one warms up.

    A model of any scale takes the longer the larger the scale, so it is tried at the next whole one, on
    a picture that is the smaller.

    Args:
        upscaler: The model.
        scale: What it is tried at.
        sample: Side of the picture, pixels.
    """
    side = sample if upscaler.scale else max(min(sample, _SAMPLE // 4), round(2 * sample / scale))
    noise = torch.rand(1, 3, side, side)
    runs = 2 if sample == _SAMPLE else 1
    window = upscaler.inference.pad_multiple  # whose multiple the network computes
    computed = (math.ceil(side / window) * window) ** 2
    return min(repeat(lambda: upscaler(noise, scale=scale), number=1, repeat=runs)) / computed
