"""What `escsr upscale` prints: lines for people, or JSON lines for programs (docs/command-line.md)."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from escsr.cli.console import ERR, OUT, ExitCode, plain, print_json
from escsr.errors import DeviceError
from escsr.files import is_full, with_names
from escsr.models.selection import DEFAULT_MODEL
from escsr.runtime.extras import install_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from escsr.batch import Batch, Forecast, Job, Outcome
    from escsr.upscaling.options import UpscaleOptions
    from escsr.video import VideoPlan

__all__ = ["JsonReport", "Report", "duration_text", "write_line"]


class Report:
    """Counts what became of the pictures and prints it as it comes; errors and the sums on standard error.

    Args:
        quiet: Only errors, and what is planned.
        verbose: Model and device too.
        to_stderr: Everything to standard error, because the picture goes to standard output.

    Attributes:
        stopped: Whether the run was interrupted.
        left: How many of those that were skipped no earlier run is known to have made.
        full: The folder that takes nothing more, which ended the run; "" for none.
        names: What to call some files, see `with_names`.
    """

    def __init__(self, *, quiet: bool, verbose: bool, to_stderr: bool) -> None:
        self.quiet, self.verbose = quiet, verbose
        self.out = ERR if to_stderr else OUT
        self.names: Mapping[str, str] = {}
        self.counts: Counter[str] = Counter()
        self.left, self.full = 0, ""
        self.failures: list[str] = []
        self.start, self.seconds = time.perf_counter(), 0.0
        self.stopped = self.short_of_memory = self.can_continue = False
        self.jobs: list[Job] = []
        self.notes: list[str] = []

    def begin(self, batch: Batch, *, can_continue: bool = False) -> None:
        """Reports the model, why it is taken, and the device; notes for the end what is skipped.

        Args:
            batch: What is to be done.
            can_continue: Whether the same command would go on where an interrupted one stopped.
        """
        self.jobs, self.can_continue = batch.jobs, can_continue
        if batch.other_files:
            self.notes += _skipped_files(batch)
        self._report_begin(batch)

    def _report_begin(self, batch: Batch) -> None:
        if batch.size.scale == 1 and not self.quiet and batch.options.model == DEFAULT_MODEL:
            ERR.print(_SAME_SIZE)
        count = "1 picture" if len(batch.jobs) == 1 else f"{len(batch.jobs)} pictures"
        label = batch.size.label.replace("_", ", ")
        self._report_model(f"{count} to {label}", batch.options, batch.device, batch.size.scale)

    def begin_video(self, plan: VideoPlan) -> None:
        """Reports the model of a video, why it is taken, and the device.

        Args:
            plan: What is to be done.
        """
        what = f"{self.named(plan.video.path)} to {_size(plan.size)}"
        scale = plan.wanted.scale_of(plan.video.height, plan.video.width)
        self._report_model(what, plan.upscaler.options, plan.upscaler.device, scale)

    def _report_model(
        self, what: str, options: UpscaleOptions, device: object, scale: float | None
    ) -> None:
        if not self.verbose:
            return
        from escsr.models.selection import explain

        backend = "" if options.backend == "torch" else f" by {options.backend}"
        where = f"{device}{backend}, precision {options.precision}"
        self.out.print(plain(f"Upscaling {what} on {where}"))
        self.out.print(plain(f"Model: {explain(options.model, scale, options.strength)}"))

    def add(self, result: Outcome | Forecast) -> None:
        """Reports what became of a picture, or what would."""
        self.counts[result.status] += 1
        self.left += result.status == "skipped" and bool(getattr(result, "notes", ()))
        self.short_of_memory |= isinstance(result.error, DeviceError)
        if is_full(result.error) and len(self.jobs) > 1:
            self.full = str(result.job.target.parent)
        self._report(result)

    def end(self) -> ExitCode:
        """Reports the sums; returns the command's exit status."""
        if self.left:
            files = "1 file was" if self.left == 1 else f"{self.left:,} files were"
            are, it = ("is", "it is") if self.left == 1 else ("are", "they are")
            self.notes.append(
                f"{files} there already and {are} not of an earlier run with --skip-existing: left as {it}."
            )
        self._report_end(time.perf_counter() - self.start)
        if self.stopped:
            return ExitCode.INTERRUPTED
        if self.short_of_memory and not self.counts["done"] + self.counts["planned"]:
            return ExitCode.NO_DEVICE
        return ExitCode.FAILED if self.counts["failed"] else ExitCode.DONE

    def _report(self, result: Outcome | Forecast) -> None:
        self.seconds += result.seconds
        if result.error is not None:
            self.failures.append(self.named(result.error))
            ERR.print(f"[red]Error:[/] {plain(self.failures[-1])}")
        elif result.status == "planned" or not self.quiet:
            self.out.print(plain(self.named(_line(result))))
            if hint := getattr(result, "hint", ""):  # which no forecast has
                ERR.print(plain(f"{result.job.source.name}: {hint}"))

    def named(self, text: object) -> str:
        """Text in which files are called by `names`."""
        return with_names(text, self.names)

    def _report_end(self, seconds: float) -> None:
        counts = self.counts
        if (self.stopped or self.full) and self.jobs:
            self._report_interrupt()
        elif self.quiet:
            return
        elif sum(counts.values()) >= 2:
            self._report_sums(seconds)
        if len(self.failures) > 1 and counts["done"] + counts["skipped"]:
            ERR.print(plain("\n  ".join(["Failed:", *self.failures])))
        for note in self.notes:
            ERR.print(plain(note))

    def _report_interrupt(self) -> None:
        done = self.counts["done"]
        folders = {str(job.target.parent) for job in self.jobs}
        where = f", in {folders.pop()}" if done and len(folders) == 1 and len(self.jobs) > 1 else ""
        before = self.counts["skipped"] - self.left
        skipped = f", {before} done before" if before else ""
        failed = f", {self.counts['failed']} failed" if self.counts["failed"] else ""
        ended = f"Stopped, since {self.full} takes nothing more" if self.full else "Interrupted"
        ERR.print(plain(f"{ended}: {done} of {len(self.jobs)} upscaled{where}{skipped}{failed}."))
        if len(self.jobs) > 1:
            ERR.print(self._way_on)

    @property
    def _way_on(self) -> str:
        command = "The same command" if self.can_continue else "The same command with --skip-existing"
        return f"{command} continues with the rest."

    def _report_sums(self, seconds: float) -> None:
        counts = self.counts
        told = {**counts, "skipped": counts["skipped"] - self.left}
        parts = [f"{told[kind]} {word}" for kind, word in _WORDS.items() if told.get(kind)]
        parts += [f"{self.left} left as they were"] if self.left else []
        spent = f"about {duration_text(self.seconds)}" if counts["planned"] else duration_text(seconds)
        ERR.print(f"{', '.join(parts)}; {spent}{'; stopped before the rest' if self.stopped else ''}.")


