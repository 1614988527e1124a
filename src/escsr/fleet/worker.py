"""The part that upscales: it holds models, takes units of a plan and reports what became of each row."""

from __future__ import annotations

import platform
import random
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import pyvips
import torch

from escsr import images
from escsr.batch.table import check_sha256
from escsr.errors import ConfigError, DataError, DeviceError, EscError, ModelNotFoundError, OutputError
from escsr.files import is_full, remove_stale_parts, sha256_of
from escsr.fleet.ledger import DEADLY
from escsr.fleet.plan import ROWS_PER_FILE, ROWS_PER_GROUP, plan_uri
from escsr.fleet.row_options import setting_of
from escsr.fleet.stores import NoRoomError, fetched, file_system, is_local, written
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.upscaler import Upscaler

__all__ = ["ATTEMPTS", "Upscaling", "Worker"]

ATTEMPTS = 3
"""Of a picture, before it is given up."""

_WAIT_SECONDS = 1.0
"""Before the second attempt, where another may help; four times that before the third."""

_REPORT_SECONDS = 0.1
"""Rows of quick pictures are reported together, within this time."""

_MODELS = 4
"""Kept at once, where rows have options of their own."""

_STOP = -1

Row = dict[str, Any]


class Worker:
    """Takes units of a plan through a function, and reports to the ledger; an actor of Ray, or called.

    Args:
        output: Absolute path or URI of the results.
        run: Name of the run.
        ledger: Called with the name of a method of `Ledger` and its arguments; returns its result.
        unit_rows: Rows of a unit.
        rows: Of the plan.
        work: Makes what takes a row of the plan and returns an outcome, or raises `OutputError` where the
            output takes nothing more; called once, here.
    """

    def __init__(
        self,
        output: str,
        run: str,
        ledger: Callable[..., Any],
        *,
        unit_rows: int,
        rows: int,
        work: Callable[[], Callable[[Row], Row]],
    ) -> None:
        self._plan, self._ledger = plan_uri(output, run), ledger
        self._unit_rows, self._rows = unit_rows, rows
        try:
            self._work = work()
        except EscError as error:  # which Ray would try again, and tell as a traceback
            ledger("fail", f"{platform.node()}: {error}")
        self._group = lru_cache(2)(partial(_read_group, self._plan))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Does a batch of units, as Ray Data gives them.

        Args:
            batch: `item` to numbers of units.

        Returns:
            The same.
        """
        for unit in batch["item"]:
            self.do(int(unit))
        return batch

    def do(self, unit: int) -> None:
        """Upscales the rows of a unit that are not recorded yet."""
        opened = self._ledger("open", unit)
        if opened is None:
            return
        begun, deaths = opened
        start = unit * self._unit_rows
        stop = min(start + self._unit_rows, self._rows)
        outcomes: list[Row] = [{}] * begun
        recorded, reported = begun, time.monotonic()
        for row in self._rows_between(start + begun, stop):
            try:
                outcomes.append(_deadly(row) if deaths >= DEADLY else self._work(row))
            except OutputError as error:  # the output takes nothing more, of no picture
                self._report(unit, recorded, outcomes, begun)
                self._ledger("end_full", f"{platform.node()}: {error}")
                return
            deaths = min(deaths, 1)
            is_last = start + len(outcomes) == stop
            # After a death each row by itself, so that the next death is known to be of its row.
            if is_last or deaths or time.monotonic() - reported >= _REPORT_SECONDS:
                recorded = self._report(unit, recorded, outcomes, begun)
                reported = time.monotonic()
            if recorded == _STOP:
                return
            if recorded < begun:  # the ledger was lost, with what an earlier worker had reported
                self.do(unit)
                return
        self._ledger("close", unit)

    def _report(self, unit: int, recorded: int, outcomes: list[Row], begun: int) -> int:
        """Tells the ledger what it has not recorded; returns how many rows it then has, or `_STOP`."""
        while begun <= recorded < len(outcomes):
            told = self._ledger("record", unit, recorded, outcomes[recorded:])
            recorded = _STOP if told is None else int(told)
        return recorded

    def _rows_between(self, start: int, stop: int) -> Iterator[Row]:
        while start < stop:
            first = start - start % ROWS_PER_GROUP
            last = min(first + ROWS_PER_GROUP, stop)
            yield from self._group(first)[start - first : last - first]
            start = last


def _read_group(plan: str, first: int) -> list[Row]:
    """The group of rows that begins with a row."""
    from pyarrow import parquet

    filesystem, path = file_system(f"{plan}/{first // ROWS_PER_FILE:06d}.parquet")
    with filesystem.open(path, "rb") as file:
        group = parquet.ParquetFile(file).read_row_group(first % ROWS_PER_FILE // ROWS_PER_GROUP)
    rows: list[Row] = group.to_pylist()
    return rows


class Upscaling:
    """A row of a plan to its result and outcome, by models that are loaded once.

    Args:
        output: Absolute path or URI of the results.
        options: Of rows without their own.
        model_sha256: Of the model of those, as the plan has it.
        threads: Cores to use; None for all.

    Raises:
        ModelNotFoundError: This machine has another model of that name, or none.
    """

    def __init__(
        self, output: str, options: UpscaleOptions, *, model_sha256: str, threads: int | None = None
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
            pyvips.voperation.concurrency_set(threads)
        self._output, self._options = output, options
        self._setting = lru_cache(64)(partial(setting_of, options))
        self._upscaler = lru_cache(_MODELS)(_upscaler)
        self._tidy = cache(remove_stale_parts)
        self._checked("", model_sha256)  # what is wrong with it shows before any picture
        self._upscaler(options)

    def __call__(self, row: Row) -> Row:
        """Upscales a picture, in several attempts where need be; what goes wrong with it is in the outcome.

        Raises:
            OutputError: A disk is full or read-only (`is_full`, `NoRoomError`), which is no fault of the
                picture.
        """
        begin, error = time.perf_counter(), ""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                result = self._upscale(row)
            except Exception as raised:
                if is_full(raised) or isinstance(raised, NoRoomError):
                    raise
                error = _message_of(raised, row["path"])
                if attempt < ATTEMPTS and _may_pass(raised):
                    time.sleep(_WAIT_SECONDS * 4 ** (attempt - 1) * random.uniform(0.8, 1.2))
                continue
            return _outcome(row, "done", attempt=attempt, begin=begin, **result)
        return _outcome(row, "failed", attempt=ATTEMPTS, begin=begin, error=error)

    def _upscale(self, row: Row) -> Row:
        options = self._checked(row["options"], row["model_sha256"])
        upscaler, target = self._upscaler(options), f"{self._output}/{row['target']}"
        with fetched(row["path"]) as source:
            digest = sha256_of(source)
            check_sha256(row["path"], digest, row["sha256"])
            if is_local(target):
                self._tidy(Path(target).parent)
            with written(target, by_atomic_path=True) as path:
                upscaler.upscale_file(source, path, on_note=lambda _: None)
                made = sha256_of(path)
            return {"input_sha256": digest, "result_sha256": made, "pixels": _pixels_of(source)}

    def _checked(self, own: str, model_sha256: str) -> UpscaleOptions:
        setting = self._setting(own)
        if setting.model_sha256 != model_sha256:
            raise ModelNotFoundError(
                f"The model {setting.options.model} on {platform.node()} is not that of the plan; "
                "install the same version of escsr, and the same file, on all machines."
            )
        return setting.options


def _upscaler(options: UpscaleOptions) -> Upscaler:
    return Upscaler(options=options)


def _pixels_of(source: Path) -> int:
    header = images.read_header(source)
    return header.width * header.height * header.frames


def _outcome(row: Row, status: str, *, attempt: int, begin: float, **values: Any) -> Row:
    told = {name: row[name] for name in ("path", "target", "key", "settings_sha256", "model_sha256")}
    seconds = time.perf_counter() - begin
    where = {"host": platform.node(), "time": datetime.now(timezone.utc)}
    return {
        "pixels": 0,
        **told,
        "status": status,
        "attempt": attempt,
        "seconds": seconds,
        **where,
        **values,
    }


def _deadly(row: Row) -> Row:
    error = f"{row['path']}: the process that upscaled it was killed {DEADLY} times; it may lack memory."
    return _outcome(row, "failed", attempt=DEADLY, begin=time.perf_counter(), error=error)


def _may_pass(error: Exception) -> bool:
    """Whether waiting may help: with a network, a lack of memory or other bytes, not a broken picture."""
    is_lasting = isinstance(error, (EscError, FileNotFoundError))
    return isinstance(error, (DataError, DeviceError)) or not is_lasting


def _message_of(error: Exception, path: str) -> str:
    """One line that names the picture."""
    text = str(error) or type(error).__name__
    if not isinstance(error, (EscError, OSError)):
        text = f"{type(error).__name__}: {text}"
    named = text if path in text and not isinstance(error, ConfigError) else f"{path}: {text}"
    return named.splitlines()[0]
