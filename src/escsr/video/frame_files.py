"""Frames as picture files: a video that becomes a folder of pictures."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from escsr import images
from escsr.errors import OutputError
from escsr.files import atomic_path, check_writable
from escsr.images import Picture
from escsr.images.conversion import in_srgb, losses
from escsr.images.metadata import aspect_tags
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.preflight import check_can_be_lossless
from escsr.video.colour import to_rgb
from escsr.video.frame_folders import TIMES
from escsr.video.frames import Damage, shown_frames
from escsr.video.kinds import CONTAINERS
from escsr.video.network import FrameUpscaler
from escsr.video.plan import VideoOptions, check_pixels, upscaler_for
from escsr.video.source import describe

__all__ = ["FrameFiles", "is_frame_pattern", "upscale_to_frames"]

_HEAD = "# timestamp format v2"
_PATTERN = re.compile(r"%0?\d*d")


@dataclass(frozen=True)
class FrameFiles:
    """What became of a video's frames.

    Attributes:
        frames: Pictures that were written.
        is_whole: Whether they are all.
        size: Width and height of the pictures, pixels.
        model: Name of the model.
        notes: What a user should know, in words.
    """

    frames: int
    is_whole: bool
    size: tuple[int, int]
    model: str
    notes: tuple[str, ...]


def is_frame_pattern(target: Path | None) -> bool:
    """Whether a target is a file for each frame, like frames/%06d.png; a video may be called clip%d.mkv."""
    if target is None or target.suffix.lower() in CONTAINERS:
        return False
    return _PATTERN.search(target.name) is not None


def upscale_to_frames(
    source: Path,
    pattern: Path,
    options: UpscaleOptions,
    how: VideoOptions,
    *,
    stop: threading.Event | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> FrameFiles:
    """Upscales a video into a picture file for each frame, and `timestamps.txt` beside them.

    The times of an earlier run are removed at the start; its pictures stay where no frame replaces them.

    Args:
        source: The video.
        pattern: Like frames/%06d.png; frames count from 1 and are upright. Pictures have 16 bits where the
            video has more than 8 and the format holds them; what the video declares of its colours and
            of the shape of its pixels is declared of them, where the format can, else it is noted.
        options: How frames are upscaled, and pictures written.
        how: Whether interlaced frames are made whole.
        stop: Once set, the frame at hand is finished and no other begun.
        on_progress: Takes the number of a frame, and that of all.

    Returns:
        What became of it; the times are those of the frames that are written.

    Raises:
        OutputError: The pattern's format or the times cannot be written, it cannot hold the video's
            opacity or be lossless where that is asked for, or the frames have too many pixels.
        EscError: As `plan_video`.
    """
    video, damage, times = describe(source), Damage(), []
    format = images.check_suffix(pattern, has_alpha=video.layout.has_alpha)
    if options.lossless:
        check_can_be_lossless(pattern)
    video.check_fields(deinterlace=how.deinterlace)
    height, width = video.shown_size
    wanted, upscaler = upscaler_for(height, width, options)
    rows, columns = (part.stop - part.start for part in wanted.kept(height, width))
    images.check_size(pattern, columns, rows)
    check_pixels(source, (width, height), (columns, rows), options.max_pixels)
    network = FrameUpscaler(upscaler, wanted)
    depth: Any = np.uint16 if video.layout.bits > 8 else np.uint8
    shape = wanted.shape_of_pixels(video.shown_aspect, height, width)
    declared = Picture(np.zeros((1, 1, 3), depth), video.colours.picture_tags | aspect_tags(shape))
    declared = in_srgb(declared) if options.to_srgb else declared
    _remove_times(pattern)
    is_whole, stop = True, stop or threading.Event()
    for number, shown in enumerate(shown_frames(video, damage, deinterlace=how.deinterlace), 1):
        if stop.is_set():
            is_whole = False
            break
        result = network(video.upright(to_rgb(shown.frame, video.colours)))
        pixels = np.rint(result * np.float32(np.iinfo(depth).max)).astype(depth)
        images.write(replace(declared, pixels=pixels), _named(pattern, number), options)
        times.append(float(shown.time * video.time_base * 1000))
        if on_progress is not None:
            on_progress(number, video.frames)
    if times:
        _write_times(pattern, times)
    older = _older_frames(pattern, len(times))
    notes = (*video.notes, *declared.notes, *losses(declared, format), *damage.notes(), *older)
    return FrameFiles(len(times), is_whole, (columns, rows), upscaler.name, notes)


def _named(pattern: Path, number: int) -> Path:
    return pattern.with_name(_PATTERN.sub(lambda found: found[0] % number, pattern.name, 1))


def _remove_times(pattern: Path) -> None:
    """Times that belong to other pictures, should this run not come to its end."""
    path = pattern.with_name(TIMES)
    check_writable(path)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror}.") from error


def _write_times(pattern: Path, times: Sequence[float]) -> None:
    with atomic_path(pattern.with_name(TIMES)) as temporary:
        lines = (f"{time - times[0]:.6f}".rstrip("0").rstrip(".") for time in times)
        temporary.write_text("\n".join((_HEAD, *lines, "")))


def _older_frames(pattern: Path, count: int) -> tuple[str, ...]:
    """What to tell of pictures behind the last frame, which a video of the folder would show."""
    before, after = _PATTERN.split(pattern.name, maxsplit=1)
    number_in = re.compile(rf"{re.escape(before)}(\d+){re.escape(after)}")
    found = (number_in.fullmatch(path.name) for path in pattern.parent.glob("*"))
    numbers = sorted(number for number in (int(match[1]) for match in found if match) if number > count)
    older = [path.name for path in (_named(pattern, number) for number in numbers) if path.exists()]
    if not older:
        return ()
    names = older[0] if len(older) == 1 else f"{older[0]} to {older[-1]}"
    return (f"{names}: of an earlier run, and no frame of this one; delete what you do not want",)
