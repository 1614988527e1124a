"""`escsr evaluate`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from escsr.cli.console import (
    ERR,
    OUT,
    DeviceOption,
    ExitCode,
    ScaleOption,
    own_memory,
    plain,
    print_json,
    print_table,
    progress,
)
from escsr.cli.interrupts import finish_on_interrupt
from escsr.errors import ConfigError
from escsr.runtime.choices import Protocol

if TYPE_CHECKING:
    from escsr.evaluation.protocols import Evaluation

__all__ = ["evaluate"]


def evaluate(
    model: Annotated[
        list[str],
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="Model to measure: a name from `escsr models`, a file of weights, the folder of a "
            "training run, or bicubic. May be repeated.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Test pictures: the originals, which results are compared with. The small inputs are made "
            "from them, unless --lr is given.",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--real",
            metavar="FOLDER",
            help="Instead of --data: photos without originals. Measures how natural and how faithful the "
            "results look.",
        ),
    ] = None,
    scale: ScaleOption = None,
    strength: Annotated[
        float | None,
        typer.Option(help="Of model real, 0 to 1: how much of its sharper form, see `escsr upscale`."),
    ] = None,
    lr: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Small inputs (low resolution) for --data. If not given, they are made by the protocol.",
        ),
    ] = None,
    protocol: Annotated[
        Protocol,
        typer.Option(
            metavar="NAME",
            help="How to measure. classic: as in papers, whole scales. lte, lte-div2k: as in papers on any "
            "scale. bicubic-as-published: the bicubic figures that papers print.",
        ),
    ] = "classic",
    degradation: Annotated[
        str | None,
        typer.Option(
            "--degrade",
            metavar="PRESET",
            help="With --data: make noisy and compressed inputs (presets: `escsr data degrade --help`).",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="With --degrade: another number makes other damage.")] = 0,
    perceptual: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --data: also measure how similar results look, by the weights of VGG16, VGG19 or "
            "SqueezeNet in this file.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="With --real: also a metric of pyiqa, like musiq (requires the extra pyiqa). May be "
            "repeated.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure the quality of models on test pictures.

    Shows PSNR and SSIM of each picture and their means: higher is nearer to the original. The first Ctrl-C
    finishes the picture at hand, the second stops at once; what was measured is shown.
    """
    _check_kind(
        data,
        folder,
        for_data=(lr, degradation, perceptual, *([] if protocol == "classic" else [protocol])),
        metrics=metrics,
    )
    if seed and degradation is None:
        raise ConfigError("--seed is for --degrade; without it, nothing is drawn.")
    own_memory()
    from escsr.models.bundled import find_model

    for name in model:
        if name != "bicubic":
            find_model(name)  # an unknown name is answered before PyTorch is imported
    import escsr
    from escsr import images
    from escsr.evaluation.real import evaluate_real

    run: Callable[..., Evaluation]
    stop = threading.Event()
    both: dict[str, Any] = {"scale": scale, "strength": strength, "device": device, "stop": stop}
    if folder is not None:
        source = folder
        run = partial(evaluate_real, folder=folder, metrics=metrics or (), **both)
    else:
        assert data is not None
        source = data
        how: dict[str, Any] = {"lr": lr, "protocol": protocol, "degradation": degradation, "seed": seed}
        run = partial(escsr.evaluate, data=data, perceptual=perceptual, **how, **both)
    pictures = len(images.find_images(source))
    results: list[Evaluation] = []
    try:
        with finish_on_interrupt(stop, lambda: ERR.print(_FINISHING)):
            for name in model:
                # Beside other models the strength is theirs; bicubic has none.
                own = {"strength": None} if name == "bicubic" and len(model) > 1 else {}
                result = _watched(partial(run, **own), name, pictures, quiet=as_json)
                results += [result] if result.scores else []
                if stop.is_set():
                    break
    finally:  # what was measured before one that failed is not lost, nor cut by another Ctrl-C
        with finish_on_interrupt(threading.Event(), lambda: None):
            _print_all(results, as_json=as_json, is_list=len(model) > 1)
    if stop.is_set():
        raise typer.Exit(ExitCode.INTERRUPTED)


_FINISHING = "Finishing the current picture; press Ctrl-C again to stop at once."


def _print_all(results: list[Evaluation], *, as_json: bool, is_list: bool) -> None:
    """One document, or a table for each scale, and one for a model that was not measured to the end."""
    if as_json and results:
        printed = [result.to_dict() for result in results]
        print_json(printed if is_list else printed[0])
        return
    tables = dict.fromkeys((result.scale, result.left) for result in results)
    for number, table in enumerate(tables):
        if number:
            OUT.print()
        _print([result for result in results if (result.scale, result.left) == table])


def _print(results: list[Evaluation]) -> None:
    """One table, of models of one scale."""
    padding = "LR padded to the window" if any(x.padded_to_window for x in results) else "no padding"
    names = ", ".join(result.model for result in results)
    done, left = len(results[0].scores), results[0].left
    part = f"; interrupted, {done} of {done + left} pictures" if left else ""
    OUT.print(plain(f"{names} ×{results[0].scale:g}, protocol {results[0].protocol}, {padding}{part}"))
    print_table(_score_table(results))


def _watched(run: Callable[..., Evaluation], model: str, pictures: int, *, quiet: bool) -> Evaluation:
    """Measures one model with a progress bar that names and counts the pictures."""
    with progress(model, quiet) as report:
        done = count(1)
        return run(model, on_score=lambda score: report(next(done), pictures, f"{model}: {score.name}"))


def _check_kind(
    data: Path | None, folder: Path | None, *, for_data: Sequence[object], metrics: list[str] | None
) -> None:
    """Refuses options of the other kind of measurement, with HR pictures or without."""
    if (data is None) == (folder is None):
        raise ConfigError(
            "Give either --data (folder of originals) or --real (folder of photos without originals)."
        )
    if folder is not None and any(option is not None for option in for_data):
        raise ConfigError(
            "--lr, --protocol, --degrade and --perceptual are for --data; with --real the photos are "
            "upscaled as they are."
        )
    if data is not None and metrics:
        raise ConfigError("--metric is for --real; with --data, --protocol decides what is measured.")


def _score_table(results: list[Evaluation]) -> Table:
    """One row a picture, the figures of each model side by side."""
    table = Table("picture", box=None, pad_edge=False)
    columns = [(result, figure) for result in results for figure in result.means]
    for result, figure in columns:
        title, _ = _FIGURES.get(figure, (figure, 4))
        title += " ↓" if figure in result.lower_is_better else " ↑"
        whose = "" if len(results) == 1 else f"{result.model}\n"
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
