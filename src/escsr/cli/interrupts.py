"""Ctrl-C in two steps: finish what is at hand, then stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

__all__ = ["finish_on_interrupt"]


@contextmanager
def finish_on_interrupt(
    stop: threading.Event, say: Callable[[], object], *, also: Sequence[str] = ()
) -> Iterator[None]:
    """Sets an event at the first interrupt, and lets the second one through as KeyboardInterrupt.

    Args:
        stop: What the work looks at before it begins anything new.
        say: Called at the first interrupt.
        also: Names of other signals that are taken so; those that the system lacks are passed over, and
            those that are ignored (as HUP under `nohup`) stay so.
    """

    def interrupted(_: int, __: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        say()

    others = [getattr(signal, name) for name in also if hasattr(signal, name)]
    taken = [signal.SIGINT, *(n for n in others if signal.getsignal(n) is not signal.SIG_IGN)]
    before = {number: signal.signal(number, interrupted) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
