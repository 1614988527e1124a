"""`escsr publish`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from escsr.cli.console import OUT, plain

__all__ = ["publish"]


def publish(
    model: Annotated[
        str,
        typer.Argument(help="A model: its name, a file of weights, or a run's folder.", show_default=False),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Folder to write: a new one, or one that an earlier publish wrote.",
            show_default=False,
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the published model. If not given: its own.")
    ] = None,
    author: Annotated[str, typer.Option(help="Who publishes it.")] = "",
    licence: Annotated[
        str, typer.Option(help="SPDX name, like MIT or CC-BY-4.0. If not given: what the weights state.")
    ] = "",
    url: Annotated[str, typer.Option(help="Future address of the weights, for OpenModelDB.")] = "",
) -> None:
    """Write a model as a folder for the Hugging Face Hub, OpenModelDB and programs that use spandrel."""
    from escsr.models.bundled import find_model

    find_model(model)  # an unknown name is answered before PyTorch is imported
    from escsr.integrations.publishing import publish

    for path in publish(model, output, name=name, author=author, licence=licence, url=url):
        OUT.print(plain(path))
