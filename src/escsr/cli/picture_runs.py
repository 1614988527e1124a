"""Pictures at work: the bar, and what Ctrl-C ends when."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from escsr.cli.console import ERR, progress
from escsr.cli.interrupts import finish_on_interrupt
from escsr.cli.reports import Report
from escsr.cli.video import refuse_unused
from escsr.errors import ConfigError

if TYPE_CHECKING:
    from escsr.batch import Batch, Outcome, Progress
    from escsr.upscaling.options import UpscaleOptions

__all__ = ["upscale_pictures"]


def upscale_pictures(
    inputs: Sequence[str],
    output: str | None,
    report: Report,
    *,
    options: UpscaleOptions,
    format: str | None,
    suffix: str | None,
    shard: str | None,
    dry_run: bool,
    skip_existing: bool,
    fail_fast: bool,
    debug: bool,
    quiet: bool,
) -> None:
    """Upscales pictures, or says what would be done.

    Args:
        inputs: See `Batch`; `-` is standard input.
        output: See `Batch`; `-` is standard output.
        report: Takes what becomes of them.
        options: How they are upscaled.
        format: See `Batch`.
        suffix: See `Batch`.
        shard: See `Batch`.
        dry_run: Only say what would be done.
        skip_existing: See `Batch.run`.
        fail_fast: See `Batch.run`.
        debug: See `Batch.run`.
        quiet: No progress bar.

    Raises:
        EscError: As `Batch`; or an option would have no effect.
    """
    from escsr.batch import Batch, forecast
    from escsr.batch.pipes import PIPE, piped
    from escsr.images import takes_quality

    to_stdout = PIPE in ([output] if output else inputs)
    if suffix is not None and to_stdout:
        raise ConfigError("--suffix is for names that are made; standard output has none.")
    refuse_unused("standard output", skip_existing=skip_existing and to_stdout)
    with piped(inputs, output, format) as (sources, target, report.names):
        batch = Batch(sources, target, format=format, suffix=suffix, shard=shard, options=options)
        chosen = [job.target for job in batch.jobs if format or job.target == Path(target or "")]
        without = [path.suffix for path in chosen[:1] if not takes_quality(path)]
        refuse_unused(f"{''.join(without)} files", quality=bool(options.quality and without))
        report.begin(batch, can_continue=skip_existing)
        if dry_run:
            for planned in forecast(batch, skip_existing=skip_existing):
                report.add(planned.skipped or planned)
        else:
            _run(batch, report, quiet=quiet, skip_existing=skip_existing, fail_fast=fail_fast, debug=debug)


def _run(batch: Batch, report: Report, *, quiet: bool, **how: bool) -> None:
    """Upscales under a bar, with Ctrl-C in two steps."""
    stop = threading.Event()
    ended: list[Outcome] = []

    def add_rest() -> None:
        """Those that were still being written when the run was cut short."""
        for outcome in ended[sum(report.counts.values()) :]:
            report.add(outcome)

    with progress("", quiet) as bar, finish_on_interrupt(stop, lambda: ERR.print(_FINISHING)):

        def show(at: Progress) -> None:
            count = f"  {at.number} of {at.jobs}" if at.jobs > 1 else ""
            bar(at.overall, 1.0, at.job.source.name + count)

        try:
            with closing(batch.run(stop=stop, on_progress=show, on_end=ended.append, **how)) as run:
                for outcome in run:
                    report.add(outcome)
        except KeyboardInterrupt:
            stop.set()
            add_rest()
        except SystemExit:  # of a signal that ends the process, see `end_on_signals`
            report.stopped = True
            add_rest()
            report.end()
            raise
    report.stopped = stop.is_set()


_FINISHING = "Finishing the current picture; press Ctrl-C again to stop at once."
