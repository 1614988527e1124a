"""The paper's tables of cost as lists of what to measure, each row with what the paper prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from escsr.errors import ConfigError
from escsr.evaluation.benchmark.paper import (
    ABLATION_FIGURES,
    ATTENTION_FIGURES,
    LTE_FIGURES,
    NOTHING_PRINTED,
    PaperFigures,
    paper_figures,
)
from escsr.evaluation.benchmark.subjects import ABLATION_PREFIX, LTE_SUFFIX, window_attention_name
from escsr.evaluation.rivals import RIVALS

__all__ = ["TABLES", "TableRow", "paper_rows", "table_rows"]

_OURS = {"esc-fp": "ESC-FP", "esc-light": "ESC-light", "esc": "ESC"}
_ABLATIONS = {
    "attention-only": "attention only",
    "conv-attn-only": "ConvAttn only",
    "large-kernel-9": "LK 9×9",
    "large-kernel-17": "LK 17×17",
    "unshared-static": "LK not shared, no DK",
    "unshared": "LK not shared",
    "window-16": "windows of 16, more layers",
    "window-24": "windows of 24, more layers",
}


@dataclass(frozen=True)
class TableRow:
    """A row of a table before it is measured.

    Attributes:
        title: As in the table.
        network: As `parse_way` reads it.
        paper: What the paper prints.
        reason: Why it cannot run here; "" where it can.
    """

    title: str
    network: str
    paper: PaperFigures = NOTHING_PRINTED
    reason: str = ""


def table_rows(table: str, scale: float | None) -> list[TableRow]:
    """The rows of one of the paper's tables.

    Args:
        table: In `TABLES`.
        scale: Which of its scales; None for table1, which has none.

    Returns:
        The rows, in an order of our own: our networks last.

    Raises:
        ConfigError: The table does not have this scale, or none at all.
    """
    scales, rows = TABLES[table]
    if table == "table1" and scale is not None:
        raise ConfigError("table1 is of a layer, which has no scale; leave it out.")
    if scales and scale not in scales:
        known = ", ".join(f"×{each}" for each in scales)
        raise ConfigError(f"{table} has the scales {known}, not ×{scale or 1:g}.")
    return rows(scale or 1)


def paper_rows(name: str, scale: float | None) -> PaperFigures:
    """What Table 2 prints for a network, where it is in it; else nothing."""
    family = name.lower().removesuffix(f"-x{scale:g}" if scale else "")
    if scale not in (2, 3, 4) or (family not in _OURS and family not in RIVALS):
        return NOTHING_PRINTED
    return _of_rival(family, int(scale)) if family in RIVALS else paper_figures(family, int(scale))


def _of_rival(name: str, scale: int) -> PaperFigures:
    rival = RIVALS[name]
    parameters, macs = rival.paper_parameters.get(scale), rival.paper_macs_g.get(scale)
    return replace(paper_figures(name, scale), parameters_k=parameters, macs_g=macs)


def _table1(_: float) -> list[TableRow]:
    rows = []
    for (side, window), (plain, fused) in ATTENTION_FIGURES.items():
        name, title = window_attention_name(window, side), f"{side}×{side}, window {window}"
        for kind, network, (ms, mb) in (
            ("plain", f"{name},attention=plain", plain),
            ("fused", name, fused),  # by --attention; the paper's is flex attention
        ):
            rows.append(TableRow(f"{title}, {kind}", network, PaperFigures(latency_ms=ms, memory_mb=mb)))
    return rows


def _table2(scale: float) -> list[TableRow]:
    rivals = [
        TableRow(rival.name, name, _of_rival(name, int(scale)), rival.reason)
        for name, rival in RIVALS.items()
    ]
    ours = [TableRow(title, name, paper_figures(name, int(scale))) for name, title in _OURS.items()]
    return rivals + ours


def _table3(_: float) -> list[TableRow]:
    rows = [
        TableRow(_ABLATIONS[name], f"{ABLATION_PREFIX}{name}", figures)
        for name, figures in ABLATION_FIGURES.items()
    ]
    return [*rows, TableRow("ESC", "esc", paper_figures("esc", 2))]


def _table5(scale: float) -> list[TableRow]:
    rivals = [
        TableRow(f"{rival.name}+LTE", f"{name}{LTE_SUFFIX}", reason=rival.reason)
        for name, rival in RIVALS.items()
        if rival.lte
    ]
    psnr = LTE_FIGURES["esc-lte"].get(scale)
    figures = PaperFigures(quality={} if psnr is None else {"DIV2K": (psnr, None)})
    return [*rivals, TableRow("ESC+LTE", "esc-lte", figures)]


TABLES: Mapping[str, tuple[tuple[int, ...], Callable[[float], list[TableRow]]]] = {
    "table1": ((), _table1),
    "table2": ((2, 3, 4), _table2),
    "table3": ((2,), _table3),
    "table5": ((), _table5),
}
"""By name: the scales that a table has, none for any, and its rows."""
