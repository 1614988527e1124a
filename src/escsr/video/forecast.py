"""What would become of a video, and what became of it, as the batch of pictures says it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from escsr.batch import Forecast, Job, Outcome
from escsr.batch.forecast import seconds_per_pixel
from escsr.upscaling.upscaler import Upscaler
from escsr.video.plan import VideoPlan
from escsr.video.run import UpscaledVideo

__all__ = ["VideoForecast", "VideoOutcome", "forecast_video", "outcome_of_video"]


@dataclass(frozen=True)
class VideoForecast(Forecast):
    """What would become of a video.

    Attributes:
        frames: Of it.
        codec: Of the result.
        disk_bytes: Rough need of segments and result.
        free_bytes: What the disk has.
        notes: What cannot be kept, or was guessed, in words.
    """

    frames: int = 0
    codec: str = ""
    disk_bytes: int = 0
    free_bytes: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class VideoOutcome(Outcome):
    """What became of a video.

    Attributes:
        frames: Frames that are done.
    """

    frames: int = 0


def forecast_video(
    plan: VideoPlan, speed_of: Callable[[Upscaler, int], float] = seconds_per_pixel
) -> VideoForecast:
    """Says what a run would do.

    Args:
        plan: As checked.
        speed_of: Measures a model: seconds per pixel of the input, by upscaler and scale.
    """
    video, upscaler = plan.video, plan.upscaler
    scale = plan.wanted.scale_of(video.height, video.width)
    computed = (video.height * upscaler.scale, video.width * upscaler.scale) if upscaler.scale else None
    out_size = computed or plan.encoding.size[::-1]
    seconds = speed_of(upscaler, upscaler.scale or math.ceil(scale))
    size = (video.height, video.width) if video.is_turned else (video.width, video.height)
    return VideoForecast(
        Job(video.path, plan.target),
        size=size,
        out_size=plan.size,
        model=upscaler.name,
        device=str(upscaler.device),
        tile_size=upscaler.inference.usual_tile_size,
        memory_bytes=upscaler.inference.predict((video.height, video.width), out_size).total,
        seconds=seconds * video.height * video.width * video.frames,
        frames=video.frames,
        codec=plan.encoding.name,
        disk_bytes=plan.disk_bytes,
        free_bytes=plan.free_bytes,
        notes=plan.notes,
    )


def outcome_of_video(plan: VideoPlan, done: UpscaledVideo) -> VideoOutcome:
    """What became of a video that is whole."""
    job = Job(plan.video.path, done.target)
    return VideoOutcome(
        job,
        "done",
        seconds=done.seconds,
        model=done.model,
        size=done.size,
        notes=done.notes,
        frames=done.frames,
    )
