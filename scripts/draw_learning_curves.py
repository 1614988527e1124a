"""Draws the learning curves of the recorded trainings, and writes their table into docs/training.md.

python scripts/draw_learning_curves.py
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "results" / "training"
QUALITY = ROOT / "src" / "escsr" / "models" / "weights"
PICTURE = ROOT / "docs" / "images" / "learning-curve.svg"
PAGE = ROOT / "docs" / "training.md"
SETS = ("Set5", "Set14")
SHORT = "ten-minutes"
TICKS = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
COLOURS = (
    *("#1b6ca8", "#d1495b", "#2f9e6e", "#4a4a4a", "#8a5fbf", "#c77d0a", "#7a5c3e", "#0aa2b5"),
    *("#e377c2", "#9bc53d", "#ff9f1c", "#5d2e8c", "#94a3b8", "#6b0f1a", "#14746f", "#b5838d"),
    *("#3d405b", "#f28482", "#b8a100", "#52796f"),
)

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
        told = f"{record['iterations']:,} | {record['minutes']:.0f} | {figures}"
        lines.append(f"| {record['name']} | `{record['recipe']}` | {start} | {told} |")
    return "\n".join(lines) + "\n"


def _at_x2(point: dict[str, float], name: str) -> str:
    """A figure; of a model of any scale that at ×2."""
    if name in point:
        return f"{point[name]:.2f}"
    return f"{point[f'{name} ×2']:.2f} (×2)" if f"{name} ×2" in point else ""


@dataclass(frozen=True)
class Panel:
    """Axes of one panel: its box in the picture, and what the edges stand for; iterations logarithmic."""

    left: float
    top: float
    width: float
    height: float
    x_least: float
    x_most: float
    y_least: float
    y_most: float

    def x(self, value: float) -> float:
        """Place of a number of iterations."""
        return self.left + self.width * math.log(value / self.x_least) / math.log(
            self.x_most / self.x_least
        )

    def y(self, value: float) -> float:
        """Place of a gain, dB."""
        return self.top + self.height * (self.y_most - value) / (self.y_most - self.y_least)


def picture(records: list[Record]) -> str:
    """The whole drawing, of trainings for one scale: a panel for each set, one legend."""
    records = [record for record in records if record["scale"]]
    width, height = 890, 430 + 20 * math.ceil((len(records) + 1) / 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for column, name in enumerate(SETS):
        curves = [_curve(record, name, COLOURS[index]) for index, record in enumerate(records)]
        parts += _panel(name, 62 + 440 * column, [curve for curve in curves if curve.points])
    parts += _legend(records, top=420)
    return "\n".join([*parts, "</svg>"]) + "\n"


@dataclass(frozen=True)
class Curve:
    """One training on one set: (iteration, dB above bicubic), and what the paper's model has."""

    colour: str
    points: list[tuple[int, float]]
    paper: float | None


def _curve(record: Record, name: str, colour: str) -> Curve:
    base, published = bicubic(name, record["scale"]), paper(name, record)
    points = [(point["iteration"], point[name] - base) for point in record["points"] if name in point]
    return Curve(colour, points, None if published is None else published - base)


def _panel(name: str, left: float, curves: list[Curve]) -> Iterator[str]:
    gains = [gain for curve in curves for _, gain in curve.points]
    gains += [curve.paper for curve in curves if curve.paper is not None]
    steps = [iteration for curve in curves for iteration, _ in curve.points]
    least, most = math.floor(4 * min(gains)) / 4, math.ceil(4 * max(gains) + 0.5) / 4
    panel = Panel(left, 50, 360, 310, min(steps) * 0.8, max(steps) * 1.2, least, most)
    yield f'<text x="{left}" y="30" font-size="15" font-weight="bold">{name}</text>'
    yield from _axes(panel)
    for curve in curves:
        places = " ".join(f"{panel.x(step):.1f},{panel.y(gain):.1f}" for step, gain in curve.points)
        yield f'<polyline points="{places}" fill="none" stroke="{curve.colour}" stroke-width="1.8"/>'
        for step, gain in curve.points:
            x, y = panel.x(step), panel.y(gain)
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="{curve.colour}"/>'
        if curve.paper is not None:
            yield _arrow(left + panel.width, panel.y(curve.paper), curve.colour)


def _arrow(x: float, y: float, colour: str) -> str:
    """Points at the right edge from outside: as good is the paper's model."""
    return f'<path d="M{x:.1f} {y:.1f}l11 -5v10z" fill="{colour}"/>'


def _axes(panel: Panel) -> Iterator[str]:
    right, bottom = panel.left + panel.width, panel.top + panel.height
    for gain in _steps(panel.y_least, panel.y_most, 0.5):
        y = panel.y(gain)
        yield f'<line x1="{panel.left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#e3e3e3"/>'
        yield f'<text x="{panel.left - 8}" y="{y + 4:.1f}" text-anchor="end">{gain:.1f}</text>'
    for step in (step for step in TICKS if panel.x_least <= step <= panel.x_most):
        x = panel.x(step)
        yield f'<line x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 5}" stroke="#555"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{step:,.0f}</text>'
    yield f'<path d="M{panel.left} {panel.top}V{bottom}H{right}" fill="none" stroke="#555"/>'
    middle, centre = panel.left + panel.width / 2, panel.top + panel.height / 2
    yield f'<text x="{middle}" y="{bottom + 40}" text-anchor="middle">iterations, logarithmic</text>'
    turned = f"rotate(-90 {panel.left - 40} {centre})"
    yield (
        f'<text x="{panel.left - 40}" y="{centre}" text-anchor="middle" transform="{turned}">'
        "Y-PSNR above bicubic, dB</text>"
    )


def _steps(least: float, most: float, step: float) -> Iterable[float]:
    first, last = math.ceil(least / step - 1e-9), math.floor(most / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _legend(records: list[Record], *, top: float) -> Iterator[str]:
    for index, record in enumerate(records):
        x, y = 62 + 440 * (index % 2), top + 20 * (index // 2)
        colour = COLOURS[index % len(COLOURS)]
        start = f", from {record['started_from']}" if record["started_from"] else ""
        yield f'<line x1="{x}" y1="{y}" x2="{x + 26}" y2="{y}" stroke="{colour}" stroke-width="2.5"/>'
        yield f'<circle cx="{x + 13}" cy="{y}" r="3" fill="{colour}"/>'
        text = f"{record['name']} (×{record['scale']}{start}), {record['minutes']:.0f} min"
        yield f'<text x="{x + 34}" y="{y + 4}">{text}</text>'
    x, y = 62 + 440 * (len(records) % 2), top + 20 * (len(records) // 2)
    yield _arrow(x + 8, y, "#777")
    yield f'<text x="{x + 34}" y="{y + 4}">the same network in the paper (trained on DIV2K)</text>'


if __name__ == "__main__":
    main()
