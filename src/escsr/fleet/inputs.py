"""Which pictures there are: of a folder, a pattern, a table or a URI, as they are listed."""

from __future__ import annotations

import glob
import os
import posixpath
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from escsr import images
from escsr.batch.jobs import result_name
from escsr.batch.table import is_table, name_below, read_rows
from escsr.errors import DataError, NoImagesError
from escsr.fleet.stores import file_system, is_local, without_links

__all__ = ["Input", "find_inputs"]

_AT_ONCE = 20_000
_VERSIONS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated")
"""What file systems of fsspec tell of a file that differs once it was written anew."""


class Input(NamedTuple):
    """One picture and where its result goes.

    Attributes:
        path: Absolute path, or URI.
        target: Name of the result within the output.
        version: What differs once the picture was changed; "" where nothing is known.
        sha256: Of its bytes, as a table says; "" if it does not.
        options: JSON of its own options; "" for none.
    """

    path: str
    target: str
    version: str = ""
    sha256: str = ""
    options: str = ""


def find_inputs(
    source: str, output: str, *, format: str | None, suffix: str | None
) -> Iterator[list[Input]]:
    """Lists pictures; what is below the output is none.

    Args:
        source: Absolute path or URI: a folder, a picture, a pattern, or a table (`escsr.batch.table`).
        output: Absolute path or URI of the results.
        format: Format of results without a name of their own, "png"; None for that of each picture.
        suffix: What to put behind the names of such results.

    Yields:
        Some thousand pictures.

    Raises:
        DataError: The source is not there or cannot be read.
    """
    format = None if format is None else f".{format.lower().lstrip('.')}"

    def named(name: str) -> str:
        return result_name(name, format=format, suffix=suffix)

    if is_table(source):
        for rows in read_rows(*_tables(source)):
            yield [
                Input(
                    row.path, row.target or named(name_below(row.path)), row.sha256, row.sha256, row.options
                )
                for row in rows
            ]
        return
    found = _local_files(source) if is_local(source) else _remote_files(source)
    real = without_links()
    own = real(f"{output.rstrip('/')}/")
    pictures = (
        Input(path, named(name), version) for path, name, version in found if not real(path).startswith(own)
    )
    while some := list(islice(pictures, _AT_ONCE)):
        yield some


def _tables(source: str) -> Any:
    if is_local(source):
        tables = sorted(glob.glob(source)) if glob.has_magic(source) else [source]  # noqa: PTH207 (absolute)
        if not tables:
            raise NoImagesError(f"{source}: no table matches this pattern.")
        return tables, None
    filesystem, path = file_system(source)
    return (sorted(filesystem.glob(path)) if glob.has_magic(path) else [path]), filesystem


def _local_files(source: str) -> Iterator[tuple[str, str, str]]:
    """Path, name below the source, version."""
    root, paths = _local_paths(source)
    for path in paths:
        try:
            status = path.stat()
        except FileNotFoundError:  # removed since it was listed
            continue
        name = os.fspath(path)[len(root) :].replace(os.sep, "/").lstrip("/")
        yield os.fspath(path), name, f"{status.st_size} {status.st_mtime_ns}"


def _local_paths(source: str) -> tuple[str, Iterable[Path]]:
    """The folder that names leave out, and the pictures."""
    path = Path(source)
    if path.is_dir():
        return source, images.iter_images(path)
    if path.exists() or not glob.has_magic(source):
        if not path.is_file():
            raise DataError(f"{source}: there is no such folder, picture or table.")
        if path.suffix and not images.is_image(path):
            raise DataError(f"{source}: by its name neither a picture nor a table, which ends in .parquet.")
        return os.fspath(path.parent), [path]
    matches = map(Path, glob.iglob(source, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute pattern)
    return _before_signs(source), (each for each in matches if images.is_image(each) and each.is_file())


def _remote_files(source: str) -> Iterator[tuple[str, str, str]]:
    filesystem, path = file_system(source)
    root = path
    try:
        if glob.has_magic(path):
            root = _before_signs(path)
            listed: Iterable[tuple[str, Any]] = filesystem.glob(path, detail=True).items()
        elif source.startswith(("http://", "https://")) or filesystem.isfile(path):
            root, listed = posixpath.dirname(path), [(path, filesystem.info(path))]
        else:
            listed = _below(filesystem, path)
        for name, info in listed:
            if info["type"] == "file" and images.is_image(name):
                version = " ".join(str(info[key]) for key in ("size", *_VERSIONS) if info.get(key))
                yield filesystem.unstrip_protocol(name), posixpath.relpath(name, root), version
    except Exception as error:  # of libraries behind fsspec, which have trees of their own
        raise DataError(f"{source}: cannot be listed ({error}).") from error


def _below(filesystem: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Files below a folder, one folder in memory at a time; hidden ones are passed over."""
    for _, folders, files in filesystem.walk(path, detail=True, on_error="raise"):
        for name in [name for name in folders if name.startswith(".")]:
            del folders[name]
        yield from ((info["name"], info) for name, info in files.items() if not name.startswith("."))


def _before_signs(pattern: str) -> str:
    """The folder before a pattern's first sign, which names of results leave out."""
    first = min(place for sign in "*?[" if (place := pattern.find(sign)) >= 0)
    return pattern[:first].rpartition("/")[0] or "/"
