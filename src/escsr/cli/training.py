"""`escsr train`."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Annotated

import typer

from escsr.cli.console import ERR, OUT, DeviceOption, ExitCode, own_memory, plain, unless_closed
from escsr.cli.interrupts import finish_on_interrupt
from escsr.cli.training_view import TrainingView
from escsr.errors import ConfigError

__all__ = ["train"]


def train(
    recipe: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="A recipe from `escsr recipes`, or a file (.json or .toml; each run writes recipe.json).",
            show_default=False,
        ),
    ],
    data: Annotated[
        list[Path],
        typer.Option(
            metavar="FOLDER",
            help="Training pictures: sharp originals (high resolution). May be repeated.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="Folder for models and logs.", show_default=False
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting of the recipe (`escsr recipes show NAME` lists them). May be repeated.",
        ),
    ] = None,
    lr: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Small inputs (low resolution), one folder for each --data. If not given, they are made "
            "from the originals.",
        ),
    ] = None,
    validate: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Test pictures (originals) to measure on during training. May be repeated.",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Model to start from. If not given: as the recipe says, or random weights."
        ),
    ] = None,
    device: DeviceOption = "auto",
    storage: Annotated[
        str,
        typer.Option(
            metavar="WHERE",
            help="Where the pictures are kept: auto, memory, mapped (a file on disk) or cuda (the GPU).",
            rich_help_panel="Computation",
        ),
    ] = "auto",
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard", help="Also log to TensorBoard, in the output folder (extra tensorboard)."
        ),
    ] = False,
    wandb: Annotated[
        bool,
        typer.Option(
            "--wandb",
            help="Also log to Weights & Biases, which uploads figures and sample pictures (extra wandb).",
        ),
    ] = False,
) -> None:
    """Train a model. The same command again continues where it stopped.

    The result: `escsr upscale photo.jpg --model FOLDER`.

    Ctrl-C, or a signal TERM, HUP or USR1, finishes the current step and saves a checkpoint. To share the
    work among several processes, start it by `torchrun --nproc-per-node N -m escsr train ...` or SLURM's
    `srun`.
    """
    own_memory()
    import escsr

    # Of several processes, only the first speaks.
    is_first = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"
    stop = threading.Event()
    with (
        TrainingView(quiet=not is_first) as view,
        finish_on_interrupt(stop, lambda: ERR.print(_FINISHING) if is_first else None, also=_SIGNALS),
    ):
        last = escsr.train(
            recipe,
            data,
            output,
            settings=settings or (),
            lr=lr,
            validate=_named_folders(validate or []),
            start=start,
            device=device,
            storage=storage,
            tensorboard=tensorboard,
            wandb=wandb,
            stop=stop,
            on_load=view.loading,
            on_progress=view.step,
        )
    stopped = stop.is_set() and not view.is_finished
    with unless_closed():
        if is_first and stopped:
            ERR.print(f"Stopped. The same command continues from {plain(last)}.")
        elif is_first:
            OUT.print(f"Trained: {plain(last)}")
    if stopped:
        raise typer.Exit(ExitCode.INTERRUPTED)


_FINISHING = "Finishing the current step and saving a checkpoint; press Ctrl-C again to stop at once."
_SIGNALS = ("SIGTERM", "SIGUSR1", "SIGHUP")
"""What schedulers send before they end a job, and a terminal that is closed."""


def _named_folders(folders: list[Path]) -> dict[str, Path]:
    """Validation folders by a short name: Set5/HR is called Set5."""
    from escsr.evaluation.comparison import set_name

    named = {set_name(path): path for path in folders}
    if len(named) != len(folders):
        raise ConfigError("Validation folders must have different names.")
    return named
