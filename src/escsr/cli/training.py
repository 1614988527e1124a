"""`escsr train`."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Annotated

import typer

from escsr.cli.console import ERR, OUT, DeviceOption, ExitCode, own_memory, plain
from escsr.cli.interrupts import finish_on_interrupt
from escsr.cli.training_view import TrainingView
from escsr.errors import ConfigError

__all__ = ["train"]


def train(
    recipe: Annotated[
        str, typer.Option(help="Name of a recipe (see `escsr recipes`).", show_default=False)
    ],
    data: Annotated[
        list[Path], typer.Option(help="Folder of HR pictures; may be repeated.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.", show_default=False)],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe."),
    ] = None,
    lr: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of LR pictures, one for each --data; else they are made."),
    ] = None,
    validate: Annotated[
        list[Path] | None, typer.Option(help="Folder of HR pictures to measure on; may be repeated.")
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Model to start from, instead of the recipe's or random weights.")
    ] = None,
    device: DeviceOption = "auto",
    storage: Annotated[
        str, typer.Option(help="Where the pictures are kept: auto, memory, mapped (on disk) or cuda.")
    ] = "auto",
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write TensorBoard's files into the run's folder.")
    ] = False,
) -> None:
    """Train a network; the same command again goes on where it stopped.

    Checkpoints in the output folder are models: `escsr upscale --model OUTPUT/best.safetensors`.
    Ctrl-C, or a TERM, HUP or USR1 signal, finishes the step at hand and writes a checkpoint. Started by
    `torchrun --nproc-per-node N -m escsr train ...`, or by SLURM's `srun`, N processes share the work.
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
            stop=stop,
            on_load=view.loading,
            on_progress=view.step,
        )
    stopped = stop.is_set() and not view.is_finished
    if is_first and stopped:
        ERR.print(f"Stopped; the same command goes on from {plain(last)}.")
    elif is_first:
        OUT.print(f"Trained: {plain(last)}")
    if stopped:
        raise typer.Exit(ExitCode.INTERRUPTED)


_FINISHING = "Finishing the step at hand and writing a checkpoint; press Ctrl-C again to stop at once."
_SIGNALS = ("SIGTERM", "SIGUSR1", "SIGHUP")
"""What schedulers send before they end a job, and a terminal that is closed."""


def _named_folders(folders: list[Path]) -> dict[str, Path]:
    """Validation folders by a short name: Set5/HR is called Set5."""
    named = {(path.parent.name if path.name in ("HR", "hr") else path.name): path for path in folders}
    if len(named) != len(folders):
        raise ConfigError("Validation folders need different names.")
    return named
