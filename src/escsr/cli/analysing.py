"""`escsr analyse` with cka, lam, erf and features: what networks do inside, as figures and arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer

from escsr.cli.console import OUT, DeviceOption, ScaleOption, own_memory, plain, print_json, progress
from escsr.runtime.choices import CkaEstimator, LamRule, Resizer

__all__ = ["analyse", "cka", "erf", "features", "lam"]

analyse = typer.Typer(
    help="Look inside networks: similar layers, pixels used, receptive fields, feature maps.",
    no_args_is_help=True,
    add_completion=False,
)

PictureArgument = Annotated[
    Path, typer.Argument(metavar="PICTURE", help="The input, or with --shrink its original.")
]
PicturesArgument = Annotated[
    list[Path],
    typer.Argument(metavar="PICTURES", help="Inputs, or with --shrink their originals: files, folders."),
]
OutputOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Figure (.png, .svg) or arrays (.npz) to write. May be repeated.",
        show_default=False,
    ),
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="A model as for `escsr upscale`. TITLE=NAME gives it a title. May be repeated. If not given: "
        "auto.",
    ),
]
ShrinkOption = Annotated[
    Resizer | None,
    typer.Option(
        metavar="NAME",
        help=f"The pictures are originals: make the inputs by {', '.join(get_args(Resizer))}.",
    ),
]
SideOption = Annotated[
    int | None,
    typer.Option(help="Take squares of N input pixels from the middle. If not given: as large as fits."),
]
MaxImagesOption = Annotated[
    int | None, typer.Option(help="Take at most N pictures, spread over all. If not given: all.")
]
CropOption = Annotated[
    str | None,
    typer.Option(metavar="X,Y,W,H", help="Part of the input to take. If not given: all of it."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@analyse.command()
def cka(
    pictures: PicturesArgument,
    output: OutputOption = None,
    model: ModelOption = None,
    layers: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="attention-maps, attention or conv-attn (outputs of these modules), or a pattern of names "
            "of modules, like 'layers.*.mlp'.",
        ),
    ] = "conv-attn",
    estimator: Annotated[
        CkaEstimator,
        typer.Option(
            metavar="NAME",
            help="biased: all pictures at once, as in papers. unbiased: over minibatches, less memory.",
        ),
    ] = "biased",
    batch_size: Annotated[
        int | None, typer.Option(help="Pictures at once for unbiased, 4 or more. If not given: 10.")
    ] = None,
    cosine: Annotated[
        bool, typer.Option("--cosine", help="Measure cosines as well: the work a second time.")
    ] = False,
    shrink: ShrinkOption = None,
    side: SideOption = None,
    max_images: MaxImagesOption = None,
    scale: ScaleOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure how similar the layers of a model, or of two models, are over a set of pictures (CKA)."""
    own_memory()
    from escsr import analysis

    with progress("Computing", as_json) as report:
        result = analysis.analyse_cka(
            pictures,
            output or (),
            model=model or (),
            layers=layers,
            estimator=estimator,
            batch_size=batch_size,
            cosine=cosine,
            shrink=shrink,
            side=side,
            max_images=max_images,
            scale=scale,
            device=device,
            on_progress=lambda share: report(share, 1.0),
        )
    if as_json:
        print_json(result.to_dict())
        return
    of_all = f"{len(result.rows)}×{len(result.columns)} layers, {result.pictures} pictures"
    OUT.print(plain(f"{of_all}, {result.batch_size} at once, {result.estimator} estimator"))
    apart = " (without the diagonal)" if result.is_within else ""
    OUT.print(f"mean CKA{apart}  {result.mean(result.cka):.3f}")
    OUT.print(f"floor for independent features  {result.mean(result.floor):.3f}")
    if result.cosine is not None:
        OUT.print(f"mean cosine{apart}  {result.mean(result.cosine):.3f}")


@analyse.command()
def lam(
    picture: PictureArgument,
    output: OutputOption = None,
    model: ModelOption = None,
    window: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,W,H",
            help="Part of the result to explain, in its pixels. If not given: the middle 16×16.",
        ),
    ] = None,
    rule: Annotated[
        LamRule,
        typer.Option(
            metavar="NAME", help="midpoint: exact with few steps. right: as in published figures."
        ),
    ] = "midpoint",
    steps: Annotated[
        int | None, typer.Option(help="Steps of the path. If not given: 10 for midpoint, 50 for right.")
    ] = None,
    shrink: ShrinkOption = None,
    crop: CropOption = None,
    scale: ScaleOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Show which input pixels models use for a part of their results (LAM), with diffusion indices."""
    own_memory()
    from escsr import analysis

    with progress("Computing", as_json) as report:
        found = analysis.analyse_lam(
            picture,
            output or (),
            model=model or (),
            window=window,
            rule=rule,
            steps=steps,
            shrink=shrink,
            crop=crop,
            scale=scale,
            device=device,
            on_progress=lambda share: report(share, 1.0),
        )
    if as_json:
        print_json({name: each.to_dict() for name, each in found.items()})
        return
    for name, each in found.items():
        error = f"sum of the attributions off by {each.error:.1%}"
        OUT.print(plain(f"{name}  DI {each.diffusion_index:.2f}  window {each.window}  {error}"))


@analyse.command()
def erf(
    pictures: PicturesArgument,
    output: OutputOption = None,
    model: ModelOption = None,
    shrink: ShrinkOption = None,
    side: SideOption = None,
    max_images: MaxImagesOption = None,
    scale: ScaleOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure how far around a pixel the input changes the result (effective receptive field)."""
    own_memory()
    from escsr import analysis

    with progress("Computing", as_json) as report:
        fields = analysis.analyse_erf(
            pictures,
            output or (),
            model=model or (),
            shrink=shrink,
            side=side,
            max_images=max_images,
            scale=scale,
            device=device,
            on_progress=lambda share: report(share, 1.0),
        )
    if as_json:
        print_json({name: field.to_dict() for name, field in fields.items()})
        return
    for name, field in fields.items():
        shares = "  ".join(f"{share:.0%} in {area:.1%}" for share, area in field.areas.items())
        OUT.print(plain(f"{name}  {shares} of {field.map.shape[1]}×{field.map.shape[0]} pixels"))


@analyse.command()
def features(
    picture: PictureArgument,
    output: OutputOption = None,
    model: ModelOption = None,
    shrink: ShrinkOption = None,
    crop: CropOption = None,
    scale: ScaleOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Show what the large kernel and the dynamic kernels make of a picture: feature maps of ConvAttn."""
    own_memory()
    from escsr import analysis

    found = analysis.analyse_features(
        picture,
        output or (),
        model=model or (),
        shrink=shrink,
        crop=crop,
        scale=scale,
        device=device,
    )
    for name, maps in found.items():
        kinds = ", ".join(maps.maps)
        height, width = maps.mean("LK").shape
        OUT.print(plain(f"{name}  {len(maps.layers)} ConvAttns, {width}×{height}: {kinds}"))
