"""Frames as picture files: a folder that becomes a video, and a video that becomes a folder."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from escsr import images
from escsr.errors import ConfigError, OutputError, VideoError
from escsr.files import atomic_path, check_writable
from escsr.images import Picture
from escsr.images.colour_tags import CICP
from escsr.images.conversion import in_srgb, losses
from escsr.upscaling.options import UpscaleOptions
from escsr.video.colour import to_rgb
from escsr.video.frames import Damage, shown_frames
from escsr.video.kinds import CONTAINERS
from escsr.video.library import library
from escsr.video.network import FrameUpscaler
from escsr.video.plan import VideoOptions, check_pixels, upscaler_for
from escsr.video.planes import Layout, new_frame, views
from escsr.video.source import describe

__all__ = [
    "FPS_WITHOUT_FRAMES",
    "TIMES",
    "FrameFiles",
    "frames_as_video",
    "is_frame_pattern",
    "upscale_to_frames",
]

TIMES = "timestamps.txt"
"""File of the frames' times beside them, in milliseconds, as Matroska's tools know it (format v2)."""

FPS_WITHOUT_FRAMES = "fps is for a folder of frames; a video's frames keep their times."

_HEAD = "# timestamp format v2"
_PATTERN = re.compile(r"%0?\d*d")
_TICK = Fraction(1, 1_000_000)
"""Of the video that a folder becomes: times in microseconds."""

_LATEST = 2**53
"""Microseconds: FFmpeg's times have 64 bits and are reckoned with."""

_PNG_FORMATS = {(8, False): "rgb24", (8, True): "rgba", (16, False): "rgb48be", (16, True): "rgba64be"}
"""FFmpeg's names of pixels, by bits and whether there is opacity."""


@dataclass(frozen=True)
class FrameFiles:
    """What became of a video's frames.

    Attributes:
        frames: Pictures that were written.
        is_whole: Whether they are all.
        notes: What a user should know, in words.
    """

    frames: int
    is_whole: bool
    notes: tuple[str, ...]


def is_frame_pattern(target: Path | None) -> bool:
    """Whether a target is a file for each frame, like frames/%06d.png; a video may be called clip%d.mkv."""
    if target is None or target.suffix.lower() in CONTAINERS:
        return False
    return _PATTERN.search(target.name) is not None


