"""Which files are videos, and which can be written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from escsr.errors import OutputError
from escsr.runtime.choices import VideoCodec

__all__ = ["CONTAINERS", "SUFFIXES", "Container", "container_of", "ending_of", "is_video"]


@dataclass(frozen=True)
class Container:
    """A format of files that hold streams.

    Attributes:
        name: As people write it.
        muxer: As FFmpeg calls it.
        codecs: Which of our codecs it takes.
    """

    name: str
    muxer: str
    codecs: tuple[str, ...]


CONTAINERS = {
    ".mkv": Container("Matroska", "matroska", ("h264", "hevc", "av1", "ffv1", "prores")),
    ".mp4": Container("MP4", "mp4", ("h264", "hevc", "av1")),
    ".m4v": Container("MP4", "mp4", ("h264", "hevc", "av1")),
    ".mov": Container("QuickTime", "mov", ("h264", "hevc", "prores")),
    ".webm": Container("WebM", "webm", ("av1",)),
}
"""Files that can be written, by their ending."""

SUFFIXES = (
    *CONTAINERS,
    *(".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".vob", ".wmv", ".flv", ".3gp", ".mxf", ".ogv"),
    *(".nut", ".y4m", ".dv"),
)
"""Endings of files that are taken for videos, whatever they hold."""

_SIGNATURES = (b"\x1a\x45\xdf\xa3", b"YUV4MPEG2 ")


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a video, by its ending, else by its first bytes; animations count as pictures.

    Args:
        path: A file, or what may be one.
    """
    path = Path(path)
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except (OSError, ValueError):
        return False
    is_avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    is_movie = head[4:8] == b"ftyp" and head[8:12] in (b"isom", b"iso2", b"mp41", b"mp42", b"qt  ", b"avc1")
    return is_avi or is_movie or head.startswith(_SIGNATURES)


def ending_of(source: Path, format: str | None, codec: VideoCodec = "auto") -> str:
    """How a result's name ends: in the format asked for, else as its source does where that is possible.

    Args:
        source: The video.
        format: "mkv" or ".mkv"; None for the source's, where it can be written and holds the codec, else
            Matroska.
        codec: Of the result.
    """
    if format is not None:
        return f".{format.lower().lstrip('.')}"
    container = CONTAINERS.get(source.suffix.lower())
    return source.suffix if container and codec in ("auto", *container.codecs) else ".mkv"


def container_of(path: Path) -> Container:
    """The format of a video to be written, by its ending.

    Raises:
        OutputError: The ending is none of `CONTAINERS`.
    """
    container = CONTAINERS.get(path.suffix.lower())
    if container is None:
        raise OutputError(f"Cannot write {path.name}: a video ends in one of {', '.join(CONTAINERS)}.")
    return container
