"""`escsr compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from escsr.cli.console import (
    OUT,
    DeviceOption,
    PrecisionOption,
    own_memory,
    plain,
    print_json,
    progress,
    scale_of,
)

if TYPE_CHECKING:
    from escsr.evaluation.side_by_side import SideBySide

__all__ = ["compare"]


def compare(
    picture: Annotated[
        Path, typer.Argument(metavar="PICTURE", help="Picture to upscale.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Page to write: .html (whole results, with a slider, works offline) or .png (details).",
            show_default=False,
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="A model as for `escsr upscale`, bicubic, nearest, or a result of another program as a "
            "picture file. TITLE=NAME gives it a title. May be repeated. If not given: bicubic and auto.",
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            "--scale",
            "-s",
            parser=scale_of,
            metavar="X",
            help="Factor of both sides. If not given: that of the models, or 4.",
        ),
    ] = None,
    crop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y,W,H",
            help="Detail to show: left, top, width, height in input pixels. May be repeated. If not given: "
            "three places with much detail.",
        ),
    ] = None,
    blind: Annotated[
        int | None,
        typer.Option(
            metavar="SEED", help="Hide which result is whose; the solution is printed. Any number."
        ),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the results of several models side by side on a page."""
    own_memory()
    from escsr.evaluation.contenders import parse_contenders

    parse_contenders(model or ())  # a mistake is answered before PyTorch is imported
    from escsr.evaluation.side_by_side import compare_picture

    with progress("Reading", as_json) as report:
        result = compare_picture(
            picture,
            output,
            model=model or (),
            scale=scale,
            crop=crop or (),
            blind=blind,
            device=device,
            precision=precision,
            on_progress=lambda column, share: report(share, 1.0, column),
        )
    if as_json:
        print_json(result.to_dict())
    else:
        _print(result)


def _print(result: SideBySide) -> None:
    OUT.print(plain(f"{result.output}: {result.size[0]}×{result.size[1]} pixels, ×{result.scale:g}"))
    for note in result.notes:
        OUT.print(plain(f"  {note}"))
    for column in result.columns:
        whose = column.label if column.label == column.name else f"{column.label} = {column.name}"
        seconds = "" if column.seconds is None else f"{column.seconds:.2f} s"
        OUT.print(plain("  ".join(filter(None, (whose, seconds, *column.notes)))))
    OUT.print(plain("Crops: " + "  ".join(map(str, result.crops))))
