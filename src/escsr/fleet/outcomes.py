"""What became of pictures: a dataset of parquet files beside the results, to which rows are only added.

`_fleet/outcomes/status=done/` holds what is done, `status=failed/` what was given up (the dead letters). A
file is written whole or not at all, so a reader sees rows once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from escsr.errors import DataError
from escsr.fleet.stores import file_system, list_files, read_text, written, written_at_once

__all__ = [
    "FOLDER",
    "KEY_BYTES",
    "Recorded",
    "claim",
    "claimed_by",
    "keys_of",
    "outcomes_uri",
    "read_recorded",
    "write_outcomes",
]

FOLDER = "_fleet"
"""Within the output: everything that is no result."""

KEY_BYTES = 16

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("target", pa.string()),
        ("error", pa.string()),
        ("attempt", pa.int32()),
        ("key", pa.binary(KEY_BYTES)),
        ("input_sha256", pa.string()),
        ("settings_sha256", pa.string()),
        ("model_sha256", pa.string()),
        ("result_sha256", pa.string()),
        ("pixels", pa.int64()),
        ("seconds", pa.float32()),
        ("host", pa.string()),
        ("time", pa.timestamp("ms", tz="UTC")),
    ]
)
"""Of a file of outcomes; `status` is in the name of its folder. Pixels are those of the input."""

_PROGRESS = b"escsr.progress"


def outcomes_uri(output: str, status: str | None = None) -> str:
    """Where outcomes are, or those of a status.

    Args:
        output: Absolute path or URI of the results.
        status: "done" or "failed"; None for both.
    """
    folder = f"{output}/{FOLDER}/outcomes"
    return folder if status is None else f"{folder}/status={status}"


def claim(output: str, run: str) -> None:
    """Makes a run the one that writes outcomes of an output; any before it finds itself superseded.

    Raises:
        OutputError: The output cannot be written.
    """
    with written_at_once(f"{output}/{FOLDER}/run") as path:
        path.write_text(run)


def claimed_by(output: str) -> str:
    """The run that writes outcomes of an output; "" before the first."""
    return read_text(f"{output}/{FOLDER}/run")


def write_outcomes(
    output: str, name: str, status: str, rows: Sequence[dict[str, Any]], progress: dict[int, int]
) -> None:
    """Writes a file of outcomes of one status.

    Args:
        output: Absolute path or URI of the results.
        name: Of the file, without its ending; one that is there is replaced.
        status: "done" or "failed".
        rows: By the names of `SCHEMA`.
        progress: Units of work to how many of their rows are recorded so far, for `read_recorded`.
    """
    table = pa.Table.from_pylist(list(rows), SCHEMA)
    table = table.replace_schema_metadata({_PROGRESS: json.dumps(progress).encode()})
    with written(f"{outcomes_uri(output, status)}/{name}.parquet") as path:
        parquet.write_table(table, path)


class Recorded(NamedTuple):
    """What a run has recorded.

    Attributes:
        units: Of work, to how many of their rows are recorded.
        done: Pictures upscaled.
        failed: Pictures given up.
        pixels: Of the inputs of those done.
    """

    units: dict[int, int]
    done: int
    failed: int
    pixels: int


def read_recorded(output: str, run: str) -> Recorded:
    """What a run has recorded, from its files: for a ledger that was lost."""
    units: dict[int, int] = {}
    counts, pixels = {"done": 0, "failed": 0}, 0
    for status in counts:
        for _, table in _opened(output, status, run, _pixels_in):
            counts[status] += table.num_rows
            pixels += sum(table.column("pixels").to_pylist()) if status == "done" else 0
            for unit, count in json.loads((table.schema.metadata or {}).get(_PROGRESS, b"{}")).items():
                units[int(unit)] = max(count, units.get(int(unit), 0))
    return Recorded(units, counts["done"], counts["failed"], pixels)


def keys_of(output: str, status: str) -> NDArray[np.bytes_]:
    """Keys of outcomes of a status, sorted: 16 bytes each; of those done only the newest of each target.

    An older one tells of a result that was replaced since. Names of files sort by time.
    """
    found = [each for _, each in _opened(output, status, "", _keys_in)]
    if not found:
        return np.empty(0, f"S{KEY_BYTES}")
    keys, targets = map(np.concatenate, zip(*found, strict=True))
    if status == "done":
        _, newest = np.unique(targets[::-1], return_index=True)  # the first of each, from behind
        keys = keys[::-1][newest]
    keys.sort()
    return keys


def _opened(output: str, status: str | None, prefix: str, read: Any) -> Iterator[tuple[str, Any]]:
    for uri in list_files(outcomes_uri(output, status), ".parquet"):
        name = uri.rpartition("/")[2]
        if name.startswith(".") or not name.startswith(prefix):  # hidden: begun by a run that was killed
            continue
        filesystem, path = file_system(uri)
        try:
            with filesystem.open(path, "rb") as file:
                found = read(file)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{uri}: cannot be read as outcomes ({error}).") from error
        yield uri, found


def _pixels_in(file: Any) -> pa.Table:
    return parquet.read_table(file, columns=["pixels"])


def _keys_in(file: Any) -> tuple[NDArray[np.bytes_], NDArray[np.int64]]:
    """Keys of a file's rows, and 8 bytes for the target of each."""
    rows = parquet.read_table(file, columns=["key", "target"])
    targets = np.array([hash(target) for target in rows.column("target").to_pylist()], np.int64)
    keys = rows.column("key").combine_chunks()
    keys = keys.chunk(0) if isinstance(keys, pa.ChunkedArray) else keys
    start = keys.offset * KEY_BYTES
    return np.frombuffer(keys.buffers()[1], f"S{KEY_BYTES}", len(keys), start).copy(), targets
