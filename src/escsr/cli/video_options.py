"""Options of `escsr upscale` that are for videos."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from escsr.runtime.choices import VideoCodec

__all__ = [
    "CodecOption",
    "CrfOption",
    "DeinterlaceOption",
    "FpsOption",
    "PipeOption",
    "PresetOption",
    "SegmentOption",
    "YesOption",
]

_VIDEOS = "Videos"

CodecOption = Annotated[
    VideoCodec,
    Option(
        metavar="NAME",
        help="h264, hevc, av1, ffv1 (lossless) or prores. auto: h264; for more than 8 bits hevc; in WebM "
        "av1.",
        rich_help_panel=_VIDEOS,
    ),
]
CrfOption = Annotated[
    int | None,
    Option(
        help="Quality of h264, hevc and av1; lower is better and larger. If not given: 18, 20 and 24.",
        rich_help_panel=_VIDEOS,
    ),
]
PresetOption = Annotated[
    str | None,
    Option(
        help="Speed of the encoder: for h264 and hevc ultrafast to placebo, for av1 13 to 0. If not given: "
        "medium, 8.",
        rich_help_panel=_VIDEOS,
    ),
]
SegmentOption = Annotated[
    float,
    Option(
        help="Seconds of video per finished part; an interrupted run continues after the last one.",
        rich_help_panel=_VIDEOS,
    ),
]
DeinterlaceOption = Annotated[
    bool,
    Option("--deinterlace", help="Make whole frames of interlaced ones.", rich_help_panel=_VIDEOS),
]
FpsOption = Annotated[
    str | None,
    Option(
        metavar="NUMBER",
        help="Frames per second of a folder of frames without times, like 30000/1001; 25 if not given.",
        rich_help_panel=_VIDEOS,
    ),
]
PipeOption = Annotated[
    str | None,
    Option(
        metavar="FORMAT",
        help="Video from standard input (-), or from a file, to standard output: y4m, or "
        "raw:640x480:yuv420p.",
        rich_help_panel=_VIDEOS,
    ),
]
YesOption = Annotated[
    bool,
    Option(
        "--yes",
        "-y",
        help="Begin a video that takes more than an hour, or more disk than is free.",
        rich_help_panel=_VIDEOS,
    ),
]
