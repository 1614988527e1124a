"""Videos: every frame at its time, every other stream as it is, resumable (docs/video.md).

`source` describes a file, `plan` checks what is asked for, `frames` decodes, `colour` goes between YUV and
the network's RGB, `encoding` and `segments` make finished parts, `joining` makes one file of them and the
source's other streams, `run` is the whole.
"""

from __future__ import annotations

from escsr.video.kinds import is_video
from escsr.video.plan import VideoOptions, VideoPlan, plan_video
from escsr.video.run import UpscaledVideo, VideoProgress, run_video, upscale_video

__all__ = [
    "UpscaledVideo",
    "VideoOptions",
    "VideoPlan",
    "VideoProgress",
    "is_video",
    "plan_video",
    "run_video",
    "upscale_video",
]
