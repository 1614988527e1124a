"""A benchmark as Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from escsr.errors import OutputError
from escsr.evaluation.benchmark.result import Benchmark, Row
from escsr.files import atomic_path, check_writable

__all__ = [
    "as_csv",
    "as_json",
    "as_markdown",
    "caption",
    "check_output_path",
    "cost_table",
    "quality_table",
    "ratios_line",
    "reason_lines",
    "settings_lines",
    "write_benchmark",
]

_FORMATS = (".md", ".csv", ".json")

_PAPER = "paper"
"""What a cell holds where a network did not run and only the paper's figure is there."""


Table = tuple[list[str], list[list[str]]]
"""Headings, and the cells of every row."""


def cost_table(result: Benchmark) -> Table:
    """What networks cost, for people; what the paper prints stands under headings that say so.

    Args:
        result: The benchmark.

    Returns:
        Headings and cells, without columns that are empty.
    """
    headings = ["network", "scale", "parameters K", "paper K", "GMAC", "by the paper's rule", "paper GMAC"]
    headings += ["ms, median", "mean", "paper ms", "memory MiB", "paper MB"]
    return _without_empty(headings, [_cost_cells(row) for row in result.rows])


def quality_table(result: Benchmark) -> Table:
    """Y-PSNR in dB of trained weights, for people, beside the paper's.

    Args:
        result: The benchmark.

    Returns:
        Headings and cells; no column but the first where no quality is known.
    """
    sets = list(dict.fromkeys(name for row in result.rows for name in (*row.quality, *row.paper.quality)))
    headings = ["network", *(f"{whose}{name}" for name in sets for whose in ("", "paper "))]
    cells = []
    for row in result.rows:
        pairs = [(row.quality.get(name), row.paper.quality.get(name)) for name in sets]
        figures = [
            figure for ours, papers in pairs for figure in (_quality(ours, papers), _quality(papers))
        ]
        cells.append([row.title, *figures])
    return _without_empty(headings, cells)


def caption(result: Benchmark) -> str:
    """What the columns of `cost_table` are of, in a sentence."""
    rows, columns = result.sr_size
    macs_rows, macs_columns = result.macs_size
    own = "of one layer" if result.table == "table1" else f"of an output of {macs_columns}×{macs_rows}"
    timed = "" if result.table == "table1" else f" of an output of {columns}×{rows}"
    return f"Multiply-accumulates {own}; time and memory{timed}. {_PAPERS_COLUMNS}"


_PAPERS_COLUMNS = (
    "Columns that begin with paper are what it prints, for 1280×720, measured on an RTX 4090; a cell that "
    "says paper did not run here."
)


def reason_lines(result: Benchmark) -> list[str]:
    """Why rows did not run, a line each."""
    return [f"{row.title}: {row.reason}" for row in result.rows if row.reason]


def _without_empty(headings: list[str], cells: list[list[str]]) -> Table:
    numbers = range(len(headings))
    kept = [index for index in numbers if any(row[index] not in ("", _PAPER) for row in cells)]
    return [headings[index] for index in kept], [[row[index] for index in kept] for row in cells]


def _cost_cells(row: Row) -> list[str]:
    ran, paper = _PAPER if row.reason else "", row.paper
    return [
        row.title,
        "" if row.scale is None else f"×{row.scale:g}",
        "" if row.parameters is None else f"{row.parameters / 1e3:,.1f}",
        _number(paper.parameters_k, 0),
        _number(row.macs_g, 1),
        _number(row.paper_macs_g, 1),
        _number(paper.macs_g, 1),
        _number(row.median_ms, 1) or ran,
        _number(row.mean_ms, 1) or ran,
        _number(paper.latency_ms, 1),
        _number(row.memory_mib, 0) or ran,
        _number(paper.memory_mb, 0),
    ]


def _quality(
    figures: tuple[float, float | None] | None, instead: tuple[float, float | None] | None = None
) -> str:
    if figures is not None:
        return f"{figures[0]:.2f}"
    return "" if instead is None else _PAPER


def _number(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:,.{decimals}f}"


def settings_lines(result: Benchmark) -> list[str]:
    """Every setting and version, a line each; those in which rows differ, by row."""
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in result.conditions.items()]
    for row in result.rows:
        if row.latency_ms:
            how = f"{row.precision}, attention {row.attention}, form {row.form}, compile {row.compile}"
            count = f"{row.warm_up} + {len(row.latency_ms)} runs"
            quality = f", quality {row.quality_from}" if row.quality_from else ""
            lines.append(f"{row.title}: {how}, {row.weights} weights, {count}{quality}")
    return lines


