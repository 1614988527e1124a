"""What the commands share: the console, its progress bar, options and exit codes."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

__all__ = [
    "ERR",
    "OUT",
    "DeviceOption",
    "ExitCode",
    "ModelOption",
    "own_memory",
    "plain",
    "print_any_name",
    "progress_bar",
]

OUT = Console(highlight=False, soft_wrap=True)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)

ModelOption = Annotated[
    str,
    typer.Option(
        help="Bundled name, with or without its scale (see `escsr models`), or file of weights; auto: the "
        "one that suits the enlargement, told by -v."
    ),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, xpu or mps.")]


class ExitCode(IntEnum):
    """What the command's exit status means."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_PICTURES = 3
    NO_MODEL = 4
    NO_DEVICE = 5
    INTERRUPTED = 130


def print_any_name() -> None:
    """Shows characters that the output's encoding lacks as escapes, where they would end the command.

    File names may hold anything, and outputs of pipes on Windows a few hundred characters only.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def own_memory() -> None:
    """Lets this process keep its memory; see `escsr.runtime.allocator`."""
    from escsr.runtime.allocator import keep_freed_memory

    keep_freed_memory()


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress]:
    """A bar on stderr, on a terminal only."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    disabled = quiet or not ERR.is_terminal
    with Progress(*columns, console=ERR, transient=True, disable=disabled) as bar:
        yield bar


def plain(text: Any) -> str:
    """Text for rich that holds no markup of its own."""
    return escape(str(text))
