"""Draws the learning curves of the recorded trainings, and writes their table into docs/training.md.

python scripts/draw_learning_curves.py
"""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "results" / "training"
QUALITY = ROOT / "src" / "escsr" / "models" / "weights"
PICTURE = ROOT / "docs" / "images" / "learning-curve.svg"
PAGE = ROOT / "docs" / "training.md"
SETS = ("Set5", "Set14")
SHORT = "ten-minutes"
COLOURS = (
    *("#1b6ca8", "#d1495b", "#2f9e6e", "#4a4a4a", "#8a5fbf", "#c77d0a"),
    *("#0aa2b5", "#e377c2", "#b8a100", "#7a5c3e", "#9bc53d", "#94a3b8"),
)
"""Of the trainings of one scale."""

STYLE: Any = {
    "svg.hashsalt": "escsr",  # the same names at every drawing
    "svg.fonttype": "none",  # text stays text
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "lines.linewidth": 1.3,
    "lines.markersize": 2.5,
    "axes.grid": True,
    "grid.color": "#e3e3e3",
    "axes.spines.top": False,
    "axes.spines.right": False,
}

Record = dict[str, Any]


def main() -> None:
    """Rewrites the picture, and the parts of the page between their markers."""
    records = read_records()
    PICTURE.write_text(picture(records))
    PAGE.write_text(with_tables(PAGE.read_text(), records))


def read_records() -> list[Record]:
    """All trainings, those of the smallest scale first and of any scale last, the longest first."""
    records = [json.loads(path.read_text()) for path in RECORDS.glob("*.json")]
    return sorted(
        records, key=lambda record: (record["scale"] or math.inf, -record["iterations"], record["name"])
    )


def bicubic(name: str, scale: int) -> float:
    """Y-PSNR of bicubic interpolation on a set, dB, as the models' records have it."""
    record = json.loads((QUALITY / f"esc-light-x{scale}.json").read_text())
    psnr: float = record["sets"][name]["bicubic"][0]
    return psnr


def paper(name: str, record: Record) -> float | None:
    """Y-PSNR of the paper's model on a set, dB, where the training made a bundled model."""
    path = QUALITY / f"{record['name']}.json"
    figures = json.loads(path.read_text())["sets"][name]["paper"] if path.exists() else None
    return figures[0] if figures else None


def with_tables(text: str, records: list[Record]) -> str:
    """A text with the tables between their markers replaced."""
    (short,) = (record for record in records if record["name"] == SHORT)
    for name, rows in (("curves", table(records)), (SHORT, course(short))):
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, rest = text.split(start)
        _, after = rest.split(end)
        text = f"{before}{start}{rows}{end}{after}"
    return text


def course(record: Record) -> str:
    """The points of a short training, a column each, with the time since its command was given."""
    points = record["points"]
    rows = [
        ["steps", "0 (bicubic)", *(f"{point['iteration']}" for point in points)],
        ["---"] * (len(points) + 2),
        ["minutes", "", *(f"{point['seconds'] / 60:.1f}" for point in points)],
        [
            "Set5, dB",
            f"{bicubic('Set5', record['scale']):.2f}",
            *(f"{point['Set5']:.2f}" for point in points),
        ],
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def table(records: list[Record]) -> str:
    """One row a training: what it is and where it ended."""
    lines = [
        "| training | recipe | from | steps | minutes | Set5 | Set14 |",
        "|---|---|---|---|---|---|---|",
    ]
    for record in records:
        start = f"`{record['started_from']}`" if record["started_from"] else "nothing"
        last = record["points"][-1]
        figures = " | ".join(_at_x2(last, name) for name in SETS)
        course = f"{record['iterations']:,} | {record['minutes']:.0f} | {figures}"
        lines.append(f"| {record['name']} | `{record['recipe']}` | {start} | {course} |")
    return "\n".join(lines) + "\n"


def _at_x2(point: dict[str, float], name: str) -> str:
    """A figure; of a model of any scale that at ×2."""
    if name in point:
        return f"{point[name]:.2f}"
    return f"{point[f'{name} ×2']:.2f} (×2)" if f"{name} ×2" in point else ""


def picture(records: list[Record]) -> str:
    """The whole drawing, an SVG by itself: a row for each scale, with a panel for each set and a legend."""
    scales = sorted({record["scale"] for record in records if record["scale"]})
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.3, 3.1 * len(scales)))
        rows = figure.subplots(len(scales), len(SETS) + 1, width_ratios=[1] * len(SETS) + [0.75])
        for (*panels, legend), scale in zip(rows, scales, strict=True):
            _draw_row(panels, legend, [record for record in records if record["scale"] == scale])
            for axes, name in zip(panels, SETS, strict=True):
                axes.set_title(f"{name} ×{scale}", loc="left", weight="bold")
        figure.tight_layout()
        drawing = io.StringIO()
        figure.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in drawing.getvalue().splitlines()) + "\n"


def _draw_row(panels: list[Any], legend: Any, records: list[Record]) -> None:
    """Trainings of one scale."""
    coloured = list(zip(records, COLOURS[: len(records)], strict=True))
    for axes, name in zip(panels, SETS, strict=True):
        for record, colour in coloured:
            _draw(axes, record, name, colour)
        axes.set_xscale("log")
        axes.set_xlabel("iterations, logarithmic")
        axes.set_ylabel("Y-PSNR above bicubic, dB")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.tick_params(axis="x", rotation=45)
    handles = [
        Line2D([], [], color=colour, marker="o", label=f"{record['name']}, {record['minutes']:.0f} min")
        for record, colour in coloured
    ]
    handles.append(Line2D([], [], color="#777", marker="<", ls="", label="the paper's network (DIV2K)"))
    legend.axis("off")
    legend.legend(handles=handles, loc="center left", frameon=False)


def _draw(axes: Any, record: Record, name: str, colour: str) -> None:
    """The course of one training on one set, and at the right edge what the paper's model has."""
    base, published = bicubic(name, record["scale"]), paper(name, record)
    points = [(point["iteration"], point[name] - base) for point in record["points"] if name in point]
    if points:
        axes.plot(*zip(*points, strict=True), color=colour, marker="o")
        if published is not None:
            edge = axes.get_yaxis_transform()
            axes.plot(1.02, published - base, "<", color=colour, transform=edge, clip_on=False)


if __name__ == "__main__":
    main()
