"""A thread that draws samples by itself: each is many operations too small to be split among threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["SampleThread"]

_From = TypeVar("_From")
_To = TypeVar("_To")


class SampleThread:
    """Begun at the first use; PyTorch splits none of its operations.

    On two cores a batch of damaged patches takes a third of the time that it takes with its operations
    split, or with its samples drawn side by side (`benchmarks/degradation_cost.py`).
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0

    def map(self, draw: Callable[[_From], _To], items: Iterable[_From]) -> list[_To]:
        """What `draw` gives for each item, in their order.

        Args:
            draw: Draws a sample.
            items: What to draw.
        """
        if torch.get_num_threads() == 1:
            return [draw(item) for item in items]
        if self._pool is None or self._process != os.getpid():  # a forked process has none of the threads
            self._pool, self._process = _begun(), os.getpid()
        return self._pool.submit(lambda: [draw(item) for item in items]).result()


def _begun() -> ThreadPoolExecutor:
    """A pool of one thread that splits no operation.

    PyTorch's setting counts for the thread that sets it, from its first use there on, and for threads that
    have not begun; so it is used at once, and the process gets back its own.
    """
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(1, "samples")
    pool.submit(torch.set_num_threads, 1).result()
    assert pool.submit(torch.get_num_threads).result() == 1
    torch.set_num_threads(threads)
    return pool
