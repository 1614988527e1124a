"""The command `escsr`: one function per command, each a door to the Python function of that name."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from escsr import __version__
from escsr.errors import (
    ConfigError,
    DeviceError,
    EscError,
    ModelNotFoundError,
    NoPicturesError,
    OutputError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from escsr.batch import Job
    from escsr.evaluation.protocols import Evaluation
    from escsr.training.trainer import Progress as TrainingProgress

__all__ = ["app", "main"]


class ExitCode(IntEnum):
    """What the command's exit status means."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_PICTURES = 3
    NO_MODEL = 4
    NO_DEVICE = 5


app = typer.Typer(
    name="escsr",
    help="Super-resolution with the ESC networks: enlarge pictures, train and measure models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)
_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)

ModelOption = Annotated[
    str,
    typer.Option(help="Bundled name, with or without its scale (see `escsr models`), or file of weights."),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, xpu or mps.")]


def main() -> None:
    """Runs the command; a user's mistake is one line on stderr and an exit code, not a traceback."""
    try:
        app()
    except EscError as error:
        _err.print(f"[red]Error:[/] {_plain(str(error))}")
        sys.exit(_exit_code(error))


@app.command()
def upscale(
    inputs: Annotated[
        list[str], typer.Argument(help="Pictures, and folders of pictures.", show_default=False)
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", help="File for one picture, folder for several; else beside the input."
        ),
    ] = None,
    model: ModelOption = "esc-light",
    scale: Annotated[
        float | None, typer.Option(help="Enlargement per side; else the model's, or 2.")
    ] = None,
    device: DeviceOption = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, tf32, bfloat16 or float16.")] = "auto",
    tile_size: Annotated[
        int | None, typer.Option(help="Tile side in input pixels; the result does not depend on it.")
    ] = None,
    maps: Annotated[
        str,
        typer.Option(help="Feature maps: auto, float32, float16 (half the memory) or file (on disk)."),
    ] = "auto",
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Mean over 8 flips and turns: 8 times the work.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Enlarge pictures.

    Depth, transparency, colour profile and metadata are kept; the format is that of the output's ending.
    """
    _own_memory()
    from escsr import batch, images

    failed = 0
    with _progress(quiet) as bar:
        task = bar.add_task("Loading the model", total=None)

        def show(job: Job, share: float) -> None:
            bar.update(task, description=_plain(job.source.name), total=1.0, completed=share)

        outcomes = batch.upscale(
            inputs,
            output,
            model=model,
            scale=scale,
            device=device,
            precision=precision,  # type: ignore[arg-type]
            tile_size=tile_size,
            maps=maps,  # type: ignore[arg-type]
            ensemble=ensemble,
            on_progress=show,
        )
        for outcome in outcomes:
            if outcome.error is not None:
                failed += 1
                _err.print(f"[red]Error:[/] {_plain(str(outcome.error))}")
            elif not quiet:
                size = "×".join(map(str, images.read_size(outcome.job.target)))
                _out.print(f"{_plain(str(outcome.job.target))}  {size}  {outcome.seconds:.1f} s")
    if failed:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
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
    _own_memory()
    import escsr

    with _progress(as_json) as bar:
        task = bar.add_task("Evaluating", total=None)
        result = escsr.evaluate(
            model,
            data,
            scale=scale,
            lr=lr,
            protocol=protocol,  # type: ignore[arg-type]
            device=device,
            on_score=lambda score: bar.update(task, description=_plain(score.name)),
        )
    if as_json:
        sys.stdout.write(json.dumps(result.to_dict(), indent=1) + "\n")
    else:
        _out.print(_score_table(result))


@app.command()
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
    _own_memory()
    import escsr

    with _progress(False) as bar:
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
                _out.print(_plain(_training_line(progress)))

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
    _out.print(f"Trained: {_plain(str(last))}")


@app.command()
def models() -> None:
    """List the bundled models."""
    from escsr.checkpoints import find_model, list_models, read_checkpoint

    table = Table("model", "scale", "parameters", "licence", "training", box=None, pad_edge=False)
    for name in list_models():
        checkpoint = read_checkpoint(find_model(name))
        count = sum(weight.numel() for weight in checkpoint.weights.values())
        fields = checkpoint.metadata
        table.add_row(
            name, f"×{fields['scale']}", f"{count:,}", fields.get("licence", ""), fields.get("training", "")
        )
    _out.print(table)


@app.command()
def recipes() -> None:
    """List the training recipes."""
    from escsr.training.recipes import RECIPES

    table = Table("recipe", "what it is", box=None, pad_edge=False)
    for name, function in RECIPES.items():
        table.add_row(name, (function.__doc__ or "").splitlines()[0])
    _out.print(table)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"escsr {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


def _own_memory() -> None:
    from escsr.allocator import keep_freed_memory

    keep_freed_memory()


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    """A bar on stderr, on a terminal only."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    disabled = quiet or not _err.is_terminal
    with Progress(*columns, console=_err, transient=True, disable=disabled) as bar:
        yield bar


def _score_table(result: Evaluation) -> Table:
    padding = "LR padded to the window" if result.padded_to_window else "no padding"
    title = f"{result.model} ×{result.scale}, protocol {result.protocol}, {padding}"
    table = Table(
        "picture", "Y-PSNR dB", "SSIM", title=title, box=None, pad_edge=False, title_justify="left"
    )
    for score in result.scores:
        table.add_row(_plain(score.name), f"{score.psnr_y:.2f}", f"{score.ssim_y:.4f}")
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


def _exit_code(error: EscError) -> ExitCode:
    table: list[tuple[type[EscError], ExitCode]] = [
        (NoPicturesError, ExitCode.NO_PICTURES),
        (ModelNotFoundError, ExitCode.NO_MODEL),
        (DeviceError, ExitCode.NO_DEVICE),
        (ConfigError, ExitCode.USAGE),
        (OutputError, ExitCode.USAGE),
    ]
    return next((code for kind, code in table if isinstance(error, kind)), ExitCode.FAILED)


def _plain(text: Any) -> str:
    """Text for rich that holds no markup of its own."""
    from rich.markup import escape

    return escape(str(text))
