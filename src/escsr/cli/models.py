"""`escsr models` with list, info, path, fetch, convert and compare, and `escsr doctor`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from escsr.cli.console import (
    OUT,
    DeviceOption,
    ExitCode,
    PrecisionOption,
    own_memory,
    plain,
    print_json,
    print_table,
    progress,
    scale_of,
)

if TYPE_CHECKING:
    from escsr.evaluation.comparison import Comparison
    from escsr.models.overview import ModelOverview

__all__ = ["convert", "doctor", "models"]

models = typer.Typer(
    help="List, describe, download and compare models. Without a command: list.", add_completion=False
)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A model: its name, a file of weights, or a run's folder.")
]


@models.callback(invoke_without_command=True)
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_models()


@models.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the bundled models, and the published ones that can be downloaded."""
    from escsr.models.overview import model_overviews

    rows = model_overviews()
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    table = Table("model", "for", "scale", "quality", "time", "", box=None, pad_edge=False)
    for row in rows:
        table.add_row(
            row.name,
            row.purpose,
            "any" if row.scale is None else f"×{row.scale}",
            "" if row.gain_db is None else f"+{row.gain_db:.1f} dB",
            f"{row.seconds_per_megapixel:g} s",
            _default_mark(row),
        )
    print_table(table)
    OUT.print(_LEGEND)
    _print_published()


def _default_mark(row: ModelOverview) -> str:
    from escsr.models.selection import ANY_SCALE_UP_TO

    limit = f" to ×{ANY_SCALE_UP_TO:g}" if row.scale is None else ""
    return f"default{limit}" if row.is_default else ""


_LEGEND = """
Without --model, escsr takes the default for the scale. `--model real` is the model for noisy
and compressed photos. A name without its scale works too: --model esc --scale 3.
quality  how much nearer to the original than bicubic resizing (PSNR on the test set Set14)
time     per megapixel of the input on 2 threads of a server CPU; `escsr models compare`
         measures it on this computer"""


def _print_published() -> None:
    from escsr.models.published import RELEASED, cache_folder

    OUT.print("\nPublished by the authors of the paper; download with `escsr models fetch NAME`:")
    table = Table("model", "what it is", "", box=None, pad_edge=False, show_header=False)
    for model in RELEASED.values():
        there = "[downloaded]" if (cache_folder() / model.file_name).exists() else ""
        table.add_row(model.name, plain(model.summary), plain(there))
    print_table(table)


@models.command()
def info(name: NameArgument) -> None:
    """Describe a model: network, file, checksum, licences, training."""
    from escsr.models.bundled import find_model
    from escsr.models.published import RELEASED, cache_folder

    released = RELEASED.get(name)
    lines: dict[str, object] = {"model": name}
    if released is not None:
        lines |= {
            "what it is": released.summary,
            "licence of the weights": released.weights_licence,
            "licence of the code": released.code_licence,
            "licence of the training data": released.data_licence,
        }
    if released is not None and not (cache_folder() / released.file_name).exists():
        lines["file"] = f"not downloaded yet: escsr models fetch {name}"
    else:
        lines |= _file_lines(find_model(name))
    for key, value in lines.items():
        OUT.print(plain(f"{key:30}{value}"))


def _file_lines(path: Path) -> dict[str, object]:
    from escsr.errors import ForeignNetworkError
    from escsr.files import sha256_of  # here, where the file is there: PyTorch takes a second
    from escsr.models.checkpoints import read_checkpoint
    from escsr.models.foreign import load_foreign
    from escsr.networks import variant_name

    try:
        checkpoint = read_checkpoint(path)
    except ForeignNetworkError as why:
        model = load_foreign(path, why)
        return {
            "network": f"{model.name}, by spandrel",
            "scale": f"×{model.scale}",
            "parameters": f"{sum(weight.numel() for weight in model.module.parameters()):,}",
            "file": path,
            "sha256": sha256_of(path),
        }
    scale = checkpoint.config.scale
    return {
        "network": variant_name(checkpoint.config) or "custom",
        "scale": "any" if scale is None else f"×{scale}",
        "parameters": f"{sum(weight.numel() for weight in checkpoint.weights.values()):,}",
        "file": path,
        "sha256": sha256_of(path),
        **{key: value for key, value in checkpoint.metadata.items() if key in ("training", "licence")},
    }


@models.command()
def path(name: NameArgument) -> None:
    """Print the path of a model's file."""
    from escsr.models.bundled import find_model

    sys.stdout.write(f"{find_model(name)}\n")


