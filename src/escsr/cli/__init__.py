"""The command `escsr`: one function per command, each a door to the Python function of that name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from escsr.cli.commands import app

__all__ = ["app", "main"]

_INTERRUPTED = 130


def main() -> None:
    """Runs the command; the imports that it takes can be interrupted, too, without a traceback."""
    try:
        from escsr.cli.commands import run
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    run()


def __getattr__(name: str) -> object:
    if name != "app":
        raise AttributeError(f"module 'escsr.cli' has no attribute {name!r}")
    from escsr.cli.commands import app

    return app
