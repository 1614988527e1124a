"""What is to be done with a video: checked before any work."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from escsr.batch.manifest import key_of
from escsr.errors import ConfigError, OutputError, VideoError
from escsr.files import check_writable, sha256_of
from escsr.models.selection import choose_model, files_of
from escsr.runtime.choices import VideoCodec
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.target_size import TargetSize
from escsr.upscaling.upscaler import Upscaler
from escsr.video.encoding import Encoding, choose_encoding
from escsr.video.joining import check_streams
from escsr.video.kinds import Container, container_of, ending_of
from escsr.video.library import library
from escsr.video.source import Video, describe

__all__ = ["VideoOptions", "VideoPlan", "check_pixels", "default_target", "plan_video", "upscaler_for"]

_SHORTEST, _LONGEST = 0.1, 3600.0
"""Seconds of a segment."""


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """How a video is encoded, and in which parts.

    Attributes:
        codec: See `VideoCodec`.
        crf: Quality of h264, hevc (0 to 51) and av1 (0 to 63), the lower the better; None for 18, 20, 24.
        preset: Speed of the encoder; None for "medium", of av1 "8".
        segment: Seconds of a finished part, which an interrupted run need not do again.
        deinterlace: Make whole frames of interlaced ones, which else are refused.
        fps: Frames a second of a folder of pictures without times, like "30000/1001"; None for 25.

    Raises:
        ConfigError: `segment` is impossible.
    """

    codec: VideoCodec = "auto"
    crf: int | None = None
    preset: str | None = None
    segment: float = 10.0
    deinterlace: bool = False
    fps: str | None = None

    def __post_init__(self) -> None:
        if not _SHORTEST <= self.segment <= _LONGEST:
            raise ConfigError(
                f"segment must be from {_SHORTEST} to {_LONGEST:g} seconds, not {self.segment}."
            )


@dataclass(frozen=True)
class VideoPlan:
    """A video, its result and the way between them.

    Attributes:
        video: The source.
        target: The result.
        container: Its format.
        encoding: How frames are encoded.
        wanted: What the stored frames of the result measure, but for a pixel more where the codec needs it.
        upscaler: The model.
        how: As asked for.
        notes: What a user should know before the work, in words.
    """

    video: Video
    target: Path
    container: Container
    encoding: Encoding
    wanted: TargetSize
    upscaler: Upscaler
    how: VideoOptions
    notes: tuple[str, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the result as it is shown."""
        return self.video.as_shown(self.encoding.size)

    @property
    def disk_bytes(self) -> int:
        """Rough need of the segments and the result together, until the segments are deleted."""
        width, height = self.encoding.size
        video = width * height * self.video.frames * self.encoding.codec.bits_per_pixel / 8
        return round(2 * video) + self.video.path.stat().st_size

    @property
    def free_bytes(self) -> int:
        """What the disk of the result has."""
        folder = next(path for path in self.target.absolute().parents if path.is_dir())
        return shutil.disk_usage(folder).free

    @cached_property
    def key(self) -> str:
        """Hash of all that the segments depend on."""
        options = self.upscaler.options
        model = choose_model(options.model, self.wanted.scale_of(self.video.height, self.video.width))
        own = options.of_file(model)
        digests = map(sha256_of, files_of(model, own.strength or 0))
        pictures = key_of(self.video.path, " ".join(digests), self.wanted, own)
        settings = {
            "encoding": [
                self.encoding.name,
                self.encoding.options,
                self.encoding.layout,
                self.encoding.size,
                self.encoding.aspect,
            ],
            "how": [self.how.segment, self.how.deinterlace],
            "libraries": library().library_versions,
        }
        text = json.dumps(settings, sort_keys=True, default=str)
        return sha256(f"{pictures} {text}".encode()).hexdigest()


