"""A run: plans, lets actors work, and goes on where a killed one ended."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from escsr.batch.jobs import check_name_suffix
from escsr.errors import ConfigError
from escsr.fleet.cluster import check_num_cpus, cluster, keep_quiet, run_plan
from escsr.fleet.progress import Progress, Summary
from escsr.runtime.extras import install_line
from escsr.upscaling.options import UpscaleOptions

__all__ = ["upscale"]


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
        num_cpus: Cores of each, at most those of the machine where the cluster is its own.
        format: Format of the results by its ending, "png"; None for that of each input.
        suffix: What to put behind the names of results.
        retry_failed: Try again what earlier runs gave up.
        stop: Once set, pictures at hand are finished and no other begun.
        on_progress: Called often, from another thread.
        options: See `UpscaleOptions`; None for the usual ones.
        settings: Options by name, in place of those in `options`.

    Returns:
        How many pictures ended how. Where a disk is full or read-only no other picture is begun, and those
        not written are `left`.

    Raises:
        EscError: Source, output or options are not as they should be, a package is missing, or another run
            has begun on the same output.
        Exception: What `on_progress` raised, at the end; the run goes on without calling it again.
    """
    options = replace(options or UpscaleOptions(), **settings)
    _check_installed()
    if num_cpus < 1 or (num_actors is not None and num_actors < 1):
        raise ConfigError("num_actors and num_cpus must be at least 1.")
    check_num_cpus(num_cpus, address)
    from escsr import images
    from escsr.fleet import outcomes, stores
    from escsr.fleet.plan import check_inputs, make_plan
    from escsr.fleet.row_options import setting_of
    from escsr.fleet.worker import Upscaling

    check_name_suffix(suffix, images.WRITABLE)
    if format is not None:
        images.check_suffix(Path(f"result.{format.lower().lstrip('.')}"))
    source, output = stores.absolute(source), stores.absolute(output)
    stores.check_writable(output)
    # What is wrong shows before the claim, which ends a run at work; the plan leaves out what that run has
    # recorded, so it is made behind it.
    model_sha256 = setting_of(options, "").model_sha256
    check_inputs(source, output, options=options, format=format, suffix=suffix)
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
    work = partial(Upscaling, output, options, model_sha256=model_sha256, threads=num_cpus)
    with cluster(address, num_cpus) if plan.rows else nullcontext():
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


def _check_installed() -> None:
    missing = [name for name in ("ray", "pyarrow", "fsspec") if find_spec(name) is None]
    if missing:
        raise ConfigError(f"{', '.join(missing)} not installed: {install_line('fleet')}")
    keep_quiet()
