"""Ray: a cluster, and actors on it that take the rows of a plan through a function."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from escsr.errors import ConfigError, DeviceError, OutputError
from escsr.fleet.progress import Progress, Summary

if TYPE_CHECKING:
    from escsr.fleet.ledger import Figures
    from escsr.fleet.plan import Plan

__all__ = ["check_num_cpus", "cluster", "keep_quiet", "run_plan"]

_LOG = logging.getLogger(__name__)

_UNITS_PER_ACTOR = 50
_MOST_UNIT_ROWS = 1_000
_POLL_SECONDS = 0.5
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # which Ray warns of where it is not set
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
"""Settings of Ray, where the user has no others: its makers are told nothing, the terminal little."""

_STORE_BYTES = 100 << 20
"""Of Ray's shared memory, where it runs for this alone: pictures do not pass through it."""


@dataclass(frozen=True)
class _RemoteLedger:
    actor: Any

    def __call__(self, method: str, *arguments: Any) -> Any:
        import ray

        return ray.get(getattr(self.actor, method).remote(*arguments))


def run_plan(
    plan: Plan,
    output: str,
    *,
    work: Callable[[], Callable[[dict[str, Any]], dict[str, Any]]],
    device: str = "cpu",
    num_actors: int | None = None,
    num_cpus: int = 1,
    stop: threading.Event | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Lets actors take a plan's rows through a function.

    Args:
        plan: What is to be done.
        output: Absolute path or URI of the results.
        work: Makes the function, in each actor.
        device: Where it computes, by the names of `UpscaleOptions`.
        num_actors: See `upscale`.
        num_cpus: See `upscale`.
        stop: See `upscale`.
        on_progress: See `upscale`.

    Raises:
        EscError: An actor cannot begin, or another run has begun on the same output.
        Exception: What `on_progress` raised, once all is done; after that it was not called again.
    """
    import ray

    from escsr.fleet.ledger import Figures, Ledger
    from escsr.fleet.outcomes import outcomes_uri

    begin, figures = time.perf_counter(), Figures()
    raised_by_callback: list[Exception] = []
    if plan.rows:
        gpus = _gpus(device)
        actors = num_actors or gpus or max(1, int(ray.cluster_resources().get("CPU", 1)) // num_cpus)
        placed = {"num_cpus": num_cpus, "num_gpus": 1 if gpus else 0}
        remote = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Ledger)
        ledger = _RemoteLedger(remote.remote(output, plan.run))
        with _watched(
            ledger, plan, stop or threading.Event(), on_progress or (lambda _: None)
        ) as raised_by_callback:
            _in_cluster(plan, output, ledger, actors, placed, work)
        with _told_in_a_line():
            figures = ledger("end")
    if figures.fault:
        raise DeviceError(f"An actor cannot begin on {figures.fault}")
    if figures.superseded:
        raise OutputError(f"Another run has begun on {output}; this one has stopped.")
    if raised_by_callback:
        raise raised_by_callback[0]
    return Summary(
        figures.done,
        figures.failed,
        plan.done_before,
        plan.given_up_before,
        plan.rows - figures.done - figures.failed,
        figures.pixels,
        time.perf_counter() - begin,
        (*figures.errors, figures.full) if figures.full else figures.errors,
        outcomes_uri(output),
    )


def _in_cluster(*given: Any) -> None:
    """`_work_through`; for a client (ray://) in a process of the cluster, as Ray Data requires."""
    import ray
    from ray.util.client import ray as client

    with _told_in_a_line():
        if client.is_connected():
            ray.get(ray.remote(num_cpus=0)(_work_through).remote(*given))
        else:
            _work_through(*given)


@contextmanager
def _told_in_a_line() -> Iterator[None]:
    import ray

    try:
        yield
    except ray.exceptions.RayError as error:
        what = str(error).strip().splitlines()[-1]
        raise DeviceError(f"Ray has ended the run ({what}); the same command continues.") from error


def _work_through(
    plan: Plan, output: str, ledger: _RemoteLedger, actors: int, placed: dict[str, int], work: Any
) -> None:
    """Ray Data hands units to actors, replaces those that die, and gives their units to others."""
    import ray.data

    from escsr.fleet.worker import Worker

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = max(1, min(_MOST_UNIT_ROWS, plan.rows // (_UNITS_PER_ACTOR * actors)))
    units = -(-plan.rows // rows)
    given = {"ledger": ledger, "unit_rows": rows, "rows": plan.rows, "work": work}
    pool = ray.data.ActorPoolStrategy(
        min_size=1, max_size=min(actors, units), initial_size=min(actors, units)
    )
    data = ray.data.from_items(list(range(units)), override_num_blocks=units)
    done = data.map_batches(
        Worker, fn_constructor_args=(output, plan.run), fn_constructor_kwargs=given, compute=pool, **placed
    )
    for _ in done.iter_batches(batch_size=None, prefetch_batches=0):
        pass


def _gpus(device: str) -> int:
    """GPUs of the cluster, unless pictures are to be upscaled on CPUs."""
    import ray

    found = 0 if device == "cpu" else int(ray.cluster_resources().get("GPU", 0))
    if not found and device.startswith("cuda"):
        raise DeviceError("This cluster has no GPU.")
    return found


@contextmanager
def _watched(
    ledger: _RemoteLedger, plan: Plan, stop: threading.Event, report: Callable[[Progress], None]
) -> Iterator[list[Exception]]:
    """Asks the ledger how far it is, and tells it to stop, while the body works.

    Yields:
        What the report has raised, once it has; it is not called again, and the run goes on.
    """
    ended, raised = threading.Event(), list[Exception]()

    def watch() -> None:
        first = 0.0
        while not ended.wait(_POLL_SECONDS):
            try:
                figures: Figures = ledger("figures", stop.is_set())
            except Exception:  # of a cluster that is being shut down, or a ledger that is restarted
                continue
            first = first or (time.perf_counter() if figures.pixels else 0.0)
            speed = figures.pixels / max(time.perf_counter() - first, 1.0) if first else 0.0
            count = figures.done + figures.failed
            if raised:
                continue
            try:
                report(Progress("upscaling", count, plan.rows, figures.failed, speed))
            except Exception as error:  # of the caller's function, whose run it must not end
                raised.append(error)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield raised
    finally:
        ended.set()
        watcher.join()


@contextmanager
def cluster(address: str | None, num_cpus: int = 1) -> Iterator[None]:
    """A connection to a cluster, or one of its own; what the caller has connected to is left as it is.

    Of a cluster whose machines have too few cores a warning tells, as it may grow.

    Args:
        address: See `upscale`.
        num_cpus: See `upscale`.

    Raises:
        DeviceError: There is none.
        ConfigError: One of its own has fewer cores.
    """
    import ray

    if ray.is_initialized():
        _warn_of_few_cores(num_cpus)
        yield
        return
    address = _address(address)
    own = {"include_dashboard": False, "object_store_memory": _STORE_BYTES} if address == "local" else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as error:  # of several kinds
        raise DeviceError(f"No cluster of Ray at {address} ({str(error).splitlines()[0]}).") from error
    try:
        if address == "local":
            _check_cores(num_cpus, int(ray.cluster_resources().get("CPU", 0)))
        else:
            _warn_of_few_cores(num_cpus)
        yield
    finally:
        ray.shutdown()


def check_num_cpus(num_cpus: int, address: str | None) -> None:
    """Refuses more cores for an actor than this machine has, before Ray is started on it.

    Args:
        num_cpus: See `upscale`.
        address: See `upscale`.

    Raises:
        ConfigError: There are fewer, and Ray would wait for them for ever.
    """
    ray = sys.modules.get("ray")
    if _address(address) == "local" and not (ray is not None and ray.is_initialized()):
        _check_cores(num_cpus, os.cpu_count() or num_cpus)


def _check_cores(num_cpus: int, found: int) -> None:
    if num_cpus > found:
        raise ConfigError(f"num_cpus must be at most {found}, the cores of this machine, not {num_cpus}.")


def _warn_of_few_cores(num_cpus: int) -> None:
    """Says what a run would otherwise wait for without a word."""
    import ray

    alive = (node["Resources"] for node in ray.nodes() if node["Alive"])
    most = max((int(resources.get("CPU", 0)) for resources in alive), default=0)
    if num_cpus > most:
        _LOG.warning(
            "No machine of the cluster has %d cores (num_cpus), at most %d: nothing is upscaled until one "
            "that has them joins it.",
            num_cpus,
            most,
        )


def _address(given: str | None) -> str:
    return given or os.environ.get("RAY_ADDRESS") or "local"


def keep_quiet() -> None:
    """Sets what `_QUIET` says, before Ray is imported."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
