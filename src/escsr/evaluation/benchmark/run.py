"""`escsr benchmark`: the paper's protocol of cost for any network, and its tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from escsr.errors import ConfigError
from escsr.evaluation.benchmark.conditions import HD, choose_effort, describe_device
from escsr.evaluation.benchmark.forward import Way, parse_way
from escsr.evaluation.benchmark.quality import check_data, parse_weights
from escsr.evaluation.benchmark.result import Benchmark
from escsr.evaluation.benchmark.rows import Settings, measure_each, measure_pair, measure_table
from escsr.evaluation.benchmark.tables import TABLES, table_rows
from escsr.evaluation.contenders import as_several
from escsr.runtime.choices import Attention, CompileMode, NetworkForm, Precision
from escsr.runtime.devices import choose_device

__all__ = ["benchmark"]


def benchmark(
    models: str | Sequence[str],
    *,
    against: str | None = None,
    scale: float | None = None,
    size: str | None = None,
    batch: int = 1,
    device: str = "auto",
    precision: Precision = "tf32",
    attention: Attention = "auto",
    form: NetworkForm = "inference",
    compile: CompileMode = "off",
    warm_up: int | None = None,
    runs: int | None = None,
    seconds: float | None = None,
    memory: bool = True,
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    weights: str | Sequence[str] = (),
    on_step: Callable[[str, float | None], None] | None = None,
    on_result: Callable[[Benchmark], None] | None = None,
) -> Benchmark:
    """Measures what networks cost, as the paper does (Table 2): one forward pass, on its device.

    On a GPU 100 runs unmeasured, 100 by the device's events, for an output of 1280×720. On a CPU 1 and 3
    runs for 640×360, unless asked for more. Parameters and multiply-accumulates are counted for 1280×720
    (or `size`) on shapes alone. What other programs do on the machine is in the figures.

    Args:
        models: One network or several, see `subject_of`; each may have settings of its own behind it, as
            "esc-x2,attention=plain,precision=float16". Or one of the paper's tables: "table1", "table2",
            "table3", "table5".
        against: A network to be timed in turn with the one of `models`.
        scale: Of the networks; None for their own, or 2 (table5: 4).
        size: Of the output, WIDTHxHEIGHT.
        batch: Pictures at once.
        device: See `choose_device`.
        precision: See `Precision`. "tf32" is what PyTorch does by itself, and so did the paper.
        attention: Of networks of ours.
        form: Of networks of ours, see `NetworkForm`.
        compile: See `CompileMode`.
        warm_up: Unmeasured runs of each network.
        runs: Timed runs of each network.
        seconds: For the timed runs of each network at most, but for the first; fewer runs then.
        memory: Whether to measure peak memory: on a CPU that runs each network in a process of its own.
        data: Folders of HR pictures to measure quality on by protocol `classic`, of trained weights; none
            to take the figures of the models' cards.
        weights: NAME=FILE, trained weights of a system of another paper, for its quality.
        on_step: Called with what is done next and the share of the work that is done.
        on_result: Called after each network with all rows so far, which are not lost where the next fails.

    Returns:
        The rows.

    Raises:
        ConfigError: A setting is impossible.
        ModelNotFoundError: There is no such network.
        CheckpointError: A model cannot be loaded.
        DataError: There is no such folder of `data`, or no picture in it.
        DeviceError: There is no such device, or its memory does not suffice.

    Example:
        >>> result = benchmark(["esc-light"], size="64x64", device="cpu", runs=1, memory=False)
        >>> result.rows[0].parameters
        603600
    """
    models = as_several(models)
    where = choose_device(device)
    if batch < 1 or (seconds is not None and seconds <= 0):
        raise ConfigError(f"batch and seconds must be above 0, not {batch} and {seconds}.")
    table = models[0] if len(models) == 1 and models[0] in TABLES else ""
    _check_models(models, table, against)
    effort = choose_effort(where, size=size, warm_up=warm_up, runs=runs)
    settings = Settings(
        scale=_TABLE_SCALES.get(table) if scale is None else scale,
        way=Way(precision, attention, form, compile),
        effort=replace(effort, macs_size=HD) if table else effort,  # as the paper counts
        batch=batch,
        device=where,
        seconds=seconds,
        memory=memory,
        data=tuple(os.fspath(folder) for folder in as_several(data)),
        weights=parse_weights(as_several(weights)),
        tell=on_step or (lambda _, __: None),
    )
    wanted = table_rows(table, settings.scale) if table else []
    networks = (
        [row.network for row in wanted if not row.reason] if table else [*models, against or models[0]]
    )
    _check_weights(networks, settings)
    check_data(settings.data)
    conditions = {**describe_device(where), **_conditions(settings)}
    sizes = (settings.effort.macs_size, settings.effort.sr_size)
    if against is not None:
        rows, pair = measure_pair(models[0], against, settings)
        return Benchmark(table, tuple(rows), pair, *sizes, conditions)
    result = Benchmark(table, (), None, *sizes, conditions)
    for row in measure_table(wanted, settings) if table else measure_each(models, settings):
        result = replace(result, rows=(*result.rows, row))
        if on_result is not None:
            on_result(result)
    return result


_TABLE_SCALES = {"table2": 2, "table3": 2, "table5": 4}
"""Where none is asked for."""


def _check_models(models: Sequence[str], table: str, against: str | None) -> None:
    if not models:
        raise ConfigError(f"Name a network, or one of {', '.join(TABLES)}.")
    if len(models) > 1 and set(models) & set(TABLES):
        raise ConfigError("A table of the paper is measured alone; give its name and no other.")
    if against is not None and (table or len(models) > 1):
        raise ConfigError("against is for one network beside another; give one.")


def _check_weights(networks: Sequence[str], settings: Settings) -> None:
    """Refuses weights that nothing would be measured with."""
    if settings.weights and not settings.data:
        raise ConfigError("weights are for measuring quality; give test pictures as well, as data.")
    names = {parse_way(network, settings.way)[0].lower() for network in networks}
    if unused := settings.weights.keys() - names:
        raise ConfigError(f"weights of {min(unused)}: it is not among the networks that are measured.")


def _conditions(settings: Settings) -> dict[str, object]:
    effort, way = settings.effort, settings.way.on(settings.device)
    told: dict[str, object] = {
        "output": f"{effort.sr_size[1]}×{effort.sr_size[0]}",
        "batch": settings.batch,
        "precision": way.precision,
        "attention": way.attention,
        "form": way.form,
        "compile": way.compile,
        "warm_up": effort.warm_up,
        "runs": effort.runs,
        "seconds_at_most": settings.seconds,
        "clock": "device events" if settings.device.type == "cuda" else "wall clock, device awaited",
        "memory": _MEMORY.get(settings.device.type, "not told") if settings.memory else "not measured",
        "note": effort.note,
    }
    return {name: value for name, value in told.items() if value not in (None, "")}


_ALLOCATED = "most that PyTorch has allocated on the device, weights included"
_MEMORY = {
    "cpu": "resident memory of a process of its own, beyond the network loaded and used once",
    "cuda": _ALLOCATED,
    "xpu": _ALLOCATED,
}
