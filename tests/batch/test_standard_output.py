"""Standard output as a file: what becomes of it where its reader ends first."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from escsr.batch.pipes import piped


class Closed(io.BytesIO):
    """A pipe that nobody reads any more."""

    def write(self, _: object) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_reader_that_ends_first_is_no_mistake_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command then ends with 1, as `escsr models | head -1` does."""
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(Closed()))
    pipe = piped(["a.png"], "-", None)
    _, output, _ = pipe.__enter__()
    assert output is not None
    Path(output).write_bytes(b"result")
    with pytest.raises(BrokenPipeError):
        pipe.__exit__(None, None, None)
