"""Batches in order, and how long the steps wait for them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from escsr.training.objectives import Batch

__all__ = ["Speed", "batches_in_order"]


def batches_in_order(
    draw: Callable[[int], list[Batch]], iteration: int, *, ahead: bool
) -> Generator[list[Batch]]:
    """Draws batches in order.

    Args:
        draw: From the number of steps done to the next batch, in the micro-batches that it is computed in.
        iteration: Steps done.
        ahead: Draw the next in a thread while a GPU works; on a CPU that would only take the cores away
            from the step.

    Yields:
        The batch of each step; closing the iterator ends the thread.
    """
    if not ahead:
        yield from map(draw, count(iteration))
        return
    with ThreadPoolExecutor(1, "batches") as thread:
        coming = thread.submit(draw, iteration)
        for following in count(iteration + 1):
            current, coming = coming, thread.submit(draw, following)
            yield current.result()


class Speed:
    """Seconds of a step and of waiting for its data, over the last steps; validation does not count."""

    def __init__(self) -> None:
        self.step_s = self.data_s = 0.0

    def add(self, step_s: float, data_s: float) -> None:
        """A step is done.

        Args:
            step_s: What it took in all.
            data_s: Of that, waiting for its data.
        """
        keep = 0.95 if self.step_s else 0.0
        self.step_s = keep * self.step_s + (1 - keep) * step_s
        self.data_s = keep * self.data_s + (1 - keep) * data_s
