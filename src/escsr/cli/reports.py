"""What `escsr upscale` prints: lines for people, or JSON lines for programs (docs/command-line.md)."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from escsr.cli.console import ERR, OUT, ExitCode, plain, without_controls
from escsr.errors import DeviceError, OutputError

if TYPE_CHECKING:
    from pathlib import Path

    from escsr.batch import Batch, Forecast, Outcome

__all__ = ["JsonReport", "Report", "duration_text", "write_line"]


class Report:
    """Counts what became of the pictures and prints it as it comes; errors and the sums on standard error.

    Args:
        quiet: Only errors, and what is planned.
        verbose: Notes too.
        to_stderr: Everything to standard error, because the picture goes to standard output.

    Attributes:
        stopped: Whether the run was interrupted.
    """

    def __init__(self, *, quiet: bool, verbose: bool, to_stderr: bool) -> None:
        self.quiet, self.verbose = quiet, verbose
        self.out, self.is_piped = (ERR, True) if to_stderr else (OUT, False)
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.start, self.seconds = time.perf_counter(), 0.0
        self.stopped = self.short_of_memory = False

    def begin(self, batch: Batch) -> None:
        """Reports the model, why it is taken, and the device."""
        if self.verbose:
            from escsr.models.selection import explain

            count = "1 picture" if len(batch.jobs) == 1 else f"{len(batch.jobs)} pictures"
            where = f"{batch.device}, precision {batch.options.precision}"
            self.out.print(f"Upscaling {count} to {batch.size.label} on {where}")
            self.out.print(plain(f"Model {explain(batch.options.model, batch.size.scale)}"))

    def add(self, result: Outcome | Forecast) -> None:
        """Reports what became of a picture, or what would."""
        self.counts[result.status] += 1
        self.short_of_memory |= isinstance(result.error, DeviceError)
        self._report(result)

    def end(self) -> ExitCode:
        """Reports the sums; returns the command's exit status."""
        self._report_end(time.perf_counter() - self.start)
        if self.stopped:
            return ExitCode.INTERRUPTED
        if self.short_of_memory and not self.counts["done"] + self.counts["planned"]:
            return ExitCode.NO_DEVICE
        return ExitCode.FAILED if self.counts["failed"] else ExitCode.DONE

    def _report(self, result: Outcome | Forecast) -> None:
        self.seconds += result.seconds
        if result.error is not None:
            self.failures.append(str(result.error))
            ERR.print(f"[red]Error:[/] {plain(result.error)}")
        elif result.status == "planned" or not self.quiet:
            self.out.print(plain(_line(result, "standard output" if self.is_piped else result.job.target)))
            if hint := getattr(result, "hint", ""):  # which no forecast has
                ERR.print(plain(f"{result.job.source.name}: {hint}"))

    def _report_end(self, seconds: float) -> None:
        counts = self.counts
        if self.quiet or sum(counts.values()) < 2:
            return
        parts = [f"{counts[kind]} {word}" for kind, word in _WORDS.items() if counts[kind]]
        spent = f"about {duration_text(self.seconds)}" if counts["planned"] else duration_text(seconds)
        ERR.print(f"{', '.join(parts)}; {spent}{'; stopped before the rest' if self.stopped else ''}.")
        if len(self.failures) > 1 and counts["done"] + counts["skipped"]:
            ERR.print(plain("\n  ".join(["Failed:", *self.failures])))


class JsonReport(Report):
    """The same as one JSON object a line on standard output."""

    def begin(self, batch: Batch) -> None:
        """Reports nothing."""

    def _report(self, result: Outcome | Forecast) -> None:
        values: dict[str, Any] = {
            name: None if value in ("", 0) else value for name, value in vars(result).items()
        }
        del values["job"]
        values["seconds"] = round(result.seconds, 3)
        if hint := values.pop("hint", None):
            values["notes"] = (*values["notes"], hint)
        if "out_size" in values:  # of a forecast
            values |= {"source_size": values["size"], "size": values.pop("out_size")}
            values["seconds"] = values["seconds"] or None
        event = "result" if "status" in values else "plan"
        write_line({"event": event, "source": result.job.source, "target": result.job.target, **values})

    def _report_end(self, seconds: float) -> None:
        sums = {kind: self.counts[kind] for kind in _WORDS}
        write_line({"event": "end", **sums, "interrupted": self.stopped, "seconds": round(seconds, 3)})


_WORDS = {"done": "upscaled", "planned": "to upscale", "skipped": "done already", "failed": "failed"}


def _line(result: Outcome | Forecast, target: str | Path) -> str:
    from escsr.batch import Forecast

    if isinstance(result, Forecast):
        sizes = f"{_size(result.size)} → {target}  {_size(result.out_size)}"
        cost = f"{result.memory_bytes / 2**30:.1f} GiB, about {duration_text(result.seconds)}"
        where = f"{result.model} on {result.device}, tiles of {result.tile_size}"
        return f"{result.job.source}  {sizes}  {where}, {cost}{_of_video(result)}"
    if result.status == "skipped":
        return f"{target}  is done already"
    line = f"{target}  {_size(result.size)}  {result.model}  {result.seconds:.1f} s"
    return "\n  ".join([line, *result.notes])


def _of_video(result: Forecast) -> str:
    from escsr.video.forecast import VideoForecast

    if not isinstance(result, VideoForecast):
        return ""
    disk = f"about {result.disk_bytes / 2**30:.2f} GiB of disk ({result.free_bytes / 2**30:.0f} free)"
    return "\n  ".join([f", {result.frames} frames to {result.codec}, {disk}", *result.notes])


def write_line(line: dict[str, Any]) -> None:
    """Prints one object of JSON as a line."""
    if sys.stdout is None:  # closed
        raise OutputError("Standard output is closed, where --json goes.")
    print(without_controls(json.dumps(line, ensure_ascii=False, default=str)), flush=True)


def _size(size: tuple[int, int] | None) -> str:
    return "×".join(map(str, size or ()))


def duration_text(seconds: float) -> str:
    """3.4 s, 2 min 05 s, 1 h 12 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
