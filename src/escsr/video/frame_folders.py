"""A folder of pictures as a video: by their names, with their times, in the colours they declare."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from escsr import images
from escsr.errors import ConfigError, OutputError, VideoError
from escsr.files import named_in_errors
from escsr.images import Picture
from escsr.images.colour_tags import CICP, PNG_TAGS, in_words
from escsr.images.conversion import in_srgb
from escsr.runtime.temporary import disk_folder
from escsr.upscaling.options import UpscaleOptions
from escsr.video.library import library, words_of
from escsr.video.plan import VideoOptions, VideoPlan, plan_video
from escsr.video.planes import Layout, new_frame, views

__all__ = ["FPS_WITHOUT_FRAMES", "TIMES", "frames_as_video", "planned_by_first_frame"]

TIMES = "timestamps.txt"
"""File of the frames' times beside them, in milliseconds, as Matroska's tools know it (format v2)."""

FPS_WITHOUT_FRAMES = "fps is for a folder of frames; a video's frames keep their times."

_TICK = Fraction(1, 1_000_000)
"""Of the video that a folder becomes: times in microseconds."""

_LATEST = 2**53
"""Microseconds: FFmpeg's times have 64 bits and are reckoned with."""

_LOST_TAGS = "its colour tags (gamma or primaries) are not kept in videos, so colours may look different"

_UNSPECIFIED = bytes([2, 2, 0, 1])
"""Block of `CICP` that says nothing."""

_PNG_FORMATS = {(8, False): "rgb24", (8, True): "rgba", (16, False): "rgb48be", (16, True): "rgba64be"}
"""FFmpeg's names of pixels, by bits and whether there is opacity."""


@contextmanager
def frames_as_video(source: Path, fps: str | None = None, *, only_first: bool = False) -> Iterator[Path]:
    """A folder's pictures as a video without loss, in a temporary file; a file stays what it is.

    The temporary file is on a disk where there is one, and takes about as much as the pictures do as PNG.
    Errors that pass here call it by the folder's name.

    Args:
        source: A folder, whose pictures are the frames in the order of their names, 9 before 10, those of
            one folder inside it behind those of another; their times are in its `timestamps.txt` where
            there is one. Or a file.
        fps: Frames a second, 0.001 to 1000, where there are no times: "30000/1001"; None for 25.
        only_first: Leave out all frames of a folder but the first.

    Yields:
        A file.

    Raises:
        ConfigError: `fps` is no such number, or given for a file or beside times.
        NoImagesError: There are no pictures in it.
        VideoError: They differ in size or in the colours they declare, or there are not as many times, or
            these cannot be read or do not rise.
        OutputError: The temporary file cannot be written, as where there is no room for it.
    """
    if not source.is_dir():
        if fps is not None:
            raise ConfigError(FPS_WITHOUT_FRAMES)
        yield source
        return
    paths = _frames(source)
    rate = _rate("25" if fps is None else fps)
    if fps is not None and (source / TIMES).exists():
        raise ConfigError(f"{source / TIMES} has the times; delete it, or leave out fps.")
    times = _times(source, len(paths), rate)
    with _room_for("the folder for temporary files"):
        temporary = TemporaryDirectory(prefix="escsr-", dir=disk_folder())
    with temporary as folder:
        target = Path(folder) / "frames.nut"
        with _room_for(f"the frames of {source} to {folder}"):
            _encode(paths[:1] if only_first else paths, times[:1] if only_first else times, target, rate)
        with named_in_errors({str(target): str(source)}):
            yield target


@contextmanager
def planned_by_first_frame(
    folder: Path, target: Path | None, options: UpscaleOptions, how: VideoOptions
) -> Iterator[VideoPlan]:
    """Plans the video of a folder by its first frame, before all of them are read.

    Args:
        folder: See `frames_as_video`.
        target: See `plan_video`.
        options: See `plan_video`.
        how: See `plan_video`.

    Yields:
        The plan, to look at and not to run: its video has the first frame alone, but the number of all.

    Raises:
        EscError: As `frames_as_video` and `plan_video`.
    """
    with frames_as_video(folder, how.fps, only_first=True) as file:
        plan, paths = plan_video(file, target, options, how), _frames(folder)
        lost = (_LOST_TAGS,) if PNG_TAGS in _colour_tags(_read_frame(paths[0])) else ()
        yield replace(plan, video=replace(plan.video, frames=len(paths)), notes=(*plan.notes, *lost))


