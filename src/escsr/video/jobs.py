"""Which videos become which files."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from escsr.batch.jobs import check_name_suffix
from escsr.errors import ConfigError, OutputError
from escsr.video.kinds import CONTAINERS, ending_of, is_video

__all__ = ["VideoJob", "plan_videos"]


@dataclass(frozen=True)
class VideoJob:
    """One video and where its result goes; None for a name beside it."""

    source: Path
    target: Path | None


def plan_videos(
    inputs: Sequence[str], output: str | None, *, format: str | None = None, suffix: str | None = None
) -> list[VideoJob]:
    """Pairs videos with the files their results go to.

    Args:
        inputs: Files and patterns; or one folder of frames.
        output: File for one video, folder for several, or None; a video for a folder of frames.
        format: Ending of results in a folder, "mkv"; None for that of each input, where it can be written.
        suffix: What to put behind their names.

    Returns:
        The jobs, in the order of the inputs; none where no input is a video.

    Raises:
        ConfigError: Videos and pictures stand side by side, or `suffix` is impossible.
        OutputError: Results would have one name, or replace an input.
    """
    if output is not None and len(inputs) == 1 and Path(inputs[0] or "-").is_dir():
        target = Path(output)
        is_film = target.suffix.lower() in CONTAINERS and not target.is_dir()
        return [VideoJob(Path(inputs[0]), _whole(target, suffix))] if is_film else []
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
        return [VideoJob(path, None) for path in videos]
    target = Path(output)
    if len(videos) == 1 and not target.is_dir() and not output.endswith(("/", os.sep)):
        jobs = [VideoJob(videos[0], _whole(target, suffix))]
    elif target.is_file():
        raise OutputError(f"{target} is a file; several videos require a folder.")
    else:
        end = suffix or ""
        jobs = [VideoJob(path, target / f"{path.stem}{end}{ending_of(path, format)}") for path in videos]
    _check_targets(jobs)
    return jobs


def _whole(target: Path, suffix: str | None) -> Path:
    if suffix is not None:
        raise ConfigError(f"suffix is for names that are made; {target} is a whole name already.")
    return target


def _expanded(entry: str) -> list[Path]:
    if not entry or not glob.has_magic(entry) or Path(entry).exists():
        return [Path(entry)] if entry else []
    return [Path(match) for match in sorted(glob.glob(entry, recursive=True))]  # noqa: PTH207 (Path.glob takes no absolute pattern)


def _check_targets(jobs: Sequence[VideoJob]) -> None:
    sources = {os.path.realpath(job.source) for job in jobs}
    owners: dict[str, Path] = {}
    for job in jobs:
        target = os.path.realpath(job.target or "")
        if target in sources:
            raise OutputError(f"{job.target} is an input; choose another output.")
        if target in owners:
            raise OutputError(f"{owners[target]} and {job.source} would both become {job.target}.")
        owners[target] = job.source
