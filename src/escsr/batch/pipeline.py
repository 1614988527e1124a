"""Reader → worker → writer: three steps at once, each at another item, in order and within bounds.

It knows nothing of pictures: files, frames of a video and jobs of a server go the same way.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Generic, Literal, TypeVar

from escsr.errors import ConfigError

__all__ = ["OnError", "Pipeline", "PipelineItem"]

OnError = Literal["continue", "stop", "raise"]
"""What an item that fails does to those after it: nothing; it is the last one; its error ends the run. The
last two wait for each item before the next is worked on, so that none is done after one that failed."""

Source = TypeVar("Source")
Read = TypeVar("Read")
Worked = TypeVar("Worked")
Written = TypeVar("Written")


@dataclass
class PipelineItem(Generic[Source, Written]):
    """One item on its way; the steps after one that failed, or returned None, pass it over.

    Attributes:
        source: What it began as.
        value: What the last step returned; None once one failed or has nothing for the next.
        error: What a step raised, else None.
        seconds: Spent in the steps, waiting not counted.
    """

    source: Source
    value: Any
    error: Exception | None = None
    seconds: float = 0.0

    def step(self, function: Callable[[Any], Any]) -> PipelineItem[Source, Written]:
        """Calls a function with the value, and keeps its result or its error."""
        if self.value is not None:
            start = time.perf_counter()
            try:
                self.value = function(self.value)
            except Exception as error:
                self.value, self.error = None, error
            self.seconds += time.perf_counter() - start
        return self


@dataclass(frozen=True)
class Pipeline(Generic[Source, Read, Worked, Written]):
    """Three functions, of which the first and the last have a thread each; the second runs in the caller's.

    Attributes:
        read: Source → what is worked on; None where there is nothing to do.
        work: The middle step.
        write: Its result → what is yielded.
        queue_size: Items that may wait before `work`, and that may wait after it; with the one in
            between at most `2 * queue_size + 1` are under way.
        on_error: See `OnError`.
        is_last: Behind which errors of `write` no item is begun; those under way go on to their end.

    Raises:
        ConfigError: `queue_size` is below 1.
    """

    read: Callable[[Source], Read | None]
    work: Callable[[Read], Worked]
    write: Callable[[Worked], Written]
    queue_size: int = 1
    on_error: OnError = "continue"
    is_last: Callable[[Exception], bool] = lambda _: False

    def __post_init__(self) -> None:
        if self.queue_size < 1:
            raise ConfigError(f"queue_size must be at least 1, not {self.queue_size}.")

    def run(
        self,
        sources: Iterable[Source],
        *,
        cancel: threading.Event | None = None,
        ended: threading.Event | None = None,
        on_end: Callable[[PipelineItem[Source, Written]], None] | None = None,
    ) -> Generator[PipelineItem[Source, Written], None, None]:
        """Takes the items through all steps.

        Whatever ends the run, an interrupt or the caller's break too, items that were worked on are
        written and both threads end before it does.

        Args:
            sources: What to begin with; taken as they are needed, so there may be no end of them.
            cancel: Once set, the item at work is finished and none begun.
            ended: Set when the run ends, before its threads are waited for; a `read` that waits for
                something outside should look at it.
            on_end: Called from the writer's thread with each item behind its last step, in order: also
                with those that a run which is cut short no longer yields.

        Yields:
            The items, in the order of the sources.
        """

        def end(item: PipelineItem[Source, Written]) -> PipelineItem[Source, Written]:
            item.step(self.write)
            if item.error is not None and self.is_last(item.error):
                over.set()
            if on_end is not None:
                on_end(item)
            return item

        cancel, over = cancel or threading.Event(), threading.Event()
        most = self.queue_size if self.on_error == "continue" else 0
        reader, writer = ThreadPoolExecutor(1, "reader"), ThreadPoolExecutor(1, "writer")
        begun = (PipelineItem[Source, Written](source, source) for source in sources)
        read = _in_order((reader.submit(item.step, self.read) for item in begun), self.queue_size)
        going_on = takewhile(lambda _: not (cancel.is_set() or over.is_set()), read)
        worked = (item.step(self.work) for item in going_on)
        writing = (writer.submit(end, item) for item in worked)
        try:
            for item in _in_order(writing, most, early=True):
                if item.error is not None and self.on_error == "raise":
                    raise item.error
                yield item
                if item.error is not None and self.on_error == "stop":
                    return
        finally:
            if ended is not None:
                ended.set()
            reader.shutdown(cancel_futures=True)
            writer.shutdown()


def _in_order(futures: Iterable[Future[Read]], most: int, *, early: bool = False) -> Iterator[Read]:
    """Results, while up to so many others are under way; early, once they are there."""
    waiting: deque[Future[Read]] = deque()
    for future in futures:
        waiting.append(future)
        while waiting and (len(waiting) > most or (early and waiting[0].done())):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
