"""`escsr compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from escsr.cli.console import OUT, DeviceOption, own_memory, plain, print_json, progress
from escsr.runtime.choices import Precision

if TYPE_CHECKING:
    from escsr.evaluation.side_by_side import SideBySide

__all__ = ["compare"]


def compare(
    picture: Annotated[Path, typer.Argument(help="Picture to upscale.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The page, .png or .html.", show_default=False)
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Bundled name, file of weights, auto, bicubic, nearest, or picture made by another tool; "
            "NAME=MODEL gives it a name. May be repeated; else bicubic and auto."
        ),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="Factor of both sides; else the models' own, or 4.")
    ] = None,
    crop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y,WxH",
            help="Place to show, in input pixels. May be repeated; else three are chosen.",
        ),
    ] = None,
    blind: Annotated[
        int | None, typer.Option(metavar="SEED", help="Shuffle the columns, unnamed; the key is printed.")
    ] = None,
    device: DeviceOption = "auto",
    precision: Annotated[Precision, typer.Option(help="Arithmetic of the network.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what several models make of a picture, side by side on a page.

    A PNG shows crops; an HTML file the whole results, with a wipe between two of them, zoom and keys.
    """
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
