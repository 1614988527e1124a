"""Which pictures become which files."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from escsr import images
from escsr.batch.manifest import Manifest
from escsr.batch.table import Row, is_table, name_below, read_rows
from escsr.errors import ConfigError, NoImagesError, OutputError
from escsr.files import check_folder, named_in_errors
from escsr.upscaling.default_target import default_target
from escsr.upscaling.target_size import TargetSize

__all__ = [
    "Job",
    "check_name_suffix",
    "check_targets",
    "hint_at_videos",
    "plan",
    "result_name",
    "without_results",
]


@dataclass(frozen=True)
class Job:
    """One picture and where its result goes.

    Attributes:
        source: The picture.
        target: Its result.
        sha256: Of the picture's bytes, as a table says, hexadecimal; "" if it does not.
    """

    source: Path
    target: Path
    sha256: str = ""


def plan(
    inputs: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    *,
    size: TargetSize,
    format: str | None = None,
    suffix: str | None = None,
    shard: str | None = None,
) -> list[Job]:
    """Pairs every picture with the file its result goes to.

    Args:
        inputs: Files, folders, patterns like "photos/**/*.jpg", and tables; see `escsr.batch.table`.
        output: File, folder or None; see `upscale`.
        size: What is asked for, for the default names.
        format: Format of the results by its ending, "png"; None for that of each input.
        suffix: What to put behind the names of results, in the place of "_x2"; with a folder as output,
            behind the name of each file. None for the usual names.
        shard: "2/5" for the second of five parts of the jobs, which together are all of them.

    Returns:
        The jobs, in the order of the inputs; within folders and patterns sorted by name. Results of an
        earlier run that lie among the pictures, and would be made again, are no inputs, and neither is what
        is listed in a folder of results inside one of pictures.

    Raises:
        ConfigError: There are no inputs or one without a name, or suffix or shard are impossible.
        NoImagesError: A folder, a pattern or a table holds no pictures.
        OutputError: Two results would have one name, a result would replace an input, the output does
            not fit the inputs, or its format or its folder cannot be written.
    """
    if not inputs:
        raise ConfigError("Nothing to upscale: give at least one picture or folder.")
    if "" in (*inputs, output):  # which a path would read as the current folder
        raise ConfigError('An empty name is no picture and no folder; "." is the current folder.')
    if format is not None:
        format = f".{format.lower().lstrip('.')}"
        with named_in_errors(
            {f"Cannot write result{format}: its ending": "format", f"result{format}": format}
        ):
            images.check_suffix(Path(f"result{format}"))
    check_name_suffix(suffix, images.WRITABLE)
    sources = [path for entry in inputs for path in _expanded(entry)]
    target = None if output is None else Path(output)
    needs_folder = (
        len(sources) > 1
        or is_table(sources[0])
        or _is(sources[0], stat.S_ISDIR)
        or str(output).endswith(("/", os.sep))
    )
    if target is None or needs_folder or _is(target, stat.S_ISDIR):
        if target is not None:
            _check_folder(target, str(output))
        names = _Names(target, size, format, suffix)
        jobs = [job for source in sources for job in names.jobs_of(source)]
        jobs = without_results(jobs, target if _is_inside(target, sources) else None)
        if not jobs:
            raise NoImagesError(f"{inputs[0]}: no pictures in it but the results of earlier runs.")
    else:
        if not target.suffix:
            raise OutputError(
                f"Cannot write {target}: it has no ending, like .png, that says its format; for a folder "
                f"of this name end it with {os.sep}."
            )
        chosen = images.check_suffix(target)
        if format is not None and images.WRITABLE[format] is not chosen:
            raise ConfigError(f"{target} is no {format} file; leave the format out, or name the file so.")
        if suffix is not None:
            raise ConfigError(f"suffix is for names that are made; {target} is a whole name already.")
        jobs = [Job(sources[0], target)]
    check_targets(jobs)
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


@dataclass(frozen=True)
class _Names:
    """How results are called; see `plan`."""

    target: Path | None
    size: TargetSize
    format: str | None
    suffix: str | None

    def jobs_of(self, source: Path) -> Iterator[Job]:
        """One job for a picture, or one for each picture in a folder or a table."""
        if is_table(source):
            yield from self._jobs_of_table(source)
            return
        if not _is(source, stat.S_ISDIR):
            if self.target is None:
                yield Job(source, self._beside(source))
            else:
                yield Job(source, self._renamed(self.target / source.name, self.suffix))
            return
        named = source if source.name not in ("", "..") else source.resolve()
        beside = named.with_name(f"{named.name}{self.suffix or f'_{self.size.label}'}")
        try:
            found = images.find_images(source)
        except NoImagesError as error:
            raise NoImagesError(" ".join([str(error), *hint_at_videos([source])])) from error
        for path in found:
            inner = path.relative_to(source)
            if self.target is None:
                yield Job(path, self._renamed(beside / inner, None))
            else:
                yield Job(path, self._renamed(self.target / inner, self.suffix))

    def _jobs_of_table(self, table: Path) -> Iterator[Job]:
        is_empty = True
        for row in (row for rows in read_rows([table]) for row in rows):
            is_empty = False
            if "://" in row.path or row.options:
                what = "options of its own" if row.options else "no file of this machine"
                raise ConfigError(f"{table}: {row.path} is or has {what}; use escsr fleet for this table.")
            yield Job(Path(row.path), self._target_of(row), row.sha256)
        if is_empty:
            raise NoImagesError(f"{table}: there are no pictures in this table.")

    def _target_of(self, row: Row) -> Path:
        if self.target is None:
            return self._beside(Path(row.path))
        if row.target:
            return self.target / row.target
        return self._renamed(self.target / name_below(row.path), self.suffix)

    def _beside(self, source: Path) -> Path:
        return self._renamed(default_target(source, self.size, self.suffix), None)

    def _renamed(self, path: Path, suffix: str | None) -> Path:
        return Path(result_name(os.fspath(path), format=self.format, suffix=suffix))


def result_name(name: str, *, format: str | None, suffix: str | None) -> str:
    """Name of a result that is called after its picture.

    Args:
        name: Of the picture, with or without folders.
        format: The ending, ".png"; None for the picture's own where that can be written, else .png.
        suffix: What to put before it; None for nothing.

    Example:
        >>> result_name("trip/photo.dng", format=None, suffix="_large")
        'trip/photo_large.png'
    """
    stem, own = os.path.splitext(name)  # noqa: PTH122 (a string: called for millions)
    return f"{stem}{suffix or ''}{format or (own if own.lower() in images.WRITABLE else '.png')}"


def check_name_suffix(suffix: str | None, endings: Container[str]) -> None:
    """Refuses what cannot be put behind a name, or was meant for a format.

    Args:
        suffix: "_large", or None.
        endings: Those of files that can be written, ".png".

    Raises:
        ConfigError: It is another.
    """
    if suffix is None:
        return
    if suffix.lower() in endings:
        raise ConfigError(f"suffix is put behind the name, like _large; for {suffix} files use format.")
    if not suffix or set(suffix) & {"/", "\\", "\0"}:
        raise ConfigError(f"suffix must be a part of a file name, like _large, not {suffix!r}.")


def hint_at_videos(folders: Sequence[str | os.PathLike[str]]) -> list[str]:
    """How to upscale videos that are in folders of pictures, in words; nothing where there are none."""
    from escsr.video.kinds import SUFFIXES

    others = (path for folder in folders for path in images.iter_others(folder))
    video = next((path for path in others if path.suffix.lower() in SUFFIXES), None)
    if video is None:
        return []
    pattern = Path(glob.escape(os.fspath(video.parent)), f"*{video.suffix}")
    return [f'For videos: escsr "{pattern}"']


def _is(path: Path, kind: Callable[[int], bool] = bool) -> bool:
    """Whether there is something of a kind; not so what cannot be looked at, or cannot be a name."""
    try:
        return kind(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _check_folder(target: Path, given: str) -> None:
    """Refuses as a folder what is a file, or is named as one and not there yet."""
    if _is(target, stat.S_ISREG):
        raise OutputError(f"{target} is a file; several pictures require a folder.")
    if target.suffix.lower() in images.WRITABLE and not _is(target) and not given.endswith(("/", os.sep)):
        raise OutputError(
            f"{target} is named as one picture; several require a folder. For a folder of this name end it "
            f"with {os.sep}."
        )


def _is_inside(target: Path | None, sources: Sequence[Path]) -> bool:
    """Whether results go to a folder inside one of pictures, where another run finds them."""
    if target is None:
        return False
    above = {os.path.realpath(parent) for parent in Path(os.path.realpath(target)).parents}
    return any(_is(source, stat.S_ISDIR) and os.path.realpath(source) in above for source in sources)


def without_results(jobs: list[Job], inside: Path | None = None) -> list[Job]:
    """Without what an earlier run made of the others, where results lie among the sources.

    Args:
        jobs: All of them.
        inside: The folder of results, where it is inside a folder of sources: of what is listed there
            nothing is a source, however this run calls its results and whichever pictures are gone.
    """
    targets, manifest = {os.path.realpath(job.target) for job in jobs}, Manifest()
    folder = None if inside is None else os.path.realpath(inside)

    def is_result(source: Path) -> bool:
        path = os.path.realpath(source)
        is_there = path in targets or (folder is not None and Path(path).is_relative_to(folder))
        return is_there and manifest.lists(source)

    return [job for job in jobs if not is_result(job.source)]


def check_targets(jobs: Sequence[Job]) -> None:
    """Refuses results without a name of their own or a folder that takes them, before any work.

    Raises:
        OutputError: Two results would have one name, one would replace an input, or a folder cannot be
            written.
    """
    owners: dict[str, Path] = {}
    sources = {os.path.realpath(job.source) for job in jobs}
    for job in jobs:
        target = os.path.realpath(job.target)  # Path.resolve raises where links go round
        if target in sources:
            raise OutputError(f"{job.target} is an input; {_way_out(job)}.")
        if target in owners:
            raise OutputError(
                f"{owners[target]} and {job.source} would both become {job.target}; rename one, or upscale "
                "them by two commands with different outputs."
            )
        owners[target] = job.source
    for folder in dict.fromkeys(job.target.parent for job in jobs):
        check_folder(folder)


def _way_out(job: Job) -> str:
    """What to do where a result would replace an input."""
    if os.path.realpath(job.source) == os.path.realpath(job.target):
        return "choose another name for the result"
    return (
        f"if it is the result of {job.source} from an earlier run, delete it or do not give it again, else "
        "choose another name or folder for the results"
    )


def _part(jobs: list[Job], shard: str) -> list[Job]:
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", shard)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"shard must be PART/PARTS, like 2/5, not {shard!r}.")
    return jobs[int(match[1]) - 1 :: int(match[2])]