@contextmanager
def _room_for(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, library().error.FFmpegError) as error:
        raise OutputError(
            f"Cannot write {what}: {words_of(error)}. Make room, or let TMPDIR name another folder."
        ) from error


def _frames(folder: Path) -> list[Path]:
    """The pictures of a folder in their order."""
    return sorted(images.find_images(folder), key=lambda path: _by_number(path.relative_to(folder)))


def _by_number(path: Path) -> list[list[tuple[str, int]]]:
    """Sorts by the numbers in the names of folders and file, with or without zeros in front."""
    names = [re.split(r"(\d+)", name) for name in path.parts]
    return [
        [(text, int(number or 0)) for text, number in zip(parts[::2], (*parts[1::2], ""), strict=True)]
        for parts in names
    ]


def _rate(fps: str) -> Fraction:
    try:
        if "e" in fps.lower():  # powers of ten without end
            raise ValueError
        rate = Fraction(fps).limit_denominator(1_000_000)  # FFmpeg's have 32 bits; 29.97002997 is n/1001
    except (ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"fps is a number or a fraction, like 25 or 30000/1001, not {fps!r}.") from error
    if not Fraction(1, 1000) <= rate <= 1000:
        raise ConfigError(f"fps must be from 0.001 to 1000, not {fps}.")
    return rate


def _times(folder: Path, count: int, rate: Fraction) -> list[int]:
    """When each frame is shown, microseconds."""
    try:
        lines = (folder / TIMES).read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        return [round(number / rate / _TICK) for number in range(count)]
    except OSError as error:
        raise VideoError(f"{folder / TIMES} cannot be read: {words_of(error)}.") from error
    except UnicodeDecodeError as error:
        raise VideoError(f"{folder / TIMES} is no text in UTF-8.") from error
    said = [(n, line) for n, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    try:
        times = [round(float(line) * 1000) for _, line in said]
        if max(map(abs, times), default=0) > _LATEST:
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise VideoError(f"{folder / TIMES}: a line of it is no number of milliseconds.") from error
    if len(times) != count:
        raise VideoError(f"{folder / TIMES} has {len(times)} times, but there are {count} pictures.")
    for (_, before), (number, line), gap in zip(said, said[1:], np.diff(times), strict=False):
        if gap <= 0:
            raise VideoError(
                f"{folder / TIMES}, line {number}: {line.strip()} after {before.strip()}; times must rise, "
                "by a microsecond or more."
            )
    return times


def _encode(paths: Sequence[Path], times: Sequence[int], target: Path, rate: Fraction) -> None:
    """A video of PNG pictures, which keep the colours that are declared, as FFV1 does not."""
    first = _read_frame(paths[0])
    layout = Layout("rgb", 16 if first.pixels.dtype == np.uint16 else 8, has_alpha=first.alpha is not None)
    encoded = _PNG_FORMATS[layout.bits, layout.has_alpha]
    tags = _colour_tags(first)
    primaries, transfer, *_ = tags.get(CICP, _UNSPECIFIED)
    with library().open(str(target), "w", format="nut") as container:
        stream: Any = container.add_stream("png", options={"compression_level": "1", "pred": "sub"})
        stream.height, stream.width = first.pixels.shape[:2]
        stream.pix_fmt = encoded
        stream.codec_context.time_base, stream.codec_context.framerate = _TICK, rate
        for path, time in zip(paths, times, strict=True):
            picture = _read_frame(path)
            if (own := _colour_tags(picture)) != tags:
                words = [in_words(said) or "none" for said in (own, tags)]
                raise VideoError(
                    f"{path}: frames must be alike; it declares other colours ({words[0]}) than the first "
                    f"one ({words[1]})."
                )
            pixels = _as_rgb(picture.pixels, first.pixels, path)
            frame = new_frame(stream.width, stream.height, layout)
            for index, view in enumerate(views(frame)):
                view[...] = pixels[..., index]
            frame = frame.reformat(format=encoded)
            frame.color_primaries, frame.color_trc = primaries, transfer
            frame.pts, frame.time_base = time, _TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _read_frame(path: Path) -> Picture:
    """A picture in the colours it declares, or in sRGB where it has a profile, which no video holds."""
    picture = images.read(path)
    with suppress(pyvips.Error):  # a damaged profile is as good as none
        picture = in_srgb(picture)
    return picture


def _colour_tags(picture: Picture) -> dict[str, bytes]:
    """What a picture says of its colours: by `CICP`, which videos keep, or by gamma and primaries."""
    return {name: picture.metadata[name] for name in (CICP, PNG_TAGS) if name in picture.metadata}


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
