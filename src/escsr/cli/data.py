"""`escsr data` with prepare, verify, identify-lr, degrade and sets: pictures before the training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.table import Table

from escsr.cli.console import ERR, OUT, ExitCode, plain, print_json, print_table, progress
from escsr.runtime.choices import Resizer

__all__ = ["data", "degrade", "identify_lr", "prepare", "sets", "verify"]

data = typer.Typer(
    help="Training pictures: make sets, check them, see how they are damaged.",
    no_args_is_help=True,
    add_completion=False,
)

_LINES_PER_KIND = 20
"""Findings of a kind that are printed; --json has them all."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@data.command()
def prepare(
    sources: Annotated[
        list[Path], typer.Argument(metavar="FOLDERS", help="Folders of pictures, with their subfolders.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FOLDER", help="Folder of the new set.", show_default=False),
    ],
    sub_image: Annotated[
        int | None,
        typer.Option(help="Cut into squares of N pixels. If not given: whole pictures."),
    ] = None,
    step: Annotated[
        int | None,
        typer.Option(help="Pixels from one square to the next. If not given: N, so that none overlap."),
    ] = None,
    lr: Annotated[
        Resizer,
        typer.Option(metavar="NAME", help=f"How small inputs are made: {', '.join(get_args(Resizer))}."),
    ] = "matlab-bicubic",
    scale: Annotated[
        list[int] | None,
        typer.Option(help="Also make small inputs for this scale. May be repeated."),
    ] = None,
    resize: Annotated[
        list[float] | None,
        typer.Option(
            metavar="FACTOR",
            help="Take pictures at this part of their size, like 0.5; 1 is as they are. May be repeated. "
            "Smaller copies show finer detail, and less of the compression of their files.",
        ),
    ] = None,
    rotate: Annotated[
        bool,
        typer.Option(
            "--rotate",
            help="Also take each picture rotated by 15 to 75 degrees, at the sizes of --resize; best at "
            "0.7 or less, as rotating softens pictures.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a training set: pictures cut into squares, and their small inputs.

    The same command again continues where it stopped.
    """
    from escsr.data.sets import prepare as preparing

    _tell_licences(sources)
    with progress("Preparing", as_json) as report:
        preparation = preparing.prepare(
            sources,
            output,
            sub_image=sub_image,
            step=step,
            lr=lr,
            scale=scale or (),
            resize=resize or (),
            rotate=rotate,
            on_progress=report,
        )
    for path, reason in preparation.failures:
        ERR.print(f"[red]Error:[/] {plain(f'{path}: {reason}')}")
    if as_json:
        print_json(preparation.to_dict())
    else:
        OUT.print(plain(f"{preparation.hr}: {_count(preparation.num_images, 'picture')} HR"))
        for each, folder in preparation.lr.items():
            OUT.print(plain(f"{folder}: LR ×{each} by {lr}"))
        skipped = f", {preparation.num_skipped} of them done before" if preparation.num_skipped else ""
        failed = f"; {len(preparation.failures)} failed" if preparation.failures else ""
        OUT.print(f"From {_count(preparation.num_sources, 'source')}{skipped}{failed}.")
        OUT.print(f"Fingerprint {preparation.fingerprint}")
    if preparation.others:
        named = ", ".join(preparation.others[:5]) + (", ..." if len(preparation.others) > 5 else "")
        ERR.print(
            plain(
                f"Still there from earlier runs, and of no source given now: {named}. A training takes "
                "these too; to be rid of them, prepare the set in a new folder."
            )
        )
    if preparation.failures:
        raise typer.Exit(ExitCode.FAILED)


@data.command()
def verify(
    hr: Annotated[
        list[Path], typer.Argument(metavar="FOLDERS", help="Folders of originals (high resolution).")
    ],
    lr: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="Their small inputs, one folder for each of the originals."),
    ] = None,
    scale: Annotated[
        int | None, typer.Option(help="Scale from small inputs to originals; required with --lr.")
    ] = None,
    patch_size: Annotated[
        int, typer.Option(help="Side of the patches to train with, in pixels of the small inputs.")
    ] = 64,
    as_json: JsonOption = False,
) -> None:
    """Check training pictures: damaged files, sizes, duplicates, pairs that do not fit.

    The exit status is 1 where something has to be repaired.
    """
    from escsr.data.sets import verify as verifying

    _tell_licences(hr)
    with progress("Verifying", as_json) as report:
        result = verifying.verify(hr, lr=lr or None, scale=scale, patch_size=patch_size, on_progress=report)
    if as_json:
        print_json(result.to_dict())
    else:
        counts: Counter[str] = Counter()
        for problem in (*result.faults, *result.warnings):
            counts[problem.kind] += 1
            if counts[problem.kind] <= _LINES_PER_KIND:
                style = "red" if problem.is_fault else "yellow"
                OUT.print(f"[{style}]{problem.kind}[/]  {plain(f'{problem.path}: {problem.message}')}")
        for kind, count in counts.items():
            if count > _LINES_PER_KIND:
                OUT.print(f"{kind}: {count - _LINES_PER_KIND} more; --json has them all")
        pairs = f", {_count(result.num_pairs, 'pair')}" if result.num_pairs else ""
        faults, warnings = _count(len(result.faults), "fault"), _count(len(result.warnings), "warning")
        OUT.print(f"{_count(result.num_images, 'picture')}{pairs}: {faults}, {warnings}.")
        OUT.print(f"Fingerprint {result.fingerprint}")
    if result.faults:
        raise typer.Exit(ExitCode.FAILED)


@data.command("identify-lr")
def identify_lr(
    hr: Annotated[Path, typer.Argument(metavar="HR", help="Folder of originals (high resolution).")],
    lr: Annotated[
        Path, typer.Argument(metavar="LR", help="Folder of their small inputs (low resolution).")
    ],
    scale: Annotated[int, typer.Option(help="Scale from small inputs to originals.", show_default=False)],
    max_images: Annotated[
        int, typer.Option(help="Compare at most N pictures, spread over the folder.")
    ] = 20,
    as_json: JsonOption = False,
) -> None:
    """Find out how small inputs were made from their originals, by trying all known ways."""
    from escsr.data.sets import identify

    with progress("Comparing", as_json) as report:
        result = identify.identify_lr(hr, lr, scale=scale, max_images=max_images, on_progress=report)
    if as_json:
        print_json(result.to_dict())
        return
    columns = ("resizer", "PSNR dB", "largest difference", "samples that differ")
    table = Table(*columns, box=None, pad_edge=False)
    for score in result.scores:
        psnr = "equal" if math.isinf(score.psnr) else f"{score.psnr:.2f}"
        table.add_row(score.resizer, psnr, str(score.max_difference), f"{score.differing_share:.2%}")
    print_table(table)
    OUT.print(plain(f"\n{_count(result.num_images, 'picture')} at ×{scale}: {result.verdict}."))


@data.command()
def degrade(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="A clean picture.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Picture to write.", show_default=False)
    ],
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="real-esrgan, gentle, compressed, bsrgan, resshift, mixed or bicubic."
        ),
    ] = "real-esrgan",
    count: Annotated[int, typer.Option(help="Number of samples.")] = 12,
    scale: Annotated[int, typer.Option(help="Scale of the training.")] = 4,
    side: Annotated[int, typer.Option(help="Show the middle N pixels of the picture.")] = 256,
    seed: Annotated[int, typer.Option(help="Another number makes other samples.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Show how pictures are damaged in training for real photos: a sheet of samples.

    The clean picture comes first. --json prints what was done to each sample.
    """
    from escsr.data.degradations.sheet import write_contact_sheet

    sheet = write_contact_sheet(
        picture, output, preset=preset, count=count, scale=scale, side=side, seed=seed
    )
    if as_json:
        print_json([[{type(step).__name__: vars(step)} for step in steps] for steps in sheet.steps])
    else:
        OUT.print(plain(f"{output}: the picture, then {_count(count, 'sample')} of {preset}, ×{scale}"))


@data.command()
def sets(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="FOLDERS", help="Folders to look for known sets in.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List known training and test sets with their licences, or those found in folders.

    Nothing is downloaded; the pictures are to be had from their owners.
    """
    from escsr.data.sets.known_sets import KNOWN_SETS, locate

    located = [each for folder in folders or () for each in locate(folder)]
    if as_json:
        there = [{"set": asdict(each.known), "hr": each.hr, "lr": each.lr} for each in located]
        print_json(there if folders else [asdict(known) for known in KNOWN_SETS])
    elif not folders:
        table = Table("set", "use", "pictures", "licence", "from", box=None, pad_edge=False)
        for known in KNOWN_SETS:
            count = "" if known.num_images is None else f"{known.num_images:,}"
            table.add_row(known.name, known.use, count, known.licence, known.homepage)
        print_table(table)
    elif not located:
        OUT.print("No known set found; any folder of pictures can be used for training.")
    else:
        for each in located:
            OUT.print(plain(f"{each.known.name} ({each.known.use}): {each.known.licence}"))
            OUT.print(plain(f"  HR     {each.hr}"))
            for scale, lr in each.lr.items():
                OUT.print(plain(f"  LR ×{scale}  {lr}"))


def _tell_licences(folders: Sequence[Path]) -> None:
    """Tells on stderr the licences of the known sets among the folders."""
    from escsr.data.sets.known_sets import locate

    for each in dict.fromkeys(located.known for folder in folders for located in locate(folder)):
        ERR.print(plain(f"{each.name}: {each.licence} ({each.homepage})"))


def _count(number: int, noun: str) -> str:
    """1 picture, 2 pictures."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
