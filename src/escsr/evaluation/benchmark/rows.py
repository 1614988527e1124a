"""Networks of a benchmark, one by one, in turn, or as the rows of a table."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import cast

import torch

from escsr.errors import EscError
from escsr.evaluation.benchmark.conditions import Effort
from escsr.evaluation.benchmark.forward import (
    Forward,
    ForwardJob,
    Way,
    count_subject,
    forward_peak_memory,
    parse_way,
)
from escsr.evaluation.benchmark.memory import allocated_on, peak_of
from escsr.evaluation.benchmark.quality import quality_of
from escsr.evaluation.benchmark.result import PairedRatios, Row
from escsr.evaluation.benchmark.subjects import Subject, subject_of
from escsr.evaluation.benchmark.tables import TableRow, paper_rows
from escsr.evaluation.benchmark.timing import device_clock, time_in_turn, warm_up
from escsr.evaluation.rivals.scan import scan_implementation
from escsr.runtime.memory import is_out_of_memory, out_of_memory_told

__all__ = ["Settings", "measure_each", "measure_pair", "measure_table"]

_MEBI = 2**20


@dataclass(frozen=True)
class Settings:
    """What holds for all networks; see `benchmark`.

    Attributes:
        tell: Called with what is done next and the share of the work that is done.
    """

    scale: float | None
    way: Way
    effort: Effort
    batch: int
    device: torch.device
    seconds: float | None
    memory: bool
    data: tuple[str, ...]
    weights: Mapping[str, str]
    tell: Callable[[str, float | None], None]


def _asked(text: str) -> TableRow:
    return TableRow(text, text)


def measure_table(wanted: Sequence[TableRow], settings: Settings) -> Iterator[Row]:
    """Measures the rows of a table; each runs, or says why it does not.

    Args:
        wanted: The rows.
        settings: What holds for all.

    Yields:
        The rows, in the same order, each once it is measured.
    """
    for index, row in enumerate(wanted):
        yield _measure_or_tell(row, settings, index / len(wanted))


def _measure_or_tell(row: TableRow, settings: Settings, share: float) -> Row:
    if row.reason:
        return Row(row.title, row.network, settings.scale, paper=row.paper, reason=row.reason)
    try:
        return _measure(row, settings, share)
    except Exception as error:  # one network must not take the others with it
        return _failed(row, error, settings)
    finally:
        _release(settings.device)


def _failed(row: TableRow, error: Exception, settings: Settings) -> Row:
    """What can be counted of a network that could not be run, and why it could not."""
    first = str(error).strip().partition("\n")[0]
    reason = first if isinstance(error, EscError) else f"{type(error).__name__}: {first}"
    if is_out_of_memory(error):
        reason = f"out of memory on {settings.device.type}"
    name, _ = parse_way(row.network, settings.way)
    try:
        counted = _counted(row, subject_of(name, scale=settings.scale), settings)
    except Exception:  # the reason is known
        counted = Row(row.title, row.network, settings.scale, paper=row.paper)
    return replace(counted, reason=reason)


def _counted(row: TableRow, subject: Subject, settings: Settings) -> Row:
    parameters, macs = count_subject(subject, settings.effort.macs_size)
    paper = row.paper
    if row.title == row.network:  # asked for by name: perhaps it is in Table 2
        paper = paper_rows(subject.name, subject.scale)
    return Row(
        title=row.title,
        network=row.network,
        scale=subject.scale,
        weights=subject.weights,
        input_size=subject.input_size(settings.effort.sr_size),
        parameters=parameters,
        macs_g=macs.products / 1e9,
        paper_macs_g=macs.paper / 1e9,
        paper=paper,
    )


def measure_each(models: Sequence[str], settings: Settings) -> Iterator[Row]:
    """Measures one network after the other; one that cannot run is the user's mistake.

    Args:
        models: See `benchmark`.
        settings: What holds for all.

    Yields:
        The rows, in the same order, each once it is measured.

    Raises:
        EscError: See `benchmark`.
    """
    _check_names(models, settings)
    for index, name in enumerate(models):
        with _out_of_memory_told(name):
            row = _measure(_asked(name), settings, index / len(models))
        yield row
        _release(settings.device)


def _check_names(models: Sequence[str], settings: Settings) -> None:
    """Looks up all networks before any is measured."""
    for name in models:
        subject_of(parse_way(name, settings.way)[0], scale=settings.scale)


def _out_of_memory_told(what: str) -> AbstractContextManager[None]:
    return out_of_memory_told(f"{what}: choose a smaller size or batch")


def _measure(row: TableRow, settings: Settings, share: float) -> Row:
    """One network alone."""
    prepared, forward = _prepare(row, settings, share)
    settings.tell(f"{row.title}: timing", share)
    ((latency,), done) = _times({row.title: forward}, settings)
    return replace(prepared, warm_up=done, latency_ms=latency)


def _prepare(row: TableRow, settings: Settings, share: float) -> tuple[Row, Forward]:
    """All but the times: counted, built, its memory and quality measured."""
    name, way = parse_way(row.network, settings.way)
    subject = subject_of(name, scale=settings.scale)
    settings.tell(f"{row.title}: counting", share)
    counted = _counted(row, subject, settings)
    settings.tell(f"{row.title}: quality", share)
    quality, source = quality_of(subject, settings.data, settings.weights, device=str(settings.device))
    settings.tell(f"{row.title}: memory", share)
    held = allocated_on(settings.device)
    shape = (settings.batch, subject.channels, *subject.input_size(settings.effort.sr_size))
    forward = Forward(subject, way, device=settings.device, shape=shape)
    memory = _memory(subject, forward, settings, held) if settings.memory else None
    measured = _with_way(counted, forward)
    return replace(measured, memory_mib=memory, quality=quality, quality_from=source), forward


def measure_pair(first: str, second: str, settings: Settings) -> tuple[list[Row], PairedRatios]:
    """Measures two networks, and both in turn.

    Args:
        first: See `benchmark`.
        second: Its `against`.
        settings: What holds for both.

    Returns:
        Two rows, and how long the first takes in terms of the second.

    Raises:
        EscError: See `benchmark`.
    """
    _check_names((first, second), settings)
    pairs = []
    for text, share in ((first, 0.0), (second, 0.25)):
        with _out_of_memory_told(text):
            pairs.append(_prepare(_asked(text), settings, share))
    settings.tell("timing both in turn", 0.5)
    forwards = {str(index): forward for index, (_, forward) in enumerate(pairs)}
    with _out_of_memory_told(f"{first} beside {second}"):
        latencies, done = _times(forwards, settings)
    rows = [
        replace(row, latency_ms=latency, warm_up=done)
        for (row, _), latency in zip(pairs, latencies, strict=True)
    ]
    ratios = tuple(a / b for a, b in zip(*latencies, strict=True))
    return rows, PairedRatios(first, second, ratios)


def _with_way(row: Row, forward: Forward) -> Row:
    way = forward.way
    attention, form = (way.attention, way.form) if forward.is_ours else ("its own", "its own")
    if row.network.lower().startswith("mamba"):
        attention = f"none, scan by {scan_implementation(forward.device)}"
    return replace(row, precision=way.precision, attention=attention, form=form, compile=way.compile)


def _times(forwards: Mapping[str, Forward], settings: Settings) -> tuple[list[tuple[float, ...]], int]:
    """Milliseconds of every timed run of each, in their order, and how many runs were before."""
    clock, limit, effort = device_clock(settings.device), settings.seconds, settings.effort

    def run_of(forward: Forward) -> Callable[[], object]:
        return lambda: forward.timed(clock)

    def seconds_of(run: Callable[[], object]) -> float:
        return cast("float", run())  # what is set once per run is not in it

    runs = {name: run_of(forward) for name, forward in forwards.items()}
    done = warm_up(runs, rounds=effort.warm_up, limit=limit)
    seconds = time_in_turn(runs, rounds=effort.runs, clock=seconds_of, limit=limit)
    return [tuple(1e3 * each for each in seconds[name]) for name in forwards], done


def _memory(subject: Subject, forward: Forward, settings: Settings, held: int) -> float | None:
    """MiB; on a GPU beyond what it held before the network came."""
    if settings.device.type == "cpu":
        size, threads = settings.effort.sr_size, torch.get_num_threads()
        job = ForwardJob(subject.name, subject.scale, forward.way, size, settings.batch, threads)
        peak = forward_peak_memory(job)
        return None if peak is None else peak.run / _MEBI
    with forward.prepared() as run:
        run()  # at its first, workspaces are chosen
        peak = peak_of(run, settings.device)
    return None if peak is None else (peak.peak - held) / _MEBI


def _release(device: torch.device) -> None:
    """Gives memory and compiled code of the network before back, so that each begins alike."""
    gc.collect()
    torch.compiler.reset()
    if device.type in ("cuda", "xpu"):
        getattr(torch, device.type).empty_cache()