class JsonReport(Report):
    """The same as one JSON object a line on standard output."""

    def _report_begin(self, batch: Batch) -> None:
        """Programs are told results and the end."""

    def begin_video(self, plan: VideoPlan) -> None:
        """As of pictures, programs are told nothing."""

    def _report(self, result: Outcome | Forecast) -> None:
        values: dict[str, Any] = {
            name: None if value in ("", 0) else value for name, value in vars(result).items()
        }
        del values["job"]
        values["seconds"] = round(result.seconds, 3)
        if hint := values.pop("hint", None):
            values["notes"] = (*values["notes"], hint)
        if "out_size" in values:  # of a forecast
            del values["skipped"]  # it is told as in a run
            values |= {"source_size": values["size"], "size": values.pop("out_size")}
            values["seconds"] = values["seconds"] or None
        event = "result" if "status" in values else "plan"
        job = {"source": self.named(result.job.source), "target": self.named(result.job.target)}
        if result.error is not None:
            values["error"] = self.named(result.error)
        write_line({"event": event, **job, **values})

    def _report_end(self, seconds: float) -> None:
        sums = {kind: self.counts[kind] for kind in _WORDS}
        full = [f"Stopped, since {self.full} takes nothing more. {self._way_on}"] if self.full else []
        notes = [*self.notes, *full]
        ended = {"interrupted": self.stopped, "seconds": round(seconds, 3), "notes": notes}
        write_line({"event": "end", **sums, **ended})


