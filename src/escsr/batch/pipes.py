"""`-` for standard input and standard output, by way of temporary files."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, TextIO

from escsr.errors import ConfigError, OutputError
from escsr.files import named_in_errors

__all__ = ["PIPE", "bytes_of", "piped"]

PIPE = "-"


@contextmanager
def piped(
    inputs: Sequence[str], output: str | None, suffix: str | None
) -> Iterator[tuple[Sequence[str], str | None, Mapping[str, str]]]:
    """Replaces `-` by files: standard input is read first, the output goes to standard output at the end.

    Args:
        inputs: Paths, or `-` alone.
        output: A path, `-`, or None, which for an input of `-` is `-` too.
        suffix: Format of an output of `-`, "png" or ".png", as which None counts.

    Yields:
        Inputs and output to use instead, and what to call these files in messages, see
        `escsr.files.with_names`; errors that pass here call them so.

    Raises:
        ConfigError: `-` stands beside other inputs, or for the result of several.
        OutputError: A stream is closed or cannot be written, or there is no room for temporary files.
        BrokenPipeError: Who reads standard output ended first.
    """
    if PIPE in inputs and len(inputs) > 1:
        raise ConfigError("- (standard input) is one picture; give nothing beside it.")
    if output is None and PIPE in inputs:
        output = PIPE
    if output == PIPE and (len(inputs) > 1 or Path(inputs[0]).is_dir()):
        raise ConfigError("- (standard output) takes one picture; several require a folder.")
    if PIPE not in (*inputs, output):
        yield inputs, output, {}
        return
    with _named("the folder for temporary files (TMPDIR)"):
        folder = TemporaryDirectory(prefix="escsr-")
    with folder as name:
        paths = [str(Path(name) / "standard input") if path == PIPE else path for path in inputs]
        if PIPE in inputs:
            with _named("standard input to a temporary file (TMPDIR)"), open(paths[0], "wb") as file:
                shutil.copyfileobj(bytes_of(sys.stdin, "input"), file)
        result = Path(name) / f"result.{(suffix or 'png').lstrip('.')}"
        names = {str(Path(name) / "standard input"): "standard input", str(result): "standard output"}
        if output == PIPE:
            stream = bytes_of(sys.stdout, "output")
            output = str(result)
        with named_in_errors(names):
            yield paths, output, names
        if result.is_file():
            with _named("standard output"), open(result, "rb") as file:
                shutil.copyfileobj(file, stream)
                stream.flush()


@contextmanager
def _named(what: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"Cannot write {what}: {error.strerror or error}.") from error


def bytes_of(stream: TextIO | None, name: str) -> BinaryIO:
    """A standard stream for bytes.

    Args:
        stream: `sys.stdin` or `sys.stdout`; None where it is closed.
        name: "input" or "output", for the message.

    Raises:
        OutputError: It is closed.
    """
    if stream is None:
        raise OutputError(f"Standard {name} is closed; open it, or name a file.")
    return stream.buffer