def plan_video(
    source: Path,
    target: Path | None,
    options: UpscaleOptions,
    how: VideoOptions,
    *,
    format: str | None = None,
    suffix: str | None = None,
    first: VideoPlan | None = None,
) -> VideoPlan:
    """Looks at a video and at what its result needs.

    Args:
        source: The file.
        target: The result; None for a name beside the source.
        options: How frames are upscaled.
        how: How they are encoded.
        format: Ending of a result without a name of its own, "mkv"; None for that of the source, where it
            can be written and holds the codec and all streams, else "mkv".
        suffix: What to put in the place of "_x2" in such a name; None for that.
        first: Of a folder of frames, the plan by its first one, whose model and notes are those of all.

    Raises:
        VideoError: The source cannot be read, is interlaced, or is larger than the size asked for.
        OutputError: The result cannot be written, or not hold all streams.
        ConfigError: An option is impossible.
        DeviceError: There is no such device.
    """
    if options.crop is not None:
        raise ConfigError("crop is for pictures, not for videos.")
    video = describe(source)
    _check_size(video, options.target)
    video.check_fields(deinterlace=how.deinterlace)
    if first is None:
        wanted, upscaler = upscaler_for(video.height, video.width, options, is_turned=video.is_turned)
    else:
        wanted, upscaler = first.wanted, first.upscaler
    shown = options.target or wanted
    named = target if target is not None else default_target(source, shown, format, suffix, how.codec)
    container = container_of(named)
    lost = check_streams(source, container, named)
    _check_target(named, source)
    rows, columns = (part.stop - part.start for part in wanted.kept(video.height, video.width))
    check_pixels(source, (video.width, video.height), (columns, rows), options.max_pixels)
    encoding = choose_encoding(
        video,
        (columns, rows),
        container,
        aspect=wanted.shape_of_pixels(video.aspect, video.height, video.width),
        may_grow=(
            columns not in (wanted.width, wanted.longest),
            rows not in (wanted.height, wanted.longest),
        ),
        codec=how.codec,
        crf=how.crf,
        preset=how.preset,
    )
    check_pixels(source, (video.width, video.height), encoding.size, options.max_pixels)  # a pixel more
    notes = (*video.notes, *encoding.notes, *lost) if first is None else first.notes
    return VideoPlan(video, named, container, encoding, wanted, upscaler, how, notes)


def upscaler_for(
    height: int, width: int, options: UpscaleOptions, *, is_turned: bool = False
) -> tuple[TargetSize, Upscaler]:
    """What stored frames become, and the model that brings them there.

    Strength is 0 unless it is given: what a GAN form invents changes from frame to frame.

    Args:
        height: Stored pixels.
        width: Stored pixels.
        options: What is asked for, of frames as they are shown.
        is_turned: Whether they are shown with width and height exchanged.

    Raises:
        EscError: Model or device are not as they should be.
    """
    if options.strength is None:
        options = replace(options, strength=0.0)
    target = options.target
    if target is None:
        upscaler = Upscaler(options=options)
        return upscaler.target_size(), upscaler
    if is_turned:
        target = replace(target, width=target.height, height=target.width)
    model = choose_model(options.model, target.scale_of(height, width))
    return target, Upscaler(options=options, weights=model)


def default_target(
    source: Path, size: TargetSize, format: str | None, suffix: str | None, codec: VideoCodec = "auto"
) -> Path:
    """Name of a result beside its source: clip.mp4 at ×2 becomes clip_x2.mp4.

    Args:
        source: The file; one that cannot be read keeps its ending.
        size: What is asked for, of frames as they are shown.
        format: See `plan_video`.
        suffix: See `plan_video`.
        codec: Of the result.
    """
    named = source.with_name(f"{source.stem}{suffix or f'_{size.label}'}{ending_of(source, format, codec)}")
    if format is not None:
        return named
    try:
        check_streams(source, container_of(named), named)
    except OutputError:
        return named.with_suffix(".mkv")
    except VideoError:
        pass
    return named


def _check_target(target: Path, source: Path) -> None:
    """Raises where the result would replace the source, or could not be written at the end."""
    if target.exists() and target.samefile(source):
        raise OutputError(f"{target} is the input itself; choose another name for the result.")
    if target.exists() and not target.is_file():
        raise OutputError(f"Cannot write {target}: it is there, and no ordinary file.")
    check_writable(target)


def _check_size(video: Video, target: TargetSize | None) -> None:
    """Raises where the frames are larger than what is asked for."""
    if target is not None:
        try:
            target.upscaled(*video.shown_size)
        except ConfigError as error:
            raise VideoError(f"{video.path}: {error}") from error


def check_pixels(source: object, before: tuple[int, int], after: tuple[int, int], most: int | None) -> None:
    """Refuses frames or results that have more pixels than are allowed.

    Args:
        source: Name of the video.
        before: Width and height of its frames.
        after: Width and height of the results.
        most: `max_pixels` of the options.

    Raises:
        OutputError: They have more.
    """
    pixels = max(before[0] * before[1], after[0] * after[1])
    if most is not None and pixels > most:
        raise OutputError(
            f"{source}: frames have {pixels} pixels, more than the {most} allowed; choose a smaller "
            "size or raise max_pixels."
        )
