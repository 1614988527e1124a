"""`-` for standard input and standard output, by way of temporary files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from escsr.errors import ConfigError

__all__ = ["PIPE", "piped"]

PIPE = "-"


@contextmanager
def piped(
    inputs: Sequence[str],
    output: str | None,
    suffix: str | None,
    source: BinaryIO,
    sink: BinaryIO,
) -> Iterator[tuple[list[str], str | None]]:
    """Replaces `-` by files: the input is read from `source` first, the output goes to `sink` at the end.

    Args:
        inputs: Paths, or `-` alone.
        output: A path, `-`, or None, which for an input of `-` is `-` too.
        suffix: Format of an output of `-`, as an ending; None for ".png".
        source: Standard input.
        sink: Standard output.

    Yields:
        Inputs and output to use instead.

    Raises:
        ConfigError: `-` stands beside other inputs, or for the result of several.
    """
    if PIPE in inputs and len(inputs) > 1:
        raise ConfigError("- (standard input) is one picture; name it alone.")
    if output is None and PIPE in inputs:
        output = PIPE
    if output == PIPE and (len(inputs) > 1 or Path(inputs[0]).is_dir()):
        raise ConfigError("- (standard output) takes one picture; several need a folder.")
    with TemporaryDirectory(prefix="escsr-") as folder:
        sources = list(inputs)
        if PIPE in inputs:
            sources = [str(Path(folder) / "standard input")]
            with open(sources[0], "wb") as file:
                shutil.copyfileobj(source, file)
        if output != PIPE:
            yield sources, output
            return
        result = Path(folder) / f"result{suffix or '.png'}"
        yield sources, str(result)
        if result.is_file():
            with open(result, "rb") as file:
                shutil.copyfileobj(file, sink)
            sink.flush()
