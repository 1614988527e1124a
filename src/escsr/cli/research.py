"""`escsr evaluate`, `escsr train`, `escsr recipes`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from escsr.cli.console import OUT, DeviceOption, own_memory, plain, progress_bar
from escsr.errors import ConfigError

if TYPE_CHECKING:
    from escsr.evaluation.protocols import Evaluation
    from escsr.training.trainer import Progress as TrainingProgress

__all__ = ["evaluate", "recipes", "train"]


def evaluate(
    data: Annotated[Path, typer.Option(help="Folder of HR pictures.", show_default=False)],
    model: Annotated[
        str, typer.Option(help="Bundled name, file of weights, or bicubic.", show_default=False)
    ],
    scale: Annotated[int | None, typer.Option(help="Enlargement per side; else the model's.")] = None,
    lr: Annotated[
        Path | None, typer.Option(help="Folder of LR pictures; else made by MATLAB's bicubic.")
    ] = None,
    protocol: Annotated[str, typer.Option(help="classic or bicubic-as-published.")] = "classic",
    device: DeviceOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure a model: Y-PSNR and SSIM per picture and their means, by a named protocol."""
    own_memory()
    import escsr

    with progress_bar(as_json) as bar:
        task = bar.add_task("Evaluating", total=None)
        result = escsr.evaluate(
            model,
            data,
            scale=scale,
            lr=lr,
            protocol=protocol,  # type: ignore[arg-type]
            device=device,
            on_score=lambda score: bar.update(task, description=plain(score.name)),
        )
    if as_json:
        sys.stdout.write(json.dumps(result.to_dict(), indent=1) + "\n")
    else:
        OUT.print(_score_table(result))


def train(
    recipe: Annotated[
        str, typer.Option(help="Name of a recipe (see `escsr recipes`).", show_default=False)
    ],
    data: Annotated[Path, typer.Option(help="Folder of HR pictures.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.", show_default=False)],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe."),
    ] = None,
    validate: Annotated[
        list[Path] | None, typer.Option(help="Folder of HR pictures to measure on; may be repeated.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Model to start from, instead of random weights.")
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Train a network; the same command again goes on where it stopped.

    Checkpoints in the output folder are models: `escsr upscale --model OUTPUT/best.safetensors`.
    """
    own_memory()
    import escsr

    with progress_bar(False) as bar:
        task = bar.add_task("Reading pictures", total=None)

        def show(progress: TrainingProgress) -> None:
            bar.update(
                task,
                total=progress.iterations,
                completed=progress.iteration,
                description=f"{progress.iteration}/{progress.iterations}  loss {progress.loss:.4f}  "
                f"{progress.iterations_per_second:.2f} it/s",
            )
            if progress.checkpoint:
                OUT.print(plain(_training_line(progress)))

        last = escsr.train(
            recipe,
            data,
            output,
            settings=settings or (),
            validate=_named_folders(validate or []),
            start=start,
            device=device,
            on_load=lambda done, total: bar.update(task, completed=done, total=total),
            on_progress=show,
        )
    OUT.print(f"Trained: {plain(str(last))}")


def recipes() -> None:
    """List the training recipes."""
    from escsr.training.recipes import RECIPES

    table = Table("recipe", "what it is", box=None, pad_edge=False)
    for name, function in RECIPES.items():
        table.add_row(name, (function.__doc__ or "").splitlines()[0])
    OUT.print(table)


def _score_table(result: Evaluation) -> Table:
    padding = "LR padded to the window" if result.padded_to_window else "no padding"
    title = f"{result.model} ×{result.scale}, protocol {result.protocol}, {padding}"
    table = Table(
        "picture", "Y-PSNR dB", "SSIM", title=title, box=None, pad_edge=False, title_justify="left"
    )
    for score in result.scores:
        table.add_row(plain(score.name), f"{score.psnr_y:.2f}", f"{score.ssim_y:.4f}")
    table.add_row("mean", f"{result.psnr_y:.2f}", f"{result.ssim_y:.4f}", style="bold")
    return table


def _training_line(progress: TrainingProgress) -> str:
    minutes = (progress.iterations - progress.iteration) / progress.iterations_per_second / 60
    figures = "".join(f"  {name} {value:.2f} dB" for name, value in progress.validation.items())
    return (
        f"{progress.iteration}/{progress.iterations}  loss {progress.loss:.4f}  "
        f"{progress.iterations_per_second:.2f} it/s  {minutes:.0f} min left{figures}"
    )


def _named_folders(folders: list[Path]) -> dict[str, Path]:
    """Validation folders by a short name: Set5/HR is called Set5."""
    named = {(path.parent.name if path.name in ("HR", "hr") else path.name): path for path in folders}
    if len(named) != len(folders):
        raise ConfigError("Validation folders need different names.")
    return named
