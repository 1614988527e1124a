"""`escsr evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from escsr.cli.console import OUT, DeviceOption, own_memory, plain, print_json, print_table, progress
from escsr.errors import ConfigError
from escsr.runtime.choices import Protocol

if TYPE_CHECKING:
    from escsr.evaluation.protocols import Evaluation

__all__ = ["evaluate"]


def evaluate(
    model: Annotated[
        list[str],
        typer.Option(
            help="Bundled name, file of weights, or bicubic; may be repeated.", show_default=False
        ),
    ],
    data: Annotated[Path | None, typer.Option(help="Folder of HR pictures.")] = None,
    folder: Annotated[
        Path | None, typer.Option("--real", help="Instead of --data: folder of photos without HR.")
    ] = None,
    scale: Annotated[float | None, typer.Option(help="Scale per side; else the model's.")] = None,
    lr: Annotated[
        Path | None, typer.Option(help="Folder of LR pictures; else made as the protocol says.")
    ] = None,
    protocol: Annotated[Protocol, typer.Option(help="Step by step in docs/evaluation.md.")] = "classic",
    degradation: Annotated[
        str | None,
        typer.Option(
            "--degrade", help="With --data: damage the pictures by a preset (see `escsr data degrade`)."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="With --degrade: other damage.")] = 0,
    perceptual: Annotated[
        Path | None,
        typer.Option(help="With --data: also a distance by this VGG16, VGG19 or SqueezeNet file."),
    ] = None,
    device: DeviceOption = "auto",
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="With --real: measure of pyiqa beside NIQE and PIQE, as musiq; may be repeated.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure models: PSNR and SSIM per picture and their means, by a named protocol.

    With --real, on photos without HR: how natural the results look, and how faithful they are.
    """
    _check_kind(
        data,
        folder,
        for_data=(lr, degradation, perceptual, *([] if protocol == "classic" else [protocol])),
        metrics=metrics,
    )
    own_memory()
    from escsr.models.bundled import find_model

    for name in model:
        if name != "bicubic":
            find_model(name)  # an unknown name is answered before PyTorch is imported
    import escsr
    from escsr.evaluation.real import evaluate_real

    run: Callable[..., Evaluation]
    if folder is not None:
        run = partial(evaluate_real, folder=folder, scale=scale, device=device, metrics=metrics or ())
    else:
        assert data is not None
        how: dict[str, Any] = {"lr": lr, "protocol": protocol, "degradation": degradation, "seed": seed}
        run = partial(escsr.evaluate, data=data, scale=scale, device=device, perceptual=perceptual, **how)
    results = [_watched(run, name, quiet=as_json) for name in model]
    if as_json:
        printed = [result.to_dict() for result in results]
        print_json(printed[0] if len(printed) == 1 else printed)
    else:
        padding = "LR padded to the window" if any(x.padded_to_window for x in results) else "no padding"
        names = ", ".join(f"{x.model} ×{x.scale:g}" for x in results)
        OUT.print(plain(f"{names}, protocol {results[0].protocol}, {padding}"))
        print_table(_score_table(results))


def _watched(run: Callable[..., Evaluation], model: str, *, quiet: bool) -> Evaluation:
    """Measures one model with a progress bar that tells the pictures."""
    with progress(model, quiet) as report:
        return run(model, on_score=lambda score: report(text=f"{model}: {score.name}"))


def _check_kind(
    data: Path | None, folder: Path | None, *, for_data: Sequence[object], metrics: list[str] | None
) -> None:
    """Refuses options of the other kind of measurement, with HR pictures or without."""
    if (data is None) == (folder is None):
        raise ConfigError(
            "Give one of --data (folder of HR pictures) and --real (folder of photos without HR)."
        )
    if folder is not None and any(option is not None for option in for_data):
        raise ConfigError(
            "--lr, --protocol, --degrade and --perceptual are for --data; --real upscales the photos as "
            "they are."
        )
    if data is not None and metrics:
        raise ConfigError("--metric is for --real; with --data the protocol says what is measured.")


def _score_table(results: list[Evaluation]) -> Table:
    """One row a picture, the figures of each model side by side."""
    table = Table("picture", box=None, pad_edge=False)
    columns = [(result, figure) for result in results for figure in result.means]
    for result, figure in columns:
        title, _ = _FIGURES.get(figure, (figure, 4))
        title += " ↓" if figure in result.lower_is_better else " ↑"
        whose = "" if len(results) == 1 else f"{result.model} ×{result.scale:g}\n"
        table.add_column(plain(f"{whose}{title}"))
    for index, score in enumerate(results[0].scores):
        figures = [(figure, result.scores[index].figures[figure]) for result, figure in columns]
        table.add_row(plain(score.name), *(_formatted(*figure) for figure in figures))
    means = [_formatted(figure, result.means[figure]) for result, figure in columns]
    table.add_row("mean", *means, style="bold")
    return table


_FIGURES = {
    "psnr_y": ("Y-PSNR dB", 2),
    "psnr_rgb": ("RGB-PSNR dB", 2),
    "ssim_y": ("SSIM", 4),
    "vgg16_distance": ("VGG16 distance", 3),
    "vgg19_distance": ("VGG19 distance", 3),
    "squeezenet_distance": ("SqueezeNet distance", 3),
    "niqe": ("NIQE", 3),
    "piqe": ("PIQE", 2),
    "downscaled_psnr": ("downscaled Y-PSNR dB", 2),
    "colour_shift": ("colour shift /255", 2),
}
"""Titles and decimals of the figures that protocols measure; others have their names and four decimals."""


def _formatted(figure: str, value: float) -> str:
    _, decimals = _FIGURES.get(figure, ("", 4))
    return f"{value:.{decimals}f}"