def ratios_line(result: Benchmark) -> str:
    """The paired ratios in words; "" where there is no pair."""
    if (pair := result.against) is None:
        return ""
    low, high = pair.interval
    return (
        f"{pair.first} takes {pair.median:.3f} times as long as {pair.second} (median of "
        f"{len(pair.ratios)} rounds in turn; nine of ten between {low:.3f} and {high:.3f})."
    )


def as_markdown(result: Benchmark, command: str = "") -> str:
    """Tables, what they were made by, and every setting.

    Args:
        result: The benchmark.
        command: What made it.

    Returns:
        Text.
    """
    lines = [f"`{command}`", ""] if command else []
    lines += [caption(result), "", *_markdown(cost_table(result))]
    if line := ratios_line(result):
        lines += ["", line]
    quality = quality_table(result)
    if len(quality[0]) > 1:
        lines += ["", "Y-PSNR, dB:", "", *_markdown(quality)]
    if reasons := reason_lines(result):
        lines += ["", "Not run:", "", *(f"* {line}" for line in reasons)]
    lines += ["", "Settings:", "", *(f"* {line}" for line in settings_lines(result))]
    return "\n".join(lines) + "\n"


def _markdown(table: Table) -> Iterator[str]:
    headings, rows = table
    yield "| " + " | ".join(headings) + " |"
    yield "|" + "---|" * len(headings)
    yield from ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def as_csv(result: Benchmark) -> str:
    """One line a network, for programs; units are in the headings, settings in every line.

    Args:
        result: The benchmark.

    Returns:
        Text.
    """
    sets = list(dict.fromkeys(name for row in result.rows for name in (*row.quality, *row.paper.quality)))
    lines = [dict(_csv_row(result, row, sets)) for row in result.rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _csv_row(result: Benchmark, row: Row, sets: Sequence[str]) -> Iterator[tuple[str, object]]:
    plain = ("title", "network", "scale", "weights", "parameters", "macs_g", "paper_macs_g")
    yield from ((name, getattr(row, name)) for name in plain)
    way = ("precision", "attention", "form", "compile", "warm_up")
    yield from ((name, getattr(row, name)) for name in way)
    yield "runs", len(row.latency_ms)
    yield from (("mean_ms", row.mean_ms), ("median_ms", row.median_ms), ("memory_mib", row.memory_mib))
    printed = ("parameters_k", "macs_g", "latency_ms", "memory_mb")
    yield from ((f"paper_rtx4090_{name}", getattr(row.paper, name)) for name in printed)
    for name in sets:
        for prefix, quality in (("", row.quality), ("paper_", row.paper.quality)):
            psnr, ssim = quality.get(name, (None, None))
            yield f"{prefix}{name}_psnr_y", psnr
            yield f"{prefix}{name}_ssim_y", ssim
    yield "reason", row.reason
    for name in ("device_name", "output", "batch", "torch", "date"):
        yield name, result.conditions.get(name)


def as_json(result: Benchmark, command: str = "") -> str:
    """Everything: every run, every setting.

    Args:
        result: The benchmark.
        command: What made it.

    Returns:
        Text.
    """
    values = {"command": command, **result.to_dict()} if command else result.to_dict()
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


def check_output_path(path: Path) -> None:
    """Refuses a file with another ending, or that cannot be written, before anything is measured.

    Raises:
        OutputError: It is one.
    """
    if path.suffix.lower() not in _FORMATS:
        raise OutputError(f"{path}: a benchmark is written as {', '.join(_FORMATS)}.")
    check_writable(path)


def write_benchmark(result: Benchmark, path: str | os.PathLike[str], *, command: str = "") -> None:
    """Writes a benchmark in the format that the file's ending says.

    Args:
        result: The benchmark.
        path: .md, .csv or .json.
        command: What made it, for the record.

    Raises:
        OutputError: The ending is another, or the file cannot be written.
    """
    check_output_path(path := Path(path))
    makes = {".md": lambda: as_markdown(result, command), ".csv": lambda: as_csv(result)}
    text = makes.get(path.suffix.lower(), lambda: as_json(result, command))()
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
