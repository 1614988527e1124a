"""What a run would do: sizes, models, memory and time, before anything is done."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from escsr import images
from escsr.batch.jobs import Job
from escsr.batch.run import Batch
from escsr.errors import EscError
from escsr.upscaling.preflight import check_result
from escsr.upscaling.upscaler import Upscaler

__all__ = ["Forecast", "forecast"]

_SAMPLE = 128
"""Side of the picture that is upscaled to learn the speed, pixels."""


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


def forecast(batch: Batch) -> Iterator[Forecast]:
    """Says for each job what a run would do.

    Args:
        batch: The plan.

    Yields:
        One forecast a job.
    """
    speeds: dict[tuple[str, float], float] = {}
    for job in batch.jobs:
        yield _forecast(job, batch, speeds)


def _forecast(job: Job, batch: Batch, speeds: dict[tuple[str, float], float]) -> Forecast:
    try:
        return _promise(job, batch, speeds)
    except EscError as error:
        return Forecast(job, error)


def _promise(job: Job, batch: Batch, speeds: dict[tuple[str, float], float]) -> Forecast:
    header = images.read_header(job.source)
    rows, columns = header.height, header.width
    scale = batch.size.scale_of(rows, columns)
    upscaler = batch.models.reaching(scale)
    most = batch.options.max_pixels
    check_result(header, job.target, batch.size, scale=upscaler.scale, max_pixels=most)
    out_size = batch.size.upscaled(rows, columns)
    kept_rows, kept_columns = batch.size.cropped(*out_size)
    computed = (rows * upscaler.scale, columns * upscaler.scale) if upscaler.scale else out_size
    pace = upscaler.name, float(upscaler.scale or math.ceil(scale))
    if pace not in speeds:
        speeds[pace] = _seconds_per_pixel(upscaler, pace[1])
    return Forecast(
        job,
        size=(columns, rows),
        out_size=(kept_columns.stop - kept_columns.start, kept_rows.stop - kept_rows.start),
        model=upscaler.name,
        device=str(upscaler.device),
        tile_size=upscaler.inference.usual_tile_size,
        memory_bytes=upscaler.inference.predict((rows, columns), computed).total,
        seconds=speeds[pace] * rows * columns * header.frames,
    )


def _seconds_per_pixel(upscaler: Upscaler, scale: float) -> float:
    """Of input; the second of two runs on a small picture, because the first one warms up.

    A model of any scale takes the longer the larger the scale, so it is tried at the next whole one.
    """
    noise, seconds = torch.rand(1, 3, _SAMPLE, _SAMPLE), 0.0
    for _ in range(2):
        start = time.perf_counter()
        upscaler(noise, scale=scale)
        seconds = time.perf_counter() - start
    return seconds / _SAMPLE**2