_WORDS = {"done": "upscaled", "planned": "to upscale", "skipped": "done before", "failed": "failed"}


def _line(result: Outcome | Forecast) -> str:
    from escsr.batch import Forecast

    target = result.job.target
    if isinstance(result, Forecast):
        sizes = f"{_size(result.size)} → {target}  {_size(result.out_size)}"
        cost = f"{result.memory_bytes / 2**30:.1f} GiB, about {duration_text(result.seconds)}"
        where = f"{result.model} on {result.device}, tiles of {result.tile_size}"
        return f"{result.job.source}  {sizes}  {where}, {cost}{_of_video(result)}"
    if result.status == "skipped":
        return f"{target}  skipped, {' '.join(result.notes) or 'done before'}"
    line = f"{target}  {_size(result.size)}  {result.model}  {result.seconds:.1f} s"
    return "\n  ".join([line, *result.notes])


def _skipped_files(batch: Batch) -> list[str]:
    """Skipped 5 files that are not pictures: 3 .txt, 2 .mp4."""
    from escsr.batch.jobs import hint_at_videos  # libvips, which help and lists do without
    from escsr.images.folders import LINKS, UNREAD
    from escsr.images.formats import FORMAT_OF

    kinds, notes = Counter(batch.other_files), list[str]()
    links = kinds.pop(LINKS, 0)
    unread = Counter({kind: kinds.pop(kind) for kind in [*kinds] if kind in (*UNREAD, *FORMAT_OF)})
    if kinds:
        what = "file that is not a picture", "files that are not pictures"
        notes.append(" ".join([_skipped(kinds, *what), *hint_at_videos(batch.folders)]))
    if unread:
        raw = f" To read camera raw: {install_line('raw')}" if set(unread) & set(FORMAT_OF) else ""
        what = "picture of a kind that is not read here", "pictures of kinds that are not read here"
        notes.append(_skipped(unread, *what) + raw)
    if links:
        linked = "1 link to a folder" if links == 1 else f"{links:,} links to folders"
        notes.append(f"Skipped {linked}; give the folder itself to upscale what is there.")
    return notes


def _skipped(kinds: Counter[str], one: str, many: str) -> str:
    total = sum(kinds.values())
    named = [f"{count:,} {kind}" for kind, count in kinds.most_common(_MOST_KINDS)]
    rest = total - sum(count for _, count in kinds.most_common(_MOST_KINDS))
    listed = ", ".join([*named, *([f"{rest:,} others"] if rest else [])])
    return f"Skipped {f'1 {one}' if total == 1 else f'{total:,} {many}'}: {listed}."


_MOST_KINDS = 6


_SAME_SIZE = (
    "Scale 1 keeps the size: the picture is upscaled ×2 and made smaller again, which changes little. To "
    "remove noise and JPEG blocks, use --model real."
)


def _of_video(result: Forecast) -> str:
    from escsr.video.forecast import VideoForecast

    if not isinstance(result, VideoForecast):
        return ""
    disk = f"about {result.disk_bytes / 2**30:.2f} GiB of disk ({result.free_bytes / 2**30:.0f} free)"
    return "\n  ".join([f", {result.frames} frames to {result.codec}, {disk}", *result.notes])


def write_line(line: dict[str, Any]) -> None:
    """Prints one object of JSON as a line."""
    print_json(line, indent=None)


def _size(size: tuple[int, int] | None) -> str:
    return "×".join(map(str, size or ()))


def duration_text(seconds: float) -> str:
    """3.4 s, 2 min 05 s, 1 h 12 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
