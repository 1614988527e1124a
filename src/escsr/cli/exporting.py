"""`escsr export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from escsr.cli.console import OUT, plain
from escsr.runtime.choices import ExportFormat

__all__ = ["export"]


def export(
    model: Annotated[
        str, Argument(help="Bundled name with its scale (see `escsr models`), or file of weights.")
    ],
    to: Annotated[
        ExportFormat, Option(help="ONNX, or OpenVINO's .xml and .bin; each is an extra.")
    ] = "onnx",
    output: Annotated[
        Path | None, Option("--output", "-o", help="The file; else named like the model, in this folder.")
    ] = None,
    static: Annotated[
        int | None, Option(help="Side in input pixels, for a file of one size; else it takes any.")
    ] = None,
    half: Annotated[bool, Option("--half", help="float16; norms and softmax stay float32.")] = False,
    opset: Annotated[int, Option(help="Version of ONNX's operators, 17 to 23.")] = 20,
) -> None:
    """Write a model as a file for other programs: what runs it, and how, is in docs/integrations.md."""
    from escsr.exports import export

    OUT.print(plain(export(model, to=to, output=output, static=static, half=half, opset=opset)))
