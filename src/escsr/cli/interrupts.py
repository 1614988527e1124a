"""Ctrl-C in two steps: finish what is at hand, then stop; and the signals that end a process."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

__all__ = ["end_on_signals", "finish_on_interrupt"]


@contextmanager
def finish_on_interrupt(
    stop: threading.Event, say: Callable[[], object], *, also: Sequence[str] = ()
) -> Iterator[None]:
    """Sets an event at the first interrupt, and lets the second one through as KeyboardInterrupt.

    Args:
        stop: What the work looks at before it begins anything new.
        say: Called at the first interrupt.
        also: Names of other signals that are taken so; those that the system lacks, or that are ignored
            (`nohup`, jobs in the background of a script), are passed over.
    """

    def interrupted(_: int, __: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
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


def _heeded(*names: str) -> list[signal.Signals]:
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


_SIGNALLED = 128
"""A shell's exit status for a process ended by a signal is this much above the signal's number."""
