"""Tables of pictures, for lists too long for a command line: parquet files, read some rows at a time.

Columns: `path`; and where they are there `target` (name of the result within the output), `sha256` (of the
picture's bytes) and `options` (JSON or a struct, in the place of the run's: `{"scale": 4}`). Others are
passed over.
"""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from escsr.errors import ConfigError, DataError
from escsr.runtime.extras import install_line

__all__ = ["Row", "check_sha256", "is_table", "name_below", "read_rows"]

_COLUMNS = ("path", "target", "sha256", "options")
_ROWS_AT_ONCE = 20_000


class Row(NamedTuple):
    """One picture of a table.

    Attributes:
        path: Absolute path, or URI.
        target: Name of the result within the output; "" for one made from the path.
        sha256: Of the picture's bytes, hexadecimal; "" if not told.
        options: JSON of those that differ from the run's; "" for none.
    """

    path: str
    target: str = ""
    sha256: str = ""
    options: str = ""


def is_table(path: str | os.PathLike[str]) -> bool:
    """Whether an input is a table, a file or a folder of files, by its name."""
    return os.fspath(path).rstrip("/").endswith(".parquet")


def check_sha256(path: str | os.PathLike[str], found: str, told: str) -> None:
    """Refuses a picture that is not the one that a table means.

    Args:
        path: Of the picture, for the message.
        found: Digest of its bytes, hexadecimal.
        told: That of the table; "" where it tells none.

    Raises:
        DataError: They differ.
    """
    if told and told != found:
        raise DataError(f"{path}: has the digest {found}, not {told} as the table says.")


def name_below(path: str) -> str:
    """The name that keeps results of a table apart: the whole path, without its root.

    Args:
        path: Absolute path or URI.

    Example:
        >>> name_below("s3://bucket/trip/a.png"), name_below("/data/a.png")
        ('bucket/trip/a.png', 'data/a.png')
    """
    scheme, is_uri, rest = path.partition("://")
    if is_uri:
        path = rest.partition("#")[0].partition("?")[0] if scheme in ("http", "https") else rest
    return posixpath.normpath(f"/{path.replace(os.sep, '/')}").lstrip("/")


def read_rows(tables: Iterable[Any], filesystem: Any = None) -> Iterator[list[Row]]:
    """Rows of parquet files, in their order; memory is bounded by the rows yielded at once.

    Args:
        tables: Paths of files, and folders of such.
        filesystem: Of fsspec, which the paths are of; None for local ones.

    Yields:
        Some thousand rows. Paths relative to the current folder are made absolute.

    Raises:
        ConfigError: pyarrow is missing, or a target leads out of the output.
        DataError: A table cannot be read, or has no column of paths.
    """
    here = f"{Path.cwd()}{os.sep}"
    for table in tables:
        for columns in _columns(table, filesystem):
            yield [_row(table, here, *values) for values in zip(*columns, strict=True)]


def _columns(table: Any, filesystem: Any) -> Iterator[list[list[Any]]]:
    """Values of `_COLUMNS`, None in those that the table lacks, some thousand rows at a time."""
    try:
        import pyarrow as pa
        from pyarrow import dataset
    except ImportError as error:
        raise ConfigError(f"pyarrow is not installed: {install_line('fleet')}") from error
    try:
        for part in dataset.dataset(str(table), format="parquet", filesystem=filesystem).get_fragments():
            schema = part.physical_schema  # each file's own: that of a folder is its first file's
            there = [name for name in _COLUMNS if name in schema.names]
            if "path" not in there:
                raise DataError(f"{part.path}: has no column path, but {', '.join(schema.names)}.")
            for batch in part.to_batches(
                schema, columns=there, batch_size=_ROWS_AT_ONCE, batch_readahead=1
            ):
                found = batch.to_pydict()
                yield [found.get(name) or [None] * batch.num_rows for name in _COLUMNS]
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{table}: cannot be read as a table ({error}).") from error


def _row(table: Any, here: str, path: Any, target: Any, sha256: Any, options: Any) -> Row:
    if not path or not isinstance(path, str):
        raise DataError(f"{table}: {path!r} is no path.")
    if not path.startswith("/") and "://" not in path:
        path = os.path.abspath(here + path)  # noqa: PTH100 (links stay)
    for column, value in (("target", target), ("sha256", sha256)):
        if value is not None and not isinstance(value, str):
            raise DataError(f"{table}: {column} {value!r} is no text.")
    if not isinstance(options, (str, dict, type(None))):
        raise DataError(f"{table}: options {options!r} are neither JSON nor a struct.")
    if target:
        name = posixpath.normpath(target)
        if name.startswith(("/", "..")) or "://" in name:
            raise ConfigError(f"{table}: target {target!r} is not a name within the output.")
        target = name
    if isinstance(options, dict):
        given = {name: value for name, value in options.items() if value is not None}
        options = json.dumps(given, sort_keys=True) if given else ""
    return Row(path, target or "", (sha256 or "").lower(), options or "")
