"""`escsr evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from escsr.cli.console import OUT, DeviceOption, own_memory, plain, print_json, print_table, progress
from escsr.runtime.choices import Protocol

if TYPE_CHECKING:
    from escsr.evaluation.protocols import Evaluation, Score

__all__ = ["evaluate"]


def evaluate(
    data: Annotated[Path, typer.Option(help="Folder of HR pictures.", show_default=False)],
    model: Annotated[
        list[str],
        typer.Option(
            help="Bundled name, file of weights, or bicubic; may be repeated.", show_default=False
        ),
    ],
    scale: Annotated[float | None, typer.Option(help="Scale per side; else the model's.")] = None,
    lr: Annotated[
        Path | None, typer.Option(help="Folder of LR pictures; else made as the protocol says.")
    ] = None,
    protocol: Annotated[Protocol, typer.Option(help="Step by step in docs/evaluation.md.")] = "classic",
    device: DeviceOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure models: PSNR and SSIM per picture and their means, by a named protocol."""
    own_memory()
    from escsr.models.bundled import find_model

    for name in model:
        if name != "bicubic":
            find_model(name)  # an unknown name is answered before PyTorch is imported
    import escsr

    def measured(name: str) -> Evaluation:
        def show(score: Score) -> None:
            report(text=f"{name}: {score.name}")

        with progress(name, as_json) as report:
            return escsr.evaluate(
                name, data, scale=scale, lr=lr, protocol=protocol, device=device, on_score=show
            )

    results = [measured(name) for name in model]
    if as_json:
        printed = [result.to_dict() for result in results]
        print_json(printed[0] if len(printed) == 1 else printed)
    else:
        padding = "LR padded to the window" if any(x.padded_to_window for x in results) else "no padding"
        names = ", ".join(f"{x.model} ×{x.scale:g}" for x in results)
        OUT.print(plain(f"{names}, protocol {results[0].protocol}, {padding}"))
        print_table(_score_table(results))


def _score_table(results: list[Evaluation]) -> Table:
    """One row a picture, the figures of each model side by side."""
    table = Table("picture", box=None, pad_edge=False)
    columns = [(result, figure) for result in results for figure in result.means]
    for result, figure in columns:
        title, _ = _FIGURES[figure]
        whose = "" if len(results) == 1 else f"{result.model} ×{result.scale:g}\n"
        table.add_column(plain(f"{whose}{title}"))
    for index, score in enumerate(results[0].scores):
        figures = [(figure, result.scores[index].figures[figure]) for result, figure in columns]
        table.add_row(plain(score.name), *(_formatted(*figure) for figure in figures))
    means = [_formatted(figure, result.means[figure]) for result, figure in columns]
    table.add_row("mean", *means, style="bold")
    return table


_FIGURES = {"psnr_y": ("Y-PSNR dB", 2), "psnr_rgb": ("RGB-PSNR dB", 2), "ssim_y": ("SSIM", 4)}
"""Titles and decimals of the figures that protocols measure."""


def _formatted(figure: str, value: float) -> str:
    return f"{value:.{_FIGURES[figure][1]}f}"
