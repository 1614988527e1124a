"""Samples of a batch side by side, one a thread: each is many operations too small to be split."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["SampleThreads"]

_From = TypeVar("_From")
_To = TypeVar("_To")


class SampleThreads:
    """As many threads as PyTorch computes with, begun at the first use; each computes by itself."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0

    def map(self, draw: Callable[[_From], _To], items: Iterable[_From]) -> list[_To]:
        """What `draw` gives for each item, in their order.

        Args:
            draw: Draws a sample, which may not depend on other samples.
            items: What to draw.
        """
        threads = torch.get_num_threads()
        if threads == 1:
            return [draw(item) for item in items]
        if self._pool is None or self._process != os.getpid():  # a forked process has none of the threads
            self._pool, self._process = _begun(threads), os.getpid()
        return list(self._pool.map(draw, items))


def _begun(threads: int) -> ThreadPoolExecutor:
    """Threads that split no operation further.

    PyTorch's setting counts for the thread that sets it and, in part, for the process, which therefore gets
    back its own once all have begun.
    """
    pool = ThreadPoolExecutor(threads, "samples", initializer=torch.set_num_threads, initargs=(1,))
    have_begun = threading.Barrier(threads)
    list(pool.map(lambda _: have_begun.wait(), range(threads)))
    torch.set_num_threads(threads)
    return pool
