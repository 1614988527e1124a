"""What a run on Ray does with its caller's functions and with too many cores, without Ray's processes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from escsr.errors import ConfigError
from escsr.fleet import cluster as module
from escsr.fleet import upscale
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


def test_more_cores_than_there_are_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    with pytest.raises(ConfigError, match=r"num_cpus must be at most 4, .* not 8\."):
        upscale(tmp_path, tmp_path / "out", num_cpus=8)
    module.check_num_cpus(4, None)
    module.check_num_cpus(8, "ray://host:10001")


def test_ray_may_count_fewer_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    ended = threading.Event()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", lambda *_, **__: None)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    monkeypatch.setattr(ray, "shutdown", ended.set)
    with pytest.raises(ConfigError, match="at most 2"), module.cluster(None, 3):
        raise AssertionError("begun")
    assert ended.is_set()


@pytest.mark.parametrize("is_connected", [False, True])
def test_a_cluster_of_machines_with_fewer_cores_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_connected: bool
) -> None:
    ray = pytest.importorskip("ray")
    cores = [({}, True), ({"CPU": 2.0}, True), ({"CPU": 4.0}, True), ({"CPU": 64.0}, False)]
    monkeypatch.setattr(ray, "nodes", lambda: [{"Resources": of, "Alive": alive} for of, alive in cores])
    monkeypatch.setattr(ray, "is_initialized", lambda: is_connected)
    for name in ("init", "shutdown"):
        monkeypatch.setattr(ray, name, lambda *_, **__: None)
    with module.cluster("ray://host:10001", 4):
        assert not caplog.messages
    with module.cluster("ray://host:10001", 5):
        pass
    (message,) = caplog.messages
    assert message.startswith("No machine of the cluster has 5 cores (num_cpus), at most 4: nothing is")