@models.command()
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Name of a published model (see `escsr models`), or ORGANISATION/NAME on the Hugging Face "
            "Hub.",
        ),
    ],
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="Download from URL/FILE instead of the authors' release. May be repeated.",
        ),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option(
            envvar="ESCSR_OFFLINE", help="Do not use the network, only check the file that is there."
        ),
    ] = False,
) -> None:
    """Download a published model and check it. An interrupted download continues.

    For a model on the Hugging Face Hub this takes its newest version; everything else uses the version that
    was downloaded first.
    """
    from escsr.models import hub, published

    if hub.is_hub_name(name):
        OUT.print(plain(f"{hub.fetch_from_hub(name, offline=offline)}"))
        return
    with progress(name, quiet=False) as report:
        target = published.fetch(name, mirrors=mirror or (), offline=offline, on_progress=report)
    model = published.RELEASED[name]
    OUT.print(plain(f"{target}"))
    OUT.print(plain(f"Licences: weights {model.weights_licence}; training data: {model.data_licence}"))


@models.command()
def convert(
    model: Annotated[
        str,
        typer.Argument(
            help="A model: its name (see `escsr models`), a file of weights, or a run's folder."
        ),
    ],
    bias_rank: Annotated[
        int, typer.Option(metavar="R", help="Rank of the position bias of each head, 48 for instance.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="File to write. If not given: esc-x2-rank48.safetensors and the like, in the current "
            "folder.",
        ),
    ] = None,
) -> None:
    """Write a model whose position bias is of low rank, which fused attention on a GPU takes.

    The result is near the model's, not equal: docs/models.md says what ranks cost.
    """
    from escsr.models.conversion import convert

    with progress("Decomposing", quiet=False) as report:
        path = convert(model, bias_rank=bias_rank, output=output, on_table=report)
    OUT.print(plain(path))


@models.command()
def compare(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAMES", help="Models or files of weights. If not given: all bundled ones."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Test pictures (originals) to measure quality on. If not given: recorded quality.",
        ),
    ] = None,
    size: Annotated[
        str, typer.Option(metavar="WxH", help="Size of the picture that is upscaled.")
    ] = "512x512",
    scale: Annotated[
        float,
        typer.Option("--scale", "-s", parser=scale_of, metavar="X", help="Scale for models of any scale."),
    ] = 2.0,
    rounds: Annotated[int, typer.Option(help="How often each model is timed.")] = 3,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure speed and memory of models on this computer, beside their quality."""
    own_memory()
    from escsr.evaluation import comparison

    with progress("Loading", as_json) as report:
        result = comparison.compare(
            models or (),
            data=data,
            size=size,
            scale=scale,
            rounds=rounds,
            device=device,
            precision=precision,
            on_step=lambda step: report(text=step),
        )
    if as_json:
        print_json(result.to_dict())
        return
    print_table(_comparison_table(result))
    kinds = ", ".join(dict.fromkeys(result.precision.values()))
    threads = f", {result.threads} threads" if result.device == "cpu" else ""
    OUT.print(plain(f"\n{result.device_name}{threads}, {kinds}, PyTorch {result.torch}."))
    OUT.print(
        "MP: megapixel of the input. Memory: peak of the whole process, and what the run itself took."
    )
    OUT.print(plain(f"Quality: Y-PSNR in dB (of bicubic), protocol classic, from {result.quality_from}."))


def _comparison_table(result: Comparison) -> Table:
    sets = list(dict.fromkeys(quality.data for row in result.models for quality in row.quality))
    size = f"{result.size[0]}×{result.size[1]}"
    columns = ("model", "scale", "parameters", "GMAC/MP", "s/MP", f"MiB at {size}", "MiB/MP")
    table = Table(*columns, *map(plain, sets), box=None, pad_edge=False)
    for row in result.models:
        quality = {each.data: f"{each.psnr_y:.2f} ({each.bicubic_psnr_y:.2f})" for each in row.quality}
        memory = (row.peak_memory_mib, row.memory_mib_per_megapixel)
        table.add_row(
            plain(row.model),
            f"×{row.scale:g}",
            f"{row.parameters:,}",
            f"{row.macs_g_per_megapixel:,.0f}",
            f"{row.seconds_per_megapixel:.3g}",
            *("" if size_mib is None else f"{size_mib:,.0f}" for size_mib in memory),
            *(quality.get(name, "") for name in sets),
        )
    return table


def doctor() -> None:
    """Check the installation: devices, memory, versions, missing extras."""
    from escsr.diagnosis import diagnose

    for finding in (findings := diagnose()):
        OUT.print(plain(f"{finding.name:22}{finding.value}"))
        if finding.advice:
            OUT.print(plain(f"{'':22}→ {finding.advice}"))
    if any(finding.is_fault for finding in findings):
        raise typer.Exit(ExitCode.FAILED)
