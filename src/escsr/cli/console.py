"""What the commands share: the console, its progress bar, options and exit codes."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from escsr.errors import OutputError
from escsr.files import only_finite
from escsr.runtime.choices import Precision

__all__ = [
    "ERR",
    "OUT",
    "DeviceOption",
    "ExitCode",
    "PrecisionOption",
    "ScaleOption",
    "drop_output",
    "own_memory",
    "plain",
    "prepare_streams",
    "print_json",
    "print_table",
    "progress",
    "scale_of",
    "unless_closed",
    "without_controls",
]


class _Console(Console):
    """A console whose closed pipe is given up alone; rich's gives up standard output, whichever it is."""

    def on_broken_pipe(self) -> None:
        _give_up(self.file.fileno())
        raise SystemExit(1)


OUT = _Console(highlight=False, soft_wrap=True)
ERR = _Console(stderr=True, highlight=False, soft_wrap=True)

DeviceOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Where to compute: auto, cpu, cuda (NVIDIA or AMD GPU), cuda:1, xpu or mps.",
        rich_help_panel="Computation",
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        metavar="NAME",
        rich_help_panel="Computation",
        help="Numbers to compute with: float32, tf32, bfloat16 or float16. auto takes float16 on GPUs "
        "where it is fast, else float32.",
    ),
]


def scale_of(text: Any) -> float:
    """A scale as people type it: 2, 2.7, 4x, x4."""
    match = re.fullmatch(r"\s*[x×]?\s*(\d+(?:\.\d*)?|\.\d+|-\d.*)\s*[x×]?\s*", str(text), re.IGNORECASE)
    try:
        return float(match[1] if match else "")
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a valid number; give one like 2, 2.7 or 4x.") from None


ScaleOption = Annotated[
    float | None,
    typer.Option(
        "--scale",
        "-s",
        parser=scale_of,
        metavar="X",
        help="Factor of both sides, like 2 or 4x. If not given: that of the model.",
    ),
]


class ExitCode(IntEnum):
    """What the command's exit status means."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_PICTURES = 3
    NO_MODEL = 4
    NO_DEVICE = 5
    INTERRUPTED = 130


def prepare_streams() -> None:
    """Shows characters that the output's encoding lacks as escapes, where they would end the command.

    File names may hold anything, and outputs of pipes on Windows a few hundred characters only. Streams
    that are closed get their numbers taken, else a picture could get them and be mixed with messages.
    """
    for number in range(3):
        with suppress(OSError):
            os.fstat(number)
            continue
        os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def drop_output() -> None:
    """Gives up what standard output could not take, which Python would try to write again at its end."""
    if sys.stdout is not None:
        _give_up(sys.stdout.fileno())


@contextmanager
def unless_closed() -> Iterator[None]:
    """Goes on where what is printed inside has nowhere to go, as in a terminal that was closed.

    The stream that fails gets nothing more, as Python would try again at its end, and fail.
    """
    try:
        yield
    except (OSError, SystemExit):  # rich ends the process where a pipe is closed
        _drop_if_closed(OUT, 1)
        _drop_if_closed(ERR, 2)


def _drop_if_closed(console: Console, number: int) -> None:
    try:
        console.file.flush()
    except OSError:
        _give_up(number)


def _give_up(number: int) -> None:
    """Lets what a stream has left, and gets, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def own_memory() -> None:
    """Lets this process keep its memory; see `escsr.runtime.allocator`."""
    from escsr.runtime.allocator import keep_freed_memory

    keep_freed_memory()


@contextmanager
def progress(text: str, quiet: bool) -> Iterator[Callable[..., None]]:
    """A bar on stderr, on a terminal only; yields what sets the number done, that in all, and the text."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    disabled = quiet or not ERR.is_terminal
    with Progress(*columns, console=ERR, transient=True, disable=disabled) as bar:
        task = bar.add_task(plain(text), total=None)
        yield lambda done=None, total=None, text=None: bar.update(
            task, completed=done, total=total, description=None if text is None else plain(text)
        )


def print_json(value: object, *, indent: int | None = 1) -> None:
    """Prints a value as JSON; see `only_finite` for what that does not have.

    Where standard output is not UTF-8, letters beyond ASCII are JSON's escapes.

    Args:
        value: What to print.
        indent: Spaces for each level; None for a single line.

    Raises:
        OutputError: Standard output is closed.
    """
    if sys.stdout is None:
        raise OutputError("Standard output is closed, where --json goes.")
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    is_unicode = codecs.lookup(encoding).name.startswith("utf")
    text = json.dumps(only_finite(value), indent=indent, ensure_ascii=not is_unicode)
    print(without_controls(text), flush=True)


def print_table(table: Table) -> None:
    """Prints a table, never cut: on a terminal long cells are folded, and a pipe has no width."""
    for column in table.columns:
        column.overflow = "fold"
    Console(highlight=False, width=OUT.width if OUT.is_terminal else 1000).print(table)


def plain(text: Any) -> str:
    """Text for rich that holds no markup of its own, and nothing that a terminal would obey."""
    return escape(without_controls(str(text)))


def without_controls(text: str) -> str:
    """Text with control characters, other than the end of a line, as JSON's escapes.

    Names of files may hold any: colours, a moved cursor, a changed title, text from right to left.
    """
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
