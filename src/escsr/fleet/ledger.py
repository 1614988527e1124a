"""The one place that outcomes of a run go through: workers report to it, it alone writes them.

One writer makes few files of many rows, and each row once: a worker says at which row of its unit its
report begins, and what is recorded already is passed over. So a unit that is done again, because its worker
was killed or its machine vanished, begins where the last report ended.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field, replace
from typing import Any

from escsr.errors import DataError, OutputError
from escsr.files import is_full
from escsr.fleet.outcomes import claimed_by, read_recorded, write_outcomes

__all__ = ["DEADLY", "Figures", "Ledger"]

DEADLY = 3
"""Workers that may die at one picture before it is given up."""

_SECONDS = 5.0
_MOST_ROWS = 10_000
"""Outcomes that are held back at most, and for how long: what a kill of everything lets be done again."""

_ATTEMPTS = 12
"""To write them, `_SECONDS` apart, to a store that does not answer; more rows are held back meanwhile."""


@dataclass(frozen=True)
class Figures:
    """How far a run is.

    Attributes:
        done: Pictures upscaled.
        failed: Pictures given up.
        pixels: Of the inputs of those done.
        errors: Of the last few failures, each a line.
        superseded: Whether another run has begun on the same output.
        fault: Why workers cannot begin; "" if they can.
        full: Why the output takes nothing more; "" if it does.
    """

    done: int = 0
    failed: int = 0
    pixels: int = 0
    errors: tuple[str, ...] = ()
    superseded: bool = False
    fault: str = ""
    full: str = ""


@dataclass
class _Unit:
    recorded: int = 0
    is_open: bool = False
    deaths: dict[int, int] = field(default_factory=dict)


class Ledger:
    """Records outcomes of a run; an actor of Ray, or called directly.

    Args:
        output: Absolute path or URI of the results.
        run: Name of the run, which has claimed the output.
    """

    def __init__(self, output: str, run: str) -> None:
        self._output, self._run = output, run
        recorded = read_recorded(output, run)
        self._units = {number: _Unit(count) for number, count in recorded.units.items()}
        self._rows: dict[str, list[dict[str, Any]]] = {"done": [], "failed": []}
        self._unsaved: dict[int, int] = {}
        self._written, self._failures = time.monotonic(), 0
        self._figures = Figures(recorded.done, recorded.failed, recorded.pixels)
        self._stopped = False
        self._metrics = _metrics()

    def open(self, unit: int) -> tuple[int, int] | None:
        """A worker begins a unit.

        Returns:
            How many of its rows are recorded, and how many workers have died at the next one; None if the
            worker is to stop.
        """
        if self._is_over():
            return None
        known = self._units.setdefault(unit, _Unit())
        if known.is_open:
            known.deaths[known.recorded] = known.deaths.get(known.recorded, 0) + 1
        known.is_open = True
        return known.recorded, known.deaths.get(known.recorded, 0)

    def record(self, unit: int, start: int, outcomes: list[dict[str, Any]]) -> int | None:
        """A worker reports rows of its unit.

        Args:
            unit: Number of the unit.
            start: Number of the first row of the report in it.
            outcomes: With the names of columns, and `status`.

        Returns:
            How many of its rows are recorded, fewer than reported where earlier reports were lost; None if
            the worker is to stop.
        """
        known = self._units.setdefault(unit, _Unit())
        if known.recorded >= start:
            for outcome in outcomes[known.recorded - start :]:
                self._take(outcome)
                known.recorded += 1
            self._unsaved[unit] = known.recorded
        self._save_in_time()
        return None if self._is_over() else known.recorded

    def close(self, unit: int) -> None:
        """A worker is through with a unit, which a ledger that was restarted may not know."""
        self._units.setdefault(unit, _Unit()).is_open = False

    def fail(self, fault: str) -> None:
        """A worker cannot begin, nor could others: the run is over."""
        self._figures = replace(self._figures, fault=fault)

    def end_full(self, reason: str) -> None:
        """The output takes nothing more: workers end after the picture at hand, and the rest is left."""
        self._figures = replace(self._figures, full=self._figures.full or reason)

    def figures(self, stop: bool = False) -> Figures:
        """How far the run is.

        Args:
            stop: Let workers end after the picture at hand.
        """
        self._stopped |= stop
        self._save_in_time()
        return self._figures

    def save(self) -> Figures:
        """Writes what is held back, unless another run has claimed the output, or it takes nothing more."""
        if not self._figures.superseded and claimed_by(self._output) != self._run:
            self._figures = replace(self._figures, superseded=True)
        self._written, number = time.monotonic(), time.time_ns()
        try:
            for status, rows in self._rows.items():
                if rows and not self._figures.superseded:
                    write_outcomes(self._output, f"{self._run}-{number}", status, rows, self._unsaved)
                rows.clear()
        except OutputError as error:
            if not is_full(error):
                raise
            self.end_full(str(error))
        else:
            self._unsaved.clear()
        return self._figures

    def end(self) -> Figures:
        """Writes what is left when the work is over; a store that does not answer is asked again."""
        while not self._try_to_save():
            time.sleep(_SECONDS)
        return self._figures

    def _is_over(self) -> bool:
        figures = self._figures
        return self._stopped or figures.superseded or bool(figures.fault or figures.full)

    def _save_in_time(self) -> None:
        waiting = sum(map(len, self._rows.values()))
        is_time = time.monotonic() - self._written >= _SECONDS
        if waiting and (is_time or (waiting >= _MOST_ROWS and not self._failures)):
            self._try_to_save()

    def _try_to_save(self) -> bool:
        """Whether the store took it; what it did not take is kept for the next attempt.

        Raises:
            OSError, DataError: The last attempt failed too.
        """
        try:
            self.save()
        except (OSError, DataError):
            self._failures += 1
            if self._failures >= _ATTEMPTS:
                raise
            return False
        self._failures = 0
        return True

    def _take(self, outcome: dict[str, Any]) -> None:
        status = outcome.pop("status")
        self._rows[status].append(outcome)
        figures = self._figures
        if status == "done":
            pixels = figures.pixels + outcome["pixels"]
            self._figures = replace(figures, done=figures.done + 1, pixels=pixels)
        else:
            errors = (*figures.errors, outcome["error"])[-_MOST_ERRORS:]
            self._figures = replace(figures, failed=figures.failed + 1, errors=errors)
        if self._metrics:
            pictures, pixels_read = self._metrics
            pictures.inc(1, tags={"status": status})
            if outcome["pixels"]:
                pixels_read.inc(outcome["pixels"])


_MOST_ERRORS = 5


def _metrics() -> tuple[Any, Any] | None:
    """Counters that Ray exports to Prometheus, where this is an actor of it."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    from ray.util.metrics import Counter

    pictures = Counter("escsr_fleet_pictures", "Pictures that have ended, by status.", tag_keys=("status",))
    return pictures, Counter("escsr_fleet_pixels", "Pixels of pictures that were upscaled.")
