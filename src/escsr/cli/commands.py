"""All commands in one application, and what its errors become."""

from __future__ import annotations

import gc
import sys
from typing import Annotated

import typer

from escsr import errors
from escsr._version import __version__
from escsr.cli.analysing import analyse
from escsr.cli.benchmarking import benchmark
from escsr.cli.comparing import compare
from escsr.cli.console import ERR, ExitCode, drop_output, plain, prepare_streams
from escsr.cli.data import data
from escsr.cli.exporting import export
from escsr.cli.fleet import fleet
from escsr.cli.interrupts import end_on_signals, import_numpy_before_torch
from escsr.cli.models import doctor, models
from escsr.cli.publishing import publish
from escsr.cli.recipes import recipes
from escsr.cli.research import evaluate
from escsr.cli.root import FORMER_NAMES, Root
from escsr.cli.serving import serve
from escsr.cli.training import train
from escsr.cli.upscaling import upscale

__all__ = ["app", "run"]

app = typer.Typer(
    name="escsr",
    cls=Root,
    help="Upscale pictures: `escsr photo.jpg` writes photo_x2.jpg. Train and measure models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={
        "token_normalize_func": lambda name: FORMER_NAMES.get(name, name),
        "help_option_names": ["-h", "--help"],
    },
)
for _command in (upscale, fleet, compare, serve, evaluate, benchmark, train, export, publish, doctor):
    app.command()(_command)
app.add_typer(analyse, name="analyse")
app.add_typer(models, name="models")
app.add_typer(data, name="data")
app.add_typer(recipes, name="recipes")

_EXIT_CODES = {
    errors.NoImagesError: ExitCode.NO_PICTURES,
    errors.ModelNotFoundError: ExitCode.NO_MODEL,
    errors.DeviceError: ExitCode.NO_DEVICE,
    errors.ConfigError: ExitCode.USAGE,
    errors.OutputError: ExitCode.USAGE,
}
"""By kind of error; other kinds are failures."""


def run() -> None:
    """Runs the command; a user's mistake is one line on stderr and an exit code, not a traceback.

    What is left at the end the system takes back: Python would look for cycles among PyTorch's modules
    several times while it ends (`benchmarks/start_up.py`).
    """
    prepare_streams()
    end_on_signals()
    import_numpy_before_torch()
    try:
        try:
            app()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
            if "OpenImageIO" not in sys.modules:  # which lists on stderr what is left
                gc.freeze()
    except errors.EscError as error:
        message, code = str(error), _EXIT_CODES.get(type(error), ExitCode.FAILED)
    except OSError as error:  # nearly always of a stream: those of files are `EscError`
        what = "Cannot write the output" if error.filename is None else error.filename
        message, code = f"{what}: {error.strerror or error}.", ExitCode.USAGE
        drop_output()
    ERR.print(f"[red]Error:[/] {plain(message)}")
    sys.exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"escsr {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...
