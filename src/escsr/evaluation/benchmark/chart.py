"""Quality against latency and memory, as in the paper's Fig. 1; requires the extra `plots`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from escsr.errors import ConfigError, EscError, OutputError
from escsr.evaluation.benchmark.paper import SETS
from escsr.evaluation.benchmark.result import Benchmark, Row
from escsr.evaluation.comparison import read_quality, set_name
from escsr.files import atomic_path, check_writable
from escsr.runtime.extras import install_line

__all__ = ["Point", "check_chart_path", "choose_set", "draw_chart", "points_of"]

_ENDINGS = (".png", ".svg")
_STYLES = {
    "here": ("measured here", {"marker": "o", "color": "#00796b"}),
    "mixed": ("cost measured here, quality as the paper prints it", {"marker": "o", "color": "#00796b"}),
    "paper": ("paper (RTX 4090)", {"marker": "s", "color": "#9e9e9e"}),
}
"""By where a point's figures are from; "mixed" is drawn hollow."""


class Point(NamedTuple):
    """A network in the chart.

    Attributes:
        title: Its name.
        kind: "here", "mixed" (cost measured here, quality from the paper) or "paper".
        latency_ms: Milliseconds; None where there is no figure.
        memory: MiB here, MB in the paper; None likewise.
        psnr_y: dB.
    """

    title: str
    kind: str
    latency_ms: float | None
    memory: float | None
    psnr_y: float


def points_of(result: Benchmark, data: str) -> list[Point]:
    """What a chart shows: each network as it was measured here, and as the paper prints it.

    Args:
        result: The benchmark.
        data: Test set whose Y-PSNR is shown.

    Returns:
        Up to two points a network; none of one whose quality is known from nowhere.
    """
    return [point for row in result.rows for point in _points(row, data)]


def _points(row: Row, data: str) -> Iterable[Point]:
    printed, measured = row.paper.quality.get(data), row.quality.get(data)
    if row.latency_ms and (measured or printed):
        quality = measured or printed
        assert quality is not None
        yield Point(row.title, "here" if measured else "mixed", row.median_ms, row.memory_mib, quality[0])
    if printed and row.paper.latency_ms is not None:
        yield Point(row.title, "paper", row.paper.latency_ms, row.paper.memory_mb, printed[0])


def check_chart_path(path: Path) -> None:
    """Refuses a file with another ending, or that cannot be written, before anything is measured.

    Raises:
        OutputError: It is one.
        ConfigError: matplotlib is not installed.
    """
    if path.suffix.lower() not in _ENDINGS:
        raise OutputError(f"{path}: a chart is written as {' or '.join(_ENDINGS)}.")
    if find_spec("matplotlib") is None:
        raise ConfigError(f"Charts require matplotlib: {install_line('plots')}")
    check_writable(path)


def choose_set(name: str, models: Iterable[str], folders: Iterable[str | os.PathLike[str]]) -> str:
    """Finds a test set before anything is measured.

    Args:
        name: As asked for, in letters of any case.
        models: What is measured.
        folders: Of HR pictures to measure quality on.

    Returns:
        The set's name, as in tables.

    Raises:
        ConfigError: Neither the paper, nor a model's card, nor a folder is of this set.
    """
    known = [*SETS, *map(set_name, folders)]
    for model in models:
        with suppress(EscError):  # a table, or what the benchmark refuses itself
            cards = read_quality(model.partition(",")[0])
            known += [card.data.partition(" ×")[0] for card in cards]
    for each in known:
        if each.lower() == name.lower():
            return each
    raise ConfigError(
        f"No quality on {name!r} is known; draw that on one of {', '.join(dict.fromkeys(known))}."
    )


def draw_chart(result: Benchmark, path: str | os.PathLike[str], *, data: str = "Urban100") -> None:
    """Draws Y-PSNR against latency and against memory, in two panels.

    Args:
        result: The benchmark, of one scale.
        path: .png or .svg.
        data: Test set whose Y-PSNR is shown.

    Raises:
        ConfigError: matplotlib is not installed, or no network has a quality on this set.
        OutputError: The ending is another, or the file cannot be written.
    """
    check_chart_path(path := Path(path))
    points = points_of(result, data)
    if not points:
        raise ConfigError(f"No network of this benchmark has both a cost and a quality on {data}.")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    unit = {"cpu": "MiB of a process"}.get(result.conditions["device"], "MiB")
    _draw(panels[0], points, lambda point: point.latency_ms, "latency, ms")
    _draw(panels[1], points, lambda point: point.memory, f"peak memory, {unit} (paper: MB)")
    panels[0].set_ylabel(f"Y-PSNR on {data}, dB")
    scales = ", ".join(dict.fromkeys(f"×{row.scale:g}" for row in result.rows if row.scale))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
    where = f"{result.conditions['device_name']}, output {result.conditions['output']}"
    figure.suptitle(f"{scales}; {where}, {result.conditions['precision']}", fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _draw(panel: Any, points: list[Point], cost: Callable[[Point], float | None], label: str) -> None:
    for kind, (legend, style) in _STYLES.items():
        shown = [(cost(point), point) for point in points if point.kind == kind]
        shown = [(value, point) for value, point in shown if value is not None]
        if not shown:
            continue
        values, psnr = [value for value, _ in shown], [point.psnr_y for _, point in shown]
        fill = (
            {"facecolors": "none", "edgecolors": style["color"]}
            if kind == "mixed"
            else {"c": style["color"]}
        )
        panel.scatter(values, psnr, marker=style["marker"], label=legend, s=40, **fill)
        for value, point in shown:
            panel.annotate(
                point.title, (value, point.psnr_y), (4, 4), textcoords="offset points", fontsize=7
            )
    panel.set_xscale("log")
    panel.margins(x=0.15, y=0.08)
    panel.set_xlabel(label)
    panel.grid(visible=True, which="major", alpha=0.3)
