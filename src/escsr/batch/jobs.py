"""Which pictures become which files."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from escsr import images
from escsr.errors import ConfigError, NoImagesError, OutputError
from escsr.upscaling.target_size import TargetSize
from escsr.upscaling.upscaler import default_target

__all__ = ["Job", "plan"]


@dataclass(frozen=True)
class Job:
    """One picture and where its result goes."""

    source: Path
    target: Path


def plan(
    inputs: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    *,
    size: TargetSize,
    suffix: str | None = None,
    shard: str | None = None,
) -> list[Job]:
    """Pairs every picture with the file its result goes to.

    Args:
        inputs: Files, folders, and patterns like "photos/**/*.jpg".
        output: File, folder or None; see `upscale`.
        size: What is asked for, for the default names.
        suffix: Ending of the results, ".png" or "png"; None for that of each input.
        shard: "2/5" for the second of five parts of the jobs, which together are all of them.

    Returns:
        The jobs, in the order of the inputs; within folders and patterns sorted by name.

    Raises:
        ConfigError: There are no inputs or one without a name, or the shard is impossible.
        NoImagesError: A folder or a pattern holds no pictures.
        OutputError: Two results would have one name, a result would replace an input, the output does
            not fit the inputs, or its format or its folder cannot be written.
    """
    if not inputs:
        raise ConfigError("Nothing to upscale: name at least one picture or folder.")
    if "" in (*inputs, output):  # which a path would read as the current folder
        raise ConfigError('An empty name is no picture and no folder; "." is the current folder.')
    if suffix is not None:
        suffix = f".{suffix.lower().lstrip('.')}"
        images.check_suffix(Path(f"result{suffix}"))
    sources = [path for entry in inputs for path in _expanded(entry)]
    target = None if output is None else Path(output)
    needs_folder = len(sources) > 1 or _is(sources[0], stat.S_ISDIR) or str(output).endswith(("/", os.sep))
    if target is None or needs_folder or _is(target, stat.S_ISDIR):
        if target is not None and _is(target, stat.S_ISREG):
            raise OutputError(f"{target} is a file; several pictures need a folder.")
        jobs = [job for source in sources for job in _pairs(source, target, size, suffix)]
    else:
        images.check_suffix(target)
        jobs = [Job(sources[0], target)]
    _check_targets(jobs)
    return jobs if shard is None else _part(jobs, shard)


def _expanded(entry: str | os.PathLike[str]) -> list[Path]:
    """The path itself, or what a pattern matches; a file may bear a pattern's signs in its name."""
    path = Path(entry)
    if not glob.has_magic(os.fspath(entry)) or _is(path):
        return [path]
    found = [Path(match) for match in sorted(glob.glob(os.fspath(entry), recursive=True))]  # noqa: PTH207 (Path.glob takes no absolute pattern)
    pictures = [match for match in found if match.is_file() and match.suffix.lower() in images.READABLE]
    if not pictures:
        raise NoImagesError(f"{entry}: no picture matches this pattern.")
    return pictures


def _pairs(source: Path, target: Path | None, size: TargetSize, suffix: str | None) -> Iterator[Job]:
    if _is(source, stat.S_ISDIR):
        named = source if source.name not in ("", "..") else source.resolve()
        base = target or named.with_name(f"{named.name}_{size.label}")
        for path in images.find_images(source):
            yield Job(path, _suffixed(base / path.relative_to(source), suffix))
    else:
        result = default_target(source, size) if target is None else target / source.name
        yield Job(source, _suffixed(result, suffix))


def _suffixed(path: Path, suffix: str | None) -> Path:
    """The path with the ending asked for, else its own where that can be written, else .png."""
    if suffix is None:
        suffix = path.suffix if path.suffix.lower() in images.WRITABLE else ".png"
    return path.with_suffix(suffix)


def _is(path: Path, kind: Callable[[int], bool] = bool) -> bool:
    """Whether there is something of a kind; not so what cannot be looked at, or cannot be a name."""
    try:
        return kind(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _check_targets(jobs: Sequence[Job]) -> None:
    """Raises where results have no name of their own or no folder that takes them, before any work."""
    owners: dict[str, Path] = {}
    sources = {os.path.realpath(job.source) for job in jobs}
    for job in jobs:
        target = os.path.realpath(job.target)  # Path.resolve raises where links go round
        if target in sources:
            raise OutputError(f"{job.target} is an input; choose another output.")
        if target in owners:
            raise OutputError(f"{owners[target]} and {job.source} would both become {job.target}.")
        owners[target] = job.source
    for folder in dict.fromkeys(job.target.parent for job in jobs):
        nearest = next(path for path in (folder, *folder.absolute().parents) if _is(path))
        if not nearest.is_dir():
            raise OutputError(f"Cannot write to {folder}: {nearest} is a file.")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise OutputError(f"Cannot write to {folder}: {nearest} may not be written; choose another.")


def _part(jobs: list[Job], shard: str) -> list[Job]:
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", shard)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"shard reads PART/PARTS, like 2/5, not {shard!r}.")
    return jobs[int(match[1]) - 1 :: int(match[2])]
