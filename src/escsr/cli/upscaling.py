"""`escsr upscale`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from escsr.cli.console import ERR, OUT, DeviceOption, ExitCode, ModelOption, own_memory, plain, progress_bar

if TYPE_CHECKING:
    from escsr.batch import Job

__all__ = ["upscale"]


def upscale(
    inputs: Annotated[
        list[str], typer.Argument(help="Pictures, and folders of pictures.", show_default=False)
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", help="File for one picture, folder for several; else beside the input."
        ),
    ] = None,
    model: ModelOption = "esc-light",
    scale: Annotated[
        float | None, typer.Option(help="Enlargement per side; else the model's, or 2.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Pixels of the result, instead of a scale.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels of the result, instead of a scale.")] = None,
    size: Annotated[str | None, typer.Option(help="Both, as 1920x1080; see --fit.")] = None,
    fit: Annotated[
        str,
        typer.Option(
            help="A picture of another shape: contain (inside the size), cover (cut), exact (stretch)."
        ),
    ] = "contain",
    longest: Annotated[int | None, typer.Option(help="Pixels of the longer side.")] = None,
    device: DeviceOption = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, tf32, bfloat16 or float16.")] = "auto",
    tile_size: Annotated[
        int | None, typer.Option(help="Tile side in input pixels; the result does not depend on it.")
    ] = None,
    maps: Annotated[
        str,
        typer.Option(help="Feature maps: auto, float32, float16 (half the memory) or file (on disk)."),
    ] = "auto",
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Mean over 8 flips and turns: 8 times the work.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Enlarge pictures.

    Depth, transparency, colour profile and metadata are kept; the format is that of the output's ending.
    """
    own_memory()
    from escsr import batch, images

    failed = 0
    with progress_bar(quiet) as bar:
        task = bar.add_task("Loading the model", total=None)

        def show(job: Job, share: float) -> None:
            bar.update(task, description=plain(job.source.name), total=1.0, completed=share)

        outcomes = batch.upscale(
            inputs,
            output,
            model=model,
            scale=scale,
            width=width,
            height=height,
            size=size,
            fit=fit,  # type: ignore[arg-type]
            longest=longest,
            device=device,
            precision=precision,  # type: ignore[arg-type]
            tile_size=tile_size,
            maps=maps,  # type: ignore[arg-type]
            ensemble=ensemble,
            on_progress=show,
        )
        for outcome in outcomes:
            if outcome.error is not None:
                failed += 1
                ERR.print(f"[red]Error:[/] {plain(str(outcome.error))}")
            elif not quiet:
                measures = "×".join(map(str, images.read_size(outcome.job.target)))
                line = f"{outcome.job.target}  {measures}  {outcome.model}  {outcome.seconds:.1f} s"
                OUT.print(plain(line))
    if failed:
        raise typer.Exit(ExitCode.FAILED)
