"""What `escsr upscale` prints: lines for people, or JSON lines for programs (docs/command-line.md)."""

from __future__ import annotations

import json
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from typing import TYPE_CHECKING, Any

from escsr.cli.console import ERR, OUT, ExitCode, plain, without_controls
from escsr.errors import DeviceError, OutputError

if TYPE_CHECKING:
    from escsr.batch import Batch, Forecast, Outcome

__all__ = ["JsonReport", "Report", "TextReport"]


class Report(ABC):
    """Counts what became of the pictures and reports it as it comes.

    Attributes:
        stopped: Whether the run was interrupted.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.start = time.perf_counter()
        self.stopped = self.short_of_memory = False

    def begin(self, batch: Batch) -> None:  # noqa: B027
        """Reports what is about to be done."""

    def outcome(self, outcome: Outcome) -> None:
        """Reports one result."""
        self.counts[outcome.status] += 1
        self.short_of_memory |= isinstance(outcome.error, DeviceError)
        self._report_outcome(outcome)

    def forecast(self, forecast: Forecast) -> None:
        """Reports what would be done with one picture."""
        self.counts["planned" if forecast.error is None else "failed"] += 1
        self._report_forecast(forecast)

    def end(self) -> ExitCode:
        """Reports the sums; returns the command's exit status."""
        self._report_end(time.perf_counter() - self.start)
        if self.stopped:
            return ExitCode.INTERRUPTED
        if self.short_of_memory and not self.counts["done"]:
            return ExitCode.NO_DEVICE
        return ExitCode.FAILED if self.counts["failed"] else ExitCode.DONE

    @abstractmethod
    def _report_outcome(self, outcome: Outcome) -> None: ...

    @abstractmethod
    def _report_forecast(self, forecast: Forecast) -> None: ...

    @abstractmethod
    def _report_end(self, seconds: float) -> None: ...


class TextReport(Report):
    """Results on standard output, errors and the summary on standard error.

    Args:
        quiet: Only errors.
        verbose: Notes too.
        to_stderr: Everything to standard error, because the picture goes to standard output.
    """

    def __init__(self, *, quiet: bool, verbose: bool, to_stderr: bool) -> None:
        super().__init__()
        self.quiet, self.verbose = quiet, verbose
        self.out, self.is_piped = (ERR, True) if to_stderr else (OUT, False)
        self.failures: list[str] = []
        self.seconds = 0.0

    def begin(self, batch: Batch) -> None:
        """Reports the model, why it is taken, and the device."""
        if not self.verbose:
            return
        count = "1 picture" if len(batch.jobs) == 1 else f"{len(batch.jobs)} pictures"
        self.out.print(
            f"Upscaling {count} to {batch.size.label} on {batch.models.device}, "
            f"precision {batch.options.precision}"
        )
        self.out.print(plain(f"Model {batch.models.explain(batch.size.scale)}"))

    def _report_outcome(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self.failures.append(str(outcome.error))
            ERR.print(f"[red]Error:[/] {plain(str(outcome.error))}")
            return
        if self.quiet:
            return
        if outcome.status == "skipped":
            self.out.print(plain(f"{outcome.job.target}  is done already"))
            return
        target = "standard output" if self.is_piped else outcome.job.target
        line = f"{target}  {_size(outcome.size)}  {outcome.model}  {outcome.seconds:.1f} s"
        self.out.print(plain(line))
        for note in outcome.notes:
            self.out.print(plain(f"  {note}"))

    def _report_forecast(self, forecast: Forecast) -> None:
        if forecast.error is not None:
            ERR.print(f"[red]Error:[/] {plain(str(forecast.error))}")
            return
        self.seconds += forecast.seconds
        target = "standard output" if self.is_piped else forecast.job.target
        self.out.print(
            plain(
                f"{forecast.job.source}  {_size(forecast.size)} → {target}  "
                f"{_size(forecast.out_size)}  {forecast.model} on {forecast.device}, "
                f"tiles of {forecast.tile_size}, {forecast.memory_bytes / 2**30:.1f} GiB, "
                f"about {_time(forecast.seconds)}"
            )
        )

    def _report_end(self, seconds: float) -> None:
        counts = self.counts
        if self.quiet or sum(counts.values()) < 2:
            return
        parts = [f"{counts[kind]} {word}" for kind, word in _WORDS.items() if counts[kind]]
        spent = f"about {_time(self.seconds)}" if counts["planned"] else _time(seconds)
        ERR.print(f"{', '.join(parts)}; {spent}{'; stopped before the rest' if self.stopped else ''}.")
        if len(self.failures) > 1 and counts["done"] + counts["skipped"]:
            ERR.print("Failed:")
            for failure in self.failures:
                ERR.print(plain(f"  {failure}"))


class JsonReport(Report):
    """One JSON object a line on standard output."""

    def _report_outcome(self, outcome: Outcome) -> None:
        _write(
            {
                "event": "result",
                "status": outcome.status,
                "source": str(outcome.job.source),
                "target": str(outcome.job.target),
                "size": outcome.size,
                "model": outcome.model or None,
                "seconds": round(outcome.seconds, 3),
                "notes": outcome.notes,
                "error": None if outcome.error is None else str(outcome.error),
            }
        )

    def _report_forecast(self, forecast: Forecast) -> None:
        _write(
            {
                "event": "plan",
                "source": str(forecast.job.source),
                "target": str(forecast.job.target),
                "source_size": forecast.size,
                "size": forecast.out_size,
                "model": forecast.model or None,
                "device": forecast.device or None,
                "tile_size": forecast.tile_size or None,
                "memory_bytes": forecast.memory_bytes or None,
                "seconds": round(forecast.seconds, 3) or None,
                "error": None if forecast.error is None else str(forecast.error),
            }
        )

    def _report_end(self, seconds: float) -> None:
        sums = {kind: self.counts[kind] for kind in _WORDS}
        _write({"event": "end", **sums, "interrupted": self.stopped, "seconds": round(seconds, 3)})


_WORDS = {"done": "upscaled", "planned": "to upscale", "skipped": "done already", "failed": "failed"}


def _write(line: dict[str, Any]) -> None:
    if sys.stdout is None:  # closed
        raise OutputError("Standard output is closed, where --json goes.")
    sys.stdout.write(without_controls(json.dumps(line, ensure_ascii=False)) + "\n")
    sys.stdout.flush()


def _size(size: tuple[int, int] | None) -> str:
    return "×".join(map(str, size or ()))


def _time(seconds: float) -> str:
    """3.4 s, 2 min 05 s, 1 h 12 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
