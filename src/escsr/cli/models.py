"""`escsr models` with list, info, path, fetch and compare, and `escsr doctor`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from escsr.cli.console import (
    OUT,
    DeviceOption,
    ExitCode,
    own_memory,
    plain,
    print_json,
    print_table,
    progress,
)
from escsr.runtime.choices import Precision

if TYPE_CHECKING:
    from escsr.evaluation.comparison import Comparison

__all__ = ["doctor", "models"]

models = typer.Typer(help="Models: bundled, and published ones to download.", add_completion=False)

NameArgument = Annotated[str, typer.Argument(help="Name of a model, or a file of weights.")]


@models.callback(invoke_without_command=True)
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_models()


@models.command("list")
def list_models() -> None:
    """List the bundled models, and the published ones that can be downloaded."""
    from escsr.models.bundled import find_model, list_models, read_header
    from escsr.models.published import RELEASED, cache_folder

    table = Table("model", "scale", "parameters", "licence", "training", box=None, pad_edge=False)
    for name in list_models():
        header = read_header(find_model(name))
        scale, *rest = (header.metadata.get(key, "") for key in ("scale", "licence", "training"))
        table.add_row(name, scale if scale == "any" else f"×{scale}", f"{header.num_parameters:,}", *rest)
    OUT.print(table)
    OUT.print("\nPublished by the authors (escsr models fetch NAME):")
    for model in RELEASED.values():
        there = "  [downloaded]" if (cache_folder() / model.file_name).exists() else ""
        OUT.print(plain(f"{model.name:32} {model.summary}{there}"))


@models.command()
def info(name: NameArgument) -> None:
    """Tell what a model is: shape, file, digest, licences, training."""
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
        lines["file"] = f"not downloaded; escsr models fetch {name}"
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
        "network": variant_name(checkpoint.config) or "of its own shape",
        "scale": "any" if scale is None else f"×{scale}",
        "parameters": f"{sum(weight.numel() for weight in checkpoint.weights.values()):,}",
        "file": path,
        "sha256": sha256_of(path),
        **{key: value for key, value in checkpoint.metadata.items() if key in ("training", "licence")},
    }


@models.command()
def path(name: NameArgument) -> None:
    """Print where a model's file is."""
    from escsr.models.bundled import find_model

    sys.stdout.write(f"{find_model(name)}\n")


@models.command()
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of a published model (see `escsr models`), or organisation/name of the hub."
        ),
    ],
    mirror: Annotated[
        list[str] | None,
        typer.Option(help="Address that the file name is put behind, instead of the release; repeatable."),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option(envvar="ESCSR_OFFLINE", help="Never use the network: verify what is there."),
    ] = False,
) -> None:
    """Download a published model into the cache folder, verified; an interrupted download goes on.

    Of a model of the Hugging Face Hub this takes the newest; elsewhere it stays the one first seen.
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
def compare(
    models: Annotated[
        list[str] | None, typer.Argument(help="Models or files of weights; else all bundled ones.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of HR pictures to measure quality on; else from the cards.")
    ] = None,
    size: Annotated[str, typer.Option(help="Picture to upscale, WIDTHxHEIGHT.")] = "512x512",
    scale: Annotated[float, typer.Option(help="For models of any scale.")] = 2.0,
    rounds: Annotated[int, typer.Option(help="Timed runs of each model, in turn.")] = 3,
    device: DeviceOption = "auto",
    precision: Annotated[Precision, typer.Option(help="Arithmetic of the network.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Compare models: seconds and memory on this device, size, and quality beside bicubic."""
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
    OUT.print("MP: LR megapixels. Memory: at the peak in all, and what the run itself took.")
    OUT.print(plain(f"Y-PSNR dB (bicubic), protocol classic, from {result.quality_from}."))


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
    """Tell what this installation has: devices, memory, versions, and what is missing."""
    from escsr.diagnosis import diagnose

    for finding in (findings := diagnose()):
        OUT.print(plain(f"{finding.name:22}{finding.value}"))
        if finding.advice:
            OUT.print(plain(f"{'':22}→ {finding.advice}"))
    if any(finding.is_fault for finding in findings):
        raise typer.Exit(ExitCode.FAILED)
