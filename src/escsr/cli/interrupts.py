"""Ctrl-C in two steps: finish what is at hand, then stop; the signals that end a process; none is lost."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["end_on_signals", "finish_on_interrupt", "import_numpy_before_torch"]


@contextmanager
def finish_on_interrupt(
    stop: threading.Event, say: Callable[[], object], *, also: Sequence[str] = ()
) -> Iterator[None]:
    """Sets an event at the first interrupt, and lets the second one through as KeyboardInterrupt.

    A hang-up after it changes nothing: a closed terminal sends several.

    Args:
        stop: What the work looks at before it begins anything new.
        say: Called at the first interrupt; what it prints may get lost with the terminal.
        also: Names of other signals that are taken so; those that the system lacks, or that are ignored
            (`nohup`, jobs in the background of a script), are passed over.
    """

    def interrupted(number: int, _: FrameType | None) -> None:
        if stop.is_set() and number != getattr(signal, "SIGHUP", None):
            raise KeyboardInterrupt
        if not stop.is_set():
            stop.set()
            with suppress(OSError, SystemExit):  # rich ends the process where a pipe is closed
                say()

    before = {number: signal.signal(number, interrupted) for number in _heeded("SIGINT", *also)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_on_signals() -> None:
    """Lets SIGTERM and SIGHUP end the process by way of its `finally`: what is half written is removed."""

    def end(number: int, _: FrameType | None) -> None:
        sys.exit(_SIGNALLED + number)

    for number in _heeded("SIGTERM", "SIGHUP"):
        signal.signal(number, end)


def import_numpy_before_torch() -> None:
    """Has numpy imported as soon as PyTorch is, which takes the longer part of a command's start.

    PyTorch imports numpy from C and drops whatever is raised there: a Ctrl-C or a SIGTERM at that moment
    would be lost, or leave half of numpy. Imported here, it lets them through.
    """
    if "torch" not in sys.modules:
        sys.meta_path.insert(0, _NumpyFirst())


class _NumpyFirst:
    """Looks at the names of what is imported; it finds nothing itself."""

    def find_spec(self, name: str, _: object = None, __: object = None) -> None:
        if name == "torch":
            sys.meta_path.remove(self)
            import numpy  # noqa: F401


def _heeded(*names: str) -> list[signal.Signals]:
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


_SIGNALLED = 128
"""A shell's exit status for a process ended by a signal is this much above the signal's number."""
