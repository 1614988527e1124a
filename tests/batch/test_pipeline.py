"""Reader → worker → writer: order, bounds, errors, and no thread that stays."""

from __future__ import annotations

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escsr.batch.pipeline import OnError, Pipeline
from escsr.errors import ConfigError

STEPS = ("read", "work", "write")


class Steps:
    """Steps that count what is under way, and fail where they are told to."""

    def __init__(
        self, fails: dict[int, str] | None = None, error: type[BaseException] = ValueError
    ) -> None:
        self.fails, self.error = fails or {}, error
        self.begun: list[int] = []
        self.written: list[int] = []

    def _do(self, step: str, number: int) -> int:
        if self.fails.get(number) == step:
            raise self.error(step)
        return number

    def read(self, number: int) -> int:
        self.begun.append(number)
        return self._do("read", number)

    def work(self, number: int) -> int:
        return self._do("work", number)

    def write(self, number: int) -> int:
        self.written.append(self._do("write", number))
        return number

    def pipeline(self, queue_size: int = 1, on_error: OnError = "continue") -> Pipeline[int, int, int, int]:
        return Pipeline(self.read, self.work, self.write, queue_size=queue_size, on_error=on_error)


@pytest.fixture(autouse=True)
def no_thread_stays() -> object:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@given(st.integers(0, 12), st.integers(1, 4), st.dictionaries(st.integers(0, 11), st.sampled_from(STEPS)))
def test_order_and_errors_of_every_step(count: int, queue_size: int, fails: dict[int, str]) -> None:
    steps = Steps(fails)
    items = list(steps.pipeline(queue_size).run(range(count)))
    assert [item.source for item in items] == list(range(count))
    for item in items:
        assert str(item.error) == fails[item.source] if item.source in fails else item.error is None
        assert item.value == (None if item.source in fails else item.source)
    assert steps.written == [number for number in range(count) if number not in fails]


@given(st.integers(1, 4))
def test_no_more_than_the_bound_are_under_way(queue_size: int) -> None:
    steps = Steps()
    pipeline = steps.pipeline(queue_size)
    run = pipeline.run(itertools.count())  # without end
    seen = [len(steps.begun) - item.source for item in itertools.islice(run, 20)]
    run.close()
    assert max(seen) <= 2 * queue_size + 1
    with pytest.raises(ConfigError, match="queue_size"):
        steps.pipeline(0)


def test_a_step_with_nothing_for_the_next_is_the_last() -> None:
    steps = Steps()
    odd: Pipeline[int, int, int, int] = Pipeline(lambda n: n if n % 2 else None, steps.work, steps.write)
    items = list(odd.run(range(5)))
    assert [(item.source, item.value, item.error) for item in items] == [
        (n, n if n % 2 else None, None) for n in range(5)
    ]
    assert steps.written == [1, 3]


@given(st.integers(0, 5), st.sampled_from(STEPS))
def test_the_first_error_is_the_last_item_or_raised(bad: int, step: str) -> None:
    steps = Steps({bad: step, 5: "work"})
    items = list(steps.pipeline(on_error="stop").run(range(9)))
    assert [item.source for item in items] == list(range(bad + 1))
    assert items[-1].error is not None
    assert steps.written == list(range(bad))
    steps = Steps({bad: step, 5: "work"})
    with pytest.raises(ValueError, match="work" if bad == 5 else step):
        list(steps.pipeline(on_error="raise").run(range(9)))
    assert steps.written == list(range(bad))


@given(st.integers(0, 6))
def test_a_cancelled_run_finishes_what_is_at_work(at: int) -> None:
    cancel, steps = threading.Event(), Steps()

    def work(number: int) -> int:
        if number == at:
            cancel.set()
        return number

    items = list(Pipeline(steps.read, work, steps.write).run(itertools.count(), cancel=cancel))
    assert [item.source for item in items] == steps.written == list(range(at + 1))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_both_threads(step: str, error: type[BaseException]) -> None:
    steps = Steps({3: step}, error)
    with pytest.raises(error):
        list(steps.pipeline().run(range(9)))
    assert steps.written[:2] == [0, 1]
    assert not {3, 5, 6, 7, 8} & set(steps.written)


def test_a_caller_that_leaves_ends_both_threads() -> None:
    steps = Steps()
    run = steps.pipeline().run(itertools.count())
    assert next(run).value == 0
    run.close()
    assert steps.written[0] == 0
    assert len(steps.begun) <= 4


@pytest.mark.parametrize("at", range(6))
def test_the_caller_hears_of_all_that_ended(at: int) -> None:
    steps = Steps({at: "work"}, KeyboardInterrupt)
    ended: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        list(steps.pipeline().run(range(9), on_end=lambda item: ended.append(item.value)))
    assert steps.written == ended == list(range(at))