@contextmanager
def frames_as_video(source: Path, fps: str | None = None) -> Iterator[Path]:
    """A folder's pictures as a video without loss, in a temporary file; a file stays what it is.

    Args:
        source: A folder, whose pictures are the frames in the order of their names, 9 before 10; their
            times are in its `timestamps.txt` where there is one. Or a file.
        fps: Frames a second, where there are no times: "30000/1001"; None for 25.

    Yields:
        A file.

    Raises:
        ConfigError: `fps` is no number above 0, or given for a file.
        NoImagesError: There are no pictures in it.
        VideoError: They differ in size or in the colours they declare, or there are not as many times.
    """
    if not source.is_dir():
        if fps is not None:
            raise ConfigError(FPS_WITHOUT_FRAMES)
        yield source
        return
    paths = sorted(images.find_images(source), key=_by_number)
    rate = _rate(fps or "25")
    times = _times(source, len(paths), rate)
    with TemporaryDirectory(prefix="escsr-") as folder:
        target = Path(folder) / "frames.nut"
        _encode(paths, times, target, rate)
        yield target


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
            video has more than 8 and the format holds them; what the video declares of its colours is
            declared of them, where the format can.
        options: How frames are upscaled, and pictures written.
        how: Whether interlaced frames are made whole.
        stop: Once set, the frame at hand is finished and no other begun.
        on_progress: Takes the number of a frame, and that of all.

    Returns:
        What became of it; the times are those of the frames that are written.

    Raises:
        OutputError: The pattern's format or the times cannot be written, it cannot hold the video's
            opacity, or the frames have too many pixels.
        EscError: As `plan_video`.
    """
    video, damage, times = describe(source), Damage(), []
    format = images.check_suffix(pattern, has_alpha=video.layout.has_alpha)
    video.check_fields(deinterlace=how.deinterlace)
    height, width = video.shown_size
    wanted, upscaler = upscaler_for(height, width, options)
    rows, columns = (part.stop - part.start for part in wanted.kept(height, width))
    images.check_size(pattern, columns, rows)
    check_pixels(source, (width, height), (columns, rows), options.max_pixels)
    network = FrameUpscaler(upscaler, wanted)
    depth: Any = np.uint16 if video.layout.bits > 8 else np.uint8
    declared = Picture(np.zeros((1, 1, 3), depth), video.colours.picture_tags)
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
    return FrameFiles(len(times), is_whole, notes)


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


def _by_number(path: Path) -> list[tuple[str, int]]:
    """Sorts names by the numbers in them, with or without zeros in front."""
    parts = re.split(r"(\d+)", path.name)
    return [(text, int(number or 0)) for text, number in zip(parts[::2], (*parts[1::2], ""), strict=True)]


def _rate(fps: str) -> Fraction:
    try:
        rate = Fraction(fps)
    except (ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"fps is a number or a fraction, like 25 or 30000/1001, not {fps!r}.") from error
    if not 0 < rate <= 1000:
        raise ConfigError(f"fps must be above 0 and up to 1000, not {fps}.")
    return rate


def _times(folder: Path, count: int, rate: Fraction) -> list[int]:
    """When each frame is shown, microseconds."""
    try:
        lines = (folder / TIMES).read_text("utf-8-sig").splitlines()
    except OSError:
        return [round(number / rate / _TICK) for number in range(count)]
    except UnicodeDecodeError as error:
        raise VideoError(f"{folder / TIMES} is no text in UTF-8.") from error
    try:
        times = [round(float(line) * 1000) for line in lines if line.strip() and not line.startswith("#")]
        if max(map(abs, times), default=0) > _LATEST:
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise VideoError(f"{folder / TIMES}: a line of it is no number of milliseconds.") from error
    if len(times) != count:
        raise VideoError(f"{folder / TIMES} has {len(times)} times, but there are {count} pictures.")
    return times


def _encode(paths: Sequence[Path], times: Sequence[int], target: Path, rate: Fraction) -> None:
    """A video of PNG pictures, which keep the colours that are declared, as FFV1 does not."""
    first = _read_frame(paths[0])
    layout = Layout("rgb", 16 if first.pixels.dtype == np.uint16 else 8, has_alpha=first.alpha is not None)
    encoded = _PNG_FORMATS[layout.bits, layout.has_alpha]
    declared = first.metadata.get(CICP, bytes([2, 2]))
    with library().open(str(target), "w", format="nut") as container:
        stream: Any = container.add_stream("png", options={"compression_level": "1", "pred": "sub"})
        stream.height, stream.width = first.pixels.shape[:2]
        stream.pix_fmt = encoded
        stream.codec_context.time_base, stream.codec_context.framerate = _TICK, rate
        for path, time in zip(paths, times, strict=True):
            picture = _read_frame(path)
            if picture.metadata.get(CICP, declared) != declared:
                raise VideoError(
                    f"{path}: frames must be alike; it declares other colours than the first one."
                )
            pixels = _as_rgb(picture.pixels, first.pixels, path)
            frame = new_frame(stream.width, stream.height, layout)
            for index, view in enumerate(views(frame)):
                view[...] = pixels[..., index]
            frame = frame.reformat(format=encoded)
            frame.color_primaries, frame.color_trc = declared[0], declared[1]
            frame.pts, frame.time_base = time, _TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _read_frame(path: Path) -> Picture:
    """A picture in the colours it declares, or in sRGB where it has a profile, which no video holds."""
    picture = images.read(path)
    with suppress(pyvips.Error):  # a damaged profile is as good as none
        picture = in_srgb(picture)
    return picture


def _as_rgb(pixels: NDArray[Any], first: NDArray[Any], path: Path) -> NDArray[Any]:
    """Colour and opacity as the first picture has them; grey as RGB."""
    if pixels.dtype.kind != "u":
        raise VideoError(f"{path}: frames have 8 or 16 bits, not floating values.")
    if pixels.shape != first.shape or pixels.dtype != first.dtype:
        of = "×".join(map(str, pixels.shape)) + f" {pixels.dtype}"
        wanted = "×".join(map(str, first.shape)) + f" {first.dtype}"
        raise VideoError(f"{path}: frames must be alike; it is {of}, the first one {wanted}.")
    if pixels.shape[2] > 2:
        return pixels
    return np.concatenate([np.repeat(pixels[..., :1], 3, axis=2), pixels[..., 1:]], axis=2)
