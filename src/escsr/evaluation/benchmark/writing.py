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
from escsr.files import atomic_path

__all__ = [
    "as_csv",
    "as_json",
    "as_markdown",
    "check_output_path",
    "printed_table",
    "ratios_line",
    "settings_lines",
    "write_benchmark",
]

_FORMATS = (".md", ".csv", ".json")

_PAPER = "paper"
"""What a cell holds where a network did not run and only the paper's figure is there."""


def printed_table(result: Benchmark) -> tuple[list[str], list[list[str]]]:
    """Headings and cells for people; what the paper prints stands under headings that say so.

    Args:
        result: The benchmark.

    Returns:
        Headings, and a list of cells for each row.
    """
    sets = list(dict.fromkeys(name for row in result.rows for name in row.quality))
    paper_sets = list(dict.fromkeys(name for row in result.rows for name in row.paper.quality))
    rows, columns = result.sr_size
    macs_rows, macs_columns = result.macs_size
    at = "" if result.table == "table1" else ", 1280×720"
    headings = ["network", "scale", "parameters K", "paper: parameters K"]
    headings += [f"GMAC, {macs_columns}×{macs_rows}", "by the paper's rule", f"paper: GMAC{at}"]
    headings += [f"ms, {columns}×{rows}: median", "mean", f"paper: ms, RTX 4090{at}"]
    headings += ["memory MiB", f"paper: MB, RTX 4090{at}"]
    headings += [f"{name} dB" for name in sets] + [f"paper: {name} dB" for name in paper_sets]
    if any(row.reason for row in result.rows):
        headings.append("why it did not run")
    cells = [_cells(row, sets, paper_sets) for row in result.rows]
    if not any(row.reason for row in result.rows):
        cells = [each[:-1] for each in cells]
    empty = [index for index in range(len(headings)) if not any(each[index] for each in cells)]
    kept = [index for index in range(len(headings)) if index not in empty]
    return [headings[index] for index in kept], [[each[index] for index in kept] for each in cells]


def _cells(row: Row, sets: Sequence[str], paper_sets: Sequence[str]) -> list[str]:
    ran = _PAPER if row.reason else ""
    paper = row.paper
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
        *(_quality(row, name) for name in sets),
        *(_number(paper.quality.get(name, (None, None))[0], 2) for name in paper_sets),
        row.reason,
    ]


def _quality(row: Row, name: str) -> str:
    if name in row.quality:
        return f"{row.quality[name][0]:.2f}"
    return _PAPER if name in row.paper.quality else ""


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
    """A table, what it was made by, and every setting.

    Args:
        result: The benchmark.
        command: What made it.

    Returns:
        Text.
    """
    headings, rows = printed_table(result)
    lines = [f"`{command}`", ""] if command else []
    lines += ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    if line := ratios_line(result):
        lines += ["", line]
    lines += ["", *(f"* {line}" for line in settings_lines(result))]
    return "\n".join(lines) + "\n"


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
    """Refuses a file with another ending, before anything is measured.

    Raises:
        OutputError: It has.
    """
    if path.suffix.lower() not in _FORMATS:
        raise OutputError(f"{path}: a benchmark is written as {', '.join(_FORMATS)}.")


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
