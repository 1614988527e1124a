"""Batches in order, and how long the steps wait for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from escsr.training.objectives import Batch

__all__ = ["Batches", "Clock"]


class Batches:
    """Draws batches in order.

    Args:
        draw: From the number of steps done to the next batch, in the micro-batches that it is computed in.
        iteration: Steps done.
        ahead: Draw the next in a thread while a GPU works; on a CPU that would only take the cores away
            from the step.
    """

    def __init__(self, draw: Callable[[int], list[Batch]], iteration: int, *, ahead: bool) -> None:
        self._draw, self._iteration = draw, iteration
        self._thread = ThreadPoolExecutor(1, "batches") if ahead else None
        self._next: Future[list[Batch]] | None = None

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.shutdown()

    def take(self) -> list[Batch]:
        """The batch of the next step."""
        iteration = self._iteration
        self._iteration += 1
        if self._thread is None:
            return self._draw(iteration)
        now = self._next or self._thread.submit(self._draw, iteration)
        self._next = self._thread.submit(self._draw, iteration + 1)
        return now.result()


class Clock:
    """Speed over the last steps, and the share of it spent on data; validation does not count."""

    def __init__(self, memory: float = 0.95) -> None:
        self.memory = memory
        self.step_s = self.data_s = 0.0
        self._start = self._ready = 0.0

    def start(self) -> None:
        """A step begins, with waiting for its data."""
        self._start = time.perf_counter()

    def ready(self) -> None:
        """Its data are there."""
        self._ready = time.perf_counter()

    def stop(self) -> None:
        """The step is done."""
        keep = self.memory if self.step_s else 0.0
        self.step_s = keep * self.step_s + (1 - keep) * (time.perf_counter() - self._start)
        self.data_s = keep * self.data_s + (1 - keep) * (self._ready - self._start)

    @property
    def rate(self) -> float:
        """Steps a second."""
        return 1 / self.step_s

    @property
    def data_share(self) -> float:
        """Share of a step spent waiting, in [0, 1]."""
        return self.data_s / self.step_s
