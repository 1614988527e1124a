"""What is to be done: inputs, less what outcomes hold already, as a table in units of work.

Memory is bounded: rows pass by the thousand; of all of them stay 16 bytes, of each outcome another 24.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from escsr.batch.table import is_table
from escsr.errors import DataError, NoImagesError, OutputError
from escsr.fleet.inputs import Input, find_inputs
from escsr.fleet.outcomes import FOLDER, KEY_BYTES, keys_of
from escsr.fleet.row_options import Setting, remembered_settings
from escsr.fleet.stores import delete, without_links, written_at_once
from escsr.upscaling.options import UpscaleOptions

__all__ = ["ROWS_PER_FILE", "Plan", "check_inputs", "make_plan", "plan_uri"]

ROWS_PER_FILE = 100_000
ROWS_PER_GROUP = 1_000

_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("target", pa.string()),
        ("sha256", pa.string()),
        ("options", pa.string()),
        ("key", pa.binary(KEY_BYTES)),
        ("settings_sha256", pa.string()),
        ("model_sha256", pa.string()),
    ]
)


@dataclass(frozen=True)
class Plan:
    """What a run is to do.

    Attributes:
        run: Its name, which sorts after those of earlier ones.
        rows: Pictures to upscale.
        done_before: Pictures that are done already.
        given_up_before: Pictures that failed in an earlier run, and are not tried again.
    """

    run: str
    rows: int
    done_before: int
    given_up_before: int


def plan_uri(output: str, run: str) -> str:
    """The folder of a plan's tables."""
    return f"{output}/{FOLDER}/plan/{run}"


def make_plan(
    source: str,
    output: str,
    run: str,
    *,
    options: UpscaleOptions,
    format: str | None = None,
    suffix: str | None = None,
    retry_failed: bool = False,
    on_rows: Callable[[int], None] | None = None,
) -> Plan:
    """Writes the table of what is to be done.

    Args:
        source: See `find_inputs`.
        output: See `find_inputs`.
        run: Name of the run.
        options: Of pictures without their own.
        format: See `find_inputs`.
        suffix: See `find_inputs`.
        retry_failed: Try again what failed in earlier runs.
        on_rows: Called with the number of pictures seen.

    Raises:
        DataError: The source cannot be read, or two results would have one name.
        ConfigError: Options of a picture are impossible.
        OutputError: A result would replace an input, all inputs are below the output, or the table cannot
            be written.
    """
    _check_place(source, output)
    delete(f"{output}/{FOLDER}/plan")  # of runs that were killed
    done, failed = keys_of(output, "done"), keys_of(output, "failed")
    counts = {"seen": 0, "done": 0, "failed": 0}
    settings = remembered_settings(options)
    listed = partial(find_inputs, source, output, format=format, suffix=suffix)

    def to_do(names: _Names) -> Iterator[list[tuple[Any, ...]]]:
        for some in listed():
            inputs = names.add(some)
            known = [settings(each.options) for each in inputs]
            keys = [_key(each, setting) for each, setting in zip(inputs, known, strict=True)]
            is_done = _is_in(keys, done)
            is_given_up = np.zeros_like(is_done) if retry_failed else _is_in(keys, failed) & ~is_done
            counts["seen"] += len(inputs)
            counts["done"] += int(is_done.sum())
            counts["failed"] += int(is_given_up.sum())
            wanted = ~(is_done | is_given_up)
            yield [
                (*each[:2], each.sha256, each.options, key, *setting[1:])
                for each, setting, key, is_wanted in zip(inputs, known, keys, wanted, strict=True)
                if is_wanted
            ]
            if on_rows is not None:
                on_rows(counts["seen"])

    names = _Names(output)
    rows = _write(chain.from_iterable(to_do(names)), plan_uri(output, run))
    if repeated := names.check(chain.from_iterable(listed())):  # now that they are known, without them
        counts.update(seen=0, done=0, failed=0)
        names = _Names(output, repeated)
        rows = _write(chain.from_iterable(to_do(names)), plan_uri(output, run))
        names.check(chain.from_iterable(listed()))
    return Plan(run, rows, counts["done"], counts["failed"])


def check_inputs(
    source: str, output: str, *, options: UpscaleOptions, format: str | None, suffix: str | None
) -> None:
    """Refuses what cannot be planned, as far as no names need to be compared.

    Args:
        source: See `find_inputs`; a table is read to its end.
        output: See `find_inputs`.
        options: Of pictures without their own.
        format: See `find_inputs`.
        suffix: See `find_inputs`.

    Raises:
        NoImagesError: There are no pictures.
        DataError: The source cannot be read.
        ConfigError: Options of a picture are impossible.
        OutputError: All inputs are below the output.
    """
    _check_place(source, output)
    settings = remembered_settings(options)
    settings("")
    inputs = find_inputs(source, output, format=format, suffix=suffix)
    if not is_table(source):
        is_empty = not any(inputs)
    else:
        is_empty = True
        for some in inputs:
            for each in some:
                settings(each.options)
                is_empty = False
    if is_empty:
        raise NoImagesError(f"{source}: no pictures in it.")


