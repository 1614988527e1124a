"""Clocks, and runs in turn: how long something takes on a device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import torch

__all__ = ["Clock", "device_clock", "time_in_turn", "wall_clock", "warm_up"]

Clock = Callable[[Callable[[], object]], float]
"""Runs a function once and returns the seconds that it took."""

_WARM_SHARE = 0.25


def wall_clock(run: Callable[[], object]) -> float:
    """Seconds of a function that returns only when its work is done."""
    start = perf_counter()
    run()
    return perf_counter() - start


def device_clock(device: torch.device) -> Clock:
    """How a forward pass on a device is timed: by events on CUDA, else by the wall when the device is done.

    Every run is waited for, so that a network that is slow to launch does not hide behind the one before.

    Args:
        device: Where the function computes.

    Returns:
        The clock.
    """
    if device.type == "cuda":
        return _event_clock
    if device.type == "cpu":
        return wall_clock
    backend: Any = getattr(torch, device.type)

    def clock(run: Callable[[], object]) -> float:
        backend.synchronize()
        return wall_clock(lambda: (run(), backend.synchronize()))

    return clock


def _event_clock(run: Callable[[], object]) -> float:
    new_event: Any = torch.cuda.Event
    start, end = (new_event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def warm_up(runs: Mapping[str, Callable[[], object]], *, rounds: int, limit: float | None = None) -> int:
    """Runs functions unmeasured: what is made at first use is made, and the device gets to its speed.

    Args:
        runs: Functions by name.
        rounds: Of each, at least one.
        limit: Seconds for the warm-up and the runs after it; a quarter of them is for the warm-up, and no
            round begins after that.

    Returns:
        Rounds that were run.
    """
    end = perf_counter() + (float("inf") if limit is None else _WARM_SHARE * limit)
    for done in range(rounds):
        if done and perf_counter() > end:
            return done
        for function in runs.values():
            function()
    return rounds


def time_in_turn(
    runs: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    clock: Clock = wall_clock,
    limit: float | None = None,
    on_round: Callable[[int], None] | None = None,
) -> dict[str, list[float]]:
    """Times several functions in turn, so that a change of the machine's speed meets all of them.

    All run in every round, forwards and backwards by turns. Warm them up before.

    Args:
        runs: Functions by name; each returns only when its work is done, or the clock waits for it.
        rounds: Measured runs of each, at least 1.
        clock: What times one.
        limit: Seconds after which no round begins, but for the first; None for no limit.
        on_round: Called with the number of rounds done.

    Returns:
        Seconds of each run, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    end = perf_counter() + (float("inf") if limit is None else limit)
    for index in range(rounds):
        if index and perf_counter() > end:
            break
        for name in list(runs)[:: 1 if index % 2 == 0 else -1]:
            seconds[name].append(clock(runs[name]))
        if on_round is not None:
            on_round(index + 1)
    return seconds
