"""A training as it is seen on a terminal: speed, loss, figures of the validation sets."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from escsr.cli.charts import sparkline
from escsr.cli.console import ERR, OUT, plain, unless_closed

if TYPE_CHECKING:
    from escsr.training.trainer import Progress as Step

__all__ = ["TrainingView"]

_POINTS = 48


class TrainingView:
    """Shows a running training on stderr where that is a terminal, and a line a checkpoint on stdout.

    Where these are closed, the training goes on unseen.

    Args:
        quiet: Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.is_finished = False
        self._quiet = quiet
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn()
        )
        self._task = self._bar.add_task("Reading pictures", total=None)
        self._live = Live(self._bar, console=ERR, transient=True, refresh_per_second=2)
        self._shows = ERR.is_terminal and not quiet
        self._losses: deque[float] = deque(maxlen=_POINTS)
        self._mean = 0.0
        self._validated: dict[str, list[float]] = {}

    def __enter__(self) -> TrainingView:
        if self._shows:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._shows:
            with unless_closed():
                self._live.stop()

    def loading(self, done: int, total: int) -> None:
        """Pictures are being read."""
        self._bar.update(self._task, completed=done, total=total)

    def step(self, progress: Step) -> None:
        """A step is done."""
        self.is_finished = progress.iteration == progress.iterations
        with unless_closed():
            self._show(progress)

    def _show(self, progress: Step) -> None:
        done, total = progress.iteration, progress.iterations
        if not progress.skipped:
            self._mean = 0.95 * self._mean + 0.05 * progress.loss if self._mean else progress.loss
        elif not self._quiet:
            OUT.print(f"Step {done} skipped: its numbers were not finite.")
        if done % max(1, total // (20 * _POINTS)) == 0:
            self._losses.append(self._mean)
        for name, value in progress.validation.items():
            self._validated.setdefault(name, []).append(value)
        if progress.checkpoint and not self._quiet:
            OUT.print(plain(_line(progress)))
        if self._shows:
            self._bar.update(self._task, description="Training", completed=done, total=total)
            self._live.update(Group(self._bar, self._figures(progress)))

    def _figures(self, progress: Step) -> Table:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_row("loss", f"{self._mean:.5f}  {sparkline(self._losses)}")
        table.add_row("learning rate", f"{progress.learning_rate:.3g}")
        table.add_row(
            "speed",
            f"{progress.iterations_per_second:.2f} it/s, {progress.data_share:.1%} waiting for data",
        )
        table.add_row("left", str(timedelta(seconds=round(_seconds_left(progress)))))
        for name, values in self._validated.items():
            table.add_row(plain(name), f"{values[-1]:.3f} dB, best {max(values):.3f}")
        return table


def _seconds_left(progress: Step) -> float:
    return (progress.iterations - progress.iteration) / progress.iterations_per_second


def _line(progress: Step) -> str:
    figures = "".join(f"  {name} {value:.2f} dB" for name, value in progress.validation.items())
    return (
        f"{progress.iteration}/{progress.iterations}  loss {progress.loss:.4f}  "
        f"{progress.iterations_per_second:.2f} it/s  {_seconds_left(progress) / 60:.0f} min left{figures}"
    )
