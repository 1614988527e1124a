"""Which videos become which files."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from escsr.batch.jobs import Job, check_name_suffix, check_targets, without_results
from escsr.errors import ConfigError, OutputError
from escsr.images import WRITABLE, is_image
from escsr.runtime.choices import VideoCodec
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.upscaler import Upscaler
from escsr.video.frame_files import is_frame_pattern
from escsr.video.kinds import CONTAINERS, ending_of, is_video
from escsr.video.plan import default_target

__all__ = ["VideoJob", "passed_over", "plan_videos"]


@dataclass(frozen=True)
class VideoJob:
    """One video and where its result goes; None, of a video alone, for a name beside it."""

    source: Path
    target: Path | None


def plan_videos(
    inputs: Sequence[str],
    output: str | None,
    options: UpscaleOptions,
    *,
    format: str | None = None,
    suffix: str | None = None,
    codec: VideoCodec = "auto",
) -> list[VideoJob]:
    """Pairs videos with the files their results go to.

    Args:
        inputs: Files and patterns, which pass over folders and what is neither video nor picture; or one
            folder of frames.
        output: File for one video, folder for several, or None; a video for a folder of frames.
        options: How frames are upscaled, for the names of results beside the inputs.
        format: Ending of results in a folder, "mkv"; None for that of each input, where it can be written.
        suffix: What to put behind their names.
        codec: Of the results; some need another ending.

    Returns:
        The jobs, in the order of the inputs; none where no input is a video. Without `output`, results of
        an earlier run that are among the videos, and would be made again, are no inputs.

    Raises:
        ConfigError: Videos and pictures stand side by side, `format` or `suffix` do not fit the output, or
            several videos would become one file.
        OutputError: Results would have one name or replace an input, or a folder cannot be written.
        EscError: Model or device are not as they should be.
    """
    if output is not None and len(inputs) == 1 and Path(inputs[0] or "-").is_dir():
        target = Path(output)
        is_film = target.suffix.lower() in CONTAINERS and not target.is_dir()
        return [VideoJob(Path(inputs[0]), _whole(target, format, suffix))] if is_film else []
    paths = [path for entry in inputs for path in _expanded(entry)]
    videos = [path for path in paths if is_video(path)]
    if not videos:
        return []
    if others := [path for path in paths if path not in videos]:
        raise ConfigError(f"{others[0]} is not a video; upscale videos and pictures by separate commands.")
    if output == "":
        raise ConfigError('An empty name is no file and no folder; "." is the current folder.')
    check_name_suffix(suffix, CONTAINERS)
    if output is None:
        if len(videos) == 1:
            return [VideoJob(videos[0], None)]
        size = options.target or Upscaler(options=options).target_size()
        beside = ((path, default_target(path, size, format, suffix, codec)) for path in videos)
        jobs = without_results([Job(*pair) for pair in beside])
    else:
        jobs = _named(videos, output, format, suffix, codec)
    check_targets(jobs)
    return [VideoJob(job.source, job.target) for job in jobs]


def _named(
    videos: Sequence[Path], output: str, format: str | None, suffix: str | None, codec: VideoCodec
) -> list[Job]:
    """The jobs where a file or a folder for the results is given."""
    target = Path(output)
    if len(videos) == 1 and not target.is_dir() and not output.endswith(("/", os.sep)):
        return [Job(videos[0], _whole(target, format, suffix))]
    if target.is_file():
        raise OutputError(f"{target} is a file; several videos require a folder.")
    is_folder = target.is_dir() or output.endswith(("/", os.sep))
    if not is_folder and (target.suffix.lower() in CONTAINERS or is_frame_pattern(target)):
        raise ConfigError(f"{target} names one result; several videos require a folder.")
    end = suffix or ""
    return [Job(path, target / f"{path.stem}{end}{ending_of(path, format, codec)}") for path in videos]


def _whole(target: Path, format: str | None, suffix: str | None) -> Path:
    """A name that is given; formats and suffixes are for others, but a format that is the name's own."""
    if suffix is not None:
        raise ConfigError(f"suffix is for names that are made; {target} is a whole name already.")
    if format is not None:
        known, ending = {**WRITABLE, **CONTAINERS}, f".{format.lower().lstrip('.')}"
        if ending not in known or known[ending] != known.get(target.suffix.lower()):
            raise ConfigError(f"{target} is no {ending} file; leave the format out, or name the file so.")
    return target


def passed_over(inputs: Sequence[str]) -> str:
    """Tells how many matches of patterns are neither videos nor pictures; "" where there are none.

    Args:
        inputs: See `plan_videos`.
    """
    matches = [path for entry in inputs if _is_pattern(entry) for path in _matches(entry)]
    others = [path for path in matches if not _is_wanted(path)]
    kinds = Counter(
        "folder" if path.is_dir() else path.suffix.lower() or "without an ending" for path in others
    )
    named = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return f"Skipped what is not a video: {named}." if named else ""


def _expanded(entry: str) -> list[Path]:
    if not _is_pattern(entry):
        return [Path(entry)] if entry else []
    return [path for path in _matches(entry) if _is_wanted(path)]


def _is_pattern(entry: str) -> bool:
    return glob.has_magic(entry) and not Path(entry).exists()


def _is_wanted(match: Path) -> bool:
    return not match.is_dir() and (is_video(match) or is_image(match))


def _matches(entry: str) -> list[Path]:
    return [Path(match) for match in sorted(glob.glob(entry, recursive=True))]  # noqa: PTH207 (Path.glob takes no absolute pattern)