def _check_place(source: str, output: str) -> None:
    real = without_links()
    if not is_table(source) and real(f"{source}/").startswith(real(f"{output}/")):
        raise OutputError(f"{output} holds the pictures themselves; choose another output.")


def _key(each: Input, setting: Setting) -> bytes:
    text = "\0".join((each.path, each.version, each.target, *setting[1:]))
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=KEY_BYTES).digest()


def _is_in(keys: Sequence[bytes], known: NDArray[np.bytes_]) -> NDArray[np.bool_]:
    """Which keys are in a sorted array."""
    wanted = np.array(keys, f"S{KEY_BYTES}")
    if not len(known):
        return np.zeros(len(wanted), np.bool_)
    places = np.searchsorted(known, wanted).clip(max=len(known) - 1)
    found: NDArray[np.bool_] = known[places] == wanted
    return found


def _write(rows: Iterator[tuple[Any, ...]], uri: str) -> int:
    """Files of `ROWS_PER_FILE` rows each; returns the number of rows."""
    total = 0
    for first in rows:
        with written_at_once(f"{uri}/{total // ROWS_PER_FILE:06d}.parquet") as path:
            total += _write_file(chain([first], islice(rows, ROWS_PER_FILE - 1)), path)
    return total


def _write_file(rows: Iterator[tuple[Any, ...]], path: Path) -> int:
    """One file, in groups of rows that can be read alone."""
    count = 0
    with parquet.ParquetWriter(path, _SCHEMA) as writer:
        while group := list(islice(rows, ROWS_PER_GROUP)):
            columns = zip(*group, strict=True)
            arrays = [pa.array(each, field.type) for each, field in zip(columns, _SCHEMA, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA))
            count += len(group)
    return count


def _check_name(each: Input) -> None:
    """Refuses names that tables cannot hold."""
    try:
        f"{each.path}{each.target}".encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{each.path}: a fleet takes names in UTF-8 only; rename the file.") from error


class _Names:
    """All names of inputs and results, as 8 bytes each, to find those that are there twice.

    Args:
        output: See `find_inputs`.
        repeated: Hashes of targets of which equal rows are there, see `check`.
    """

    def __init__(self, output: str, repeated: frozenset[int] = frozenset()) -> None:
        self._repeated, self._met = repeated, set[str]()
        self._output, self._real = output, without_links()
        self._targets: list[NDArray[np.int64]] = []
        self._paths: list[NDArray[np.int64]] = []

    def add(self, inputs: Sequence[Input]) -> Sequence[Input]:
        """Takes note of some inputs; returns them, without those that repeat one before."""
        if self._repeated:
            inputs = [each for each in inputs if self._is_first(each)]
        targets = [self._target_of(each) for each in inputs]
        for each in inputs:
            _check_name(each)
            if each.target.startswith(f"{FOLDER}/"):
                raise OutputError(f"{each.path}: its result would be among the outcomes, in {FOLDER}/.")
        self._targets.append(_hashes(targets))
        self._paths.append(_hashes([self._real(each.path) for each in inputs]))
        return inputs

    def check(self, inputs: Iterator[Input]) -> frozenset[int]:
        """Raises if results of different rows have one name, or one has that of an input.

        Args:
            inputs: All of them once more, to name those that are wrong.

        Returns:
            Hashes of targets that equal rows have, as dead letters of a picture that failed in two runs.
        """
        if not self._targets:
            return frozenset()
        targets, paths = np.concatenate(self._targets), np.concatenate(self._paths)
        targets.sort()
        twice = targets[1:][targets[1:] == targets[:-1]]
        if len(twice) and not self._repeated:
            repeated, first = frozenset(twice.tolist()), dict[str, Input]()
            for each in inputs:
                target = self._target_of(each)
                if hash(target) in repeated and first.setdefault(target, each) != each:
                    raise DataError(f"{first[target].path} and {each.path} would both become {target}.")
            return repeated
        replaced = paths[np.isin(paths, targets, kind="sort")]
        if len(replaced):
            path = next(each.path for each in inputs if hash(self._real(each.path)) == replaced[0])
            raise OutputError(f"{path}: a result would replace it; choose another output.")
        return frozenset()

    def _is_first(self, each: Input) -> bool:
        target = self._target_of(each)
        if hash(target) not in self._repeated:
            return True
        is_first = target not in self._met
        self._met.add(target)
        return is_first

    def _target_of(self, each: Input) -> str:
        return self._real(f"{self._output}/{each.target}")


def _hashes(texts: Sequence[str]) -> NDArray[np.int64]:
    return np.array([hash(text) for text in texts], np.int64)
