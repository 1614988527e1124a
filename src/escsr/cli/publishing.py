"""`escsr publish`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from escsr.cli.console import OUT, plain

__all__ = ["publish"]


def publish(
    model: Annotated[
        str, typer.Argument(help="Name of a model, or a file of weights.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The folder, new or written so before.", show_default=False),
    ],
    name: Annotated[str | None, typer.Option(help="Of the published model; else its own.")] = None,
    author: Annotated[str, typer.Option(help="Who publishes it.")] = "",
    licence: Annotated[
        str, typer.Option(help="SPDX name, as MIT or CC-BY-4.0; else that of the weights' file.")
    ] = "",
    url: Annotated[str, typer.Option(help="Address that the weights will have, for OpenModelDB.")] = "",
) -> None:
    """Write a model as a folder for the Hugging Face Hub and for programs that load models by spandrel."""
    from escsr.models.bundled import find_model

    find_model(model)  # an unknown name is answered before PyTorch is imported
    from escsr.integrations.publishing import publish

    for path in publish(model, output, name=name, author=author, licence=licence, url=url):
        OUT.print(plain(path))
