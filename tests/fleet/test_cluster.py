"""What a run on Ray does with its caller's functions, without Ray's processes."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from escsr.fleet import cluster as module
from escsr.fleet.ledger import Figures
from escsr.fleet.plan import Plan


def test_stop_reaches_the_ledger_where_the_callers_function_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.01)
    stop, called, stopped = threading.Event(), [0], threading.Event()

    def ledger(_: str, is_stopped: bool) -> Figures:
        if is_stopped:
            stopped.set()
        return Figures()

    def report(_: Any) -> None:
        called[0] += 1
        stop.set()
        raise ValueError("a bar that broke")

    with module._watched(ledger, Plan("r", 1, 0, 0), stop, report) as raised:  # type: ignore[arg-type]
        assert stopped.wait(60)
    assert [str(error) for error in raised] == ["a bar that broke"]
    assert called == [1]
