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
        str,
        Argument(help="A model: its name (see `escsr models`), a file of weights, or a run's folder."),
    ],
    to: Annotated[
        ExportFormat,
        Option(metavar="onnx|openvino", help="onnx: one .onnx file. openvino: .xml and .bin."),
    ] = "onnx",
    output: Annotated[
        Path | None,
        Option(
            "--output",
            "-o",
            metavar="PATH",
            help="File to write. If not given: esc-light-x2.onnx and the like, in the current folder.",
        ),
    ] = None,
    static: Annotated[
        int | None,
        Option(metavar="SIDE", help="For pictures of SIDE×SIDE pixels only. If not given: of any size."),
    ] = None,
    half: Annotated[
        bool, Option("--half", help="Use float16, but float32 for norms and softmax: half the size.")
    ] = False,
    opset: Annotated[int, Option(help="Version of ONNX's operators, 17 to 23.")] = 20,
) -> None:
    """Write a model as a file for other programs: ONNX or OpenVINO.

    Which program takes which file is described in docs/integrations.md.
    """
    from escsr.exports import export

    OUT.print(plain(export(model, to=to, output=output, static=static, half=half, opset=opset)))
