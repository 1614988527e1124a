"""Ctrl-C in two steps: finish what is at hand, then stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["finish_on_interrupt"]


@contextmanager
def finish_on_interrupt(stop: threading.Event, say: Callable[[], None]) -> Iterator[None]:
    """Sets an event at the first interrupt, and lets the second one through as KeyboardInterrupt.

    Args:
        stop: What the work looks at before it begins anything new.
        say: Called at the first interrupt.
    """

    def interrupted(_: int, __: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        say()

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
