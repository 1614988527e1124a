"""A run on Ray: plans, lets actors work, watches, and goes on where a killed one ended."""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from escsr.batch.jobs import check_name_suffix
from escsr.errors import ConfigError, DeviceError, NoImagesError, OutputError
from escsr.runtime.extras import install_line
from escsr.upscaling.options import UpscaleOptions

if TYPE_CHECKING:
    from escsr.fleet.ledger import Figures
    from escsr.fleet.plan import Plan

__all__ = ["Progress", "Summary", "cluster", "run_plan", "upscale"]

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
class Progress:
    """How far a run is.

    Attributes:
        stage: "planning" or "upscaling".
        ended: Pictures listed, or upscaled or given up, in this run.
        total: Pictures to upscale; 0 while they are being listed.
        failed: Pictures given up.
        pixels_per_second: Of the inputs, since the first.
    """

    stage: Literal["planning", "upscaling"]
    ended: int
    total: int = 0
    failed: int = 0
    pixels_per_second: float = 0.0


@dataclass(frozen=True)
class Summary:
    """What became of a run.

    Attributes:
        done: Pictures upscaled.
        failed: Pictures given up after three attempts.
        done_before: Pictures that earlier runs had done.
        given_up_before: Pictures that earlier runs had given up.
        left: Pictures that are still to do: the run was stopped, or the ledger's machine was lost.
        pixels: Of the inputs of those done.
        seconds: Upscaling, from the first actor's start on.
        errors: Of the last few failures.
        outcomes: Where the dataset of outcomes is.
    """

    done: int
    failed: int
    done_before: int
    given_up_before: int
    left: int
    pixels: int
    seconds: float
    errors: tuple[str, ...]
    outcomes: str


def upscale(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    address: str | None = None,
    num_actors: int | None = None,
    num_cpus: int = 1,
    format: str | None = None,
    suffix: str | None = None,
    retry_failed: bool = False,
    stop: threading.Event | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    options: UpscaleOptions | None = None,
    **settings: Any,
) -> Summary:
    """Upscales pictures on a cluster of Ray: what `escsr fleet` does.

    The same call again does what is left: outcomes are kept in `output`/_fleet/outcomes (docs/fleet.md).

    Args:
        source: A folder, a picture, a pattern, or a table (`escsr.batch.table`); here, or as URI.
        output: Folder or URI of the results; all machines must reach it.
        address: Of a cluster, "ray://host:10001" or "auto"; None for that in RAY_ADDRESS, else one of its
            own on this machine.
        num_actors: How many upscale at once; None for one per GPU, or as many as the cluster has cores for.
        num_cpus: Cores of each.
        format: Format of the results by its ending, "png"; None for that of each input.
        suffix: What to put behind the names of results.
        retry_failed: Try again what earlier runs gave up.
        stop: Once set, pictures at hand are finished and no other begun.
        on_progress: Called often, from another thread.
        options: See `UpscaleOptions`; None for the usual ones.
        settings: Options by name, in place of those in `options`.

    Returns:
        How many pictures ended how.

    Raises:
        EscError: Source, output or options are not as they should be, a package is missing, or another run
            has begun on the same output.
    """
    options = replace(options or UpscaleOptions(), **settings)
    _check_installed()
    if num_cpus < 1 or (num_actors is not None and num_actors < 1):
        raise ConfigError("num_actors and num_cpus must be at least 1.")
    from escsr import images
    from escsr.fleet import outcomes, stores
    from escsr.fleet.plan import make_plan, setting_of
    from escsr.fleet.worker import Upscaling

    check_name_suffix(suffix, images.WRITABLE)
    if format is not None:
        images.check_suffix(Path(f"result.{format.lower().lstrip('.')}"))
    source, output = stores.absolute(source), stores.absolute(output)
    stores.check_writable(output)
    run = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(4).hex()}"
    outcomes.claim(output, run)
    plan = make_plan(
        source,
        output,
        run,
        options=options,
        format=format,
        suffix=suffix,
        retry_failed=retry_failed,
        on_rows=on_progress and (lambda rows: on_progress(Progress("planning", rows))),
    )
    if not plan.rows + plan.done_before + plan.given_up_before:
        raise NoImagesError(f"{source}: no pictures in it.")
    work = partial(
        Upscaling, output, options, model_sha256=setting_of(options, "").model_sha256, threads=num_cpus
    )
    with cluster(address) if plan.rows else nullcontext():
        summary = run_plan(
            plan,
            output,
            device=str(options.place),
            num_actors=num_actors,
            num_cpus=num_cpus,
            work=work,
            stop=stop,
            on_progress=on_progress,
        )
    if not summary.left:
        stores.delete(f"{output}/{outcomes.FOLDER}/plan")
    return summary


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
    """
    import ray

    from escsr.fleet.ledger import Figures, Ledger
    from escsr.fleet.outcomes import outcomes_uri

    begin, figures = time.perf_counter(), Figures()
    if plan.rows:
        gpus = _gpus(device)
        actors = num_actors or gpus or max(1, int(ray.cluster_resources().get("CPU", 1)) // num_cpus)
        placed = {"num_cpus": num_cpus, "num_gpus": 1 if gpus else 0}
        remote = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Ledger)
        ledger = _RemoteLedger(remote.remote(output, plan.run))
        with _watched(ledger, plan, stop or threading.Event(), on_progress or (lambda _: None)):
            _in_cluster(plan, output, ledger, actors, placed, work)
        figures = ledger("save")
    if figures.fault:
        raise DeviceError(f"An actor cannot begin on {figures.fault}")
    if figures.superseded:
        raise OutputError(f"Another run has begun on {output}; this one has stopped.")
    return Summary(
        figures.done,
        figures.failed,
        plan.done_before,
        plan.given_up_before,
        plan.rows - figures.done - figures.failed,
        figures.pixels,
        time.perf_counter() - begin,
        figures.errors,
        outcomes_uri(output),
    )


def _in_cluster(*given: Any) -> None:
    """`_work_through`; for a client (ray://) in a process of the cluster, as Ray Data requires."""
    import ray
    from ray.util.client import ray as client

    try:
        if client.is_connected():
            ray.get(ray.remote(num_cpus=0)(_work_through).remote(*given))
        else:
            _work_through(*given)
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
) -> Iterator[None]:
    """Asks the ledger how far it is, and tells it to stop, while the body works."""
    ended = threading.Event()

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
            report(Progress("upscaling", count, plan.rows, figures.failed, speed))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """A connection to a cluster, or one of its own; what the caller has connected to is left as it is.

    Args:
        address: See `upscale`.

    Raises:
        DeviceError: There is none.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    own = {"include_dashboard": False, "object_store_memory": _STORE_BYTES} if address == "local" else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as error:  # of several kinds
        raise DeviceError(f"No cluster of Ray at {address} ({str(error).splitlines()[0]}).") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_installed() -> None:
    missing = [name for name in ("ray", "pyarrow", "fsspec") if find_spec(name) is None]
    if missing:
        raise ConfigError(f"{', '.join(missing)} not installed: {install_line('fleet')}")
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
