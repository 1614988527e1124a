"""`escsr models` with list, info, path and fetch, and `escsr doctor`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.table import Table

from escsr.cli.console import OUT, ExitCode, plain, progress_bar

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
    from escsr.checkpoints import find_model, list_models, read_checkpoint
    from escsr.released import RELEASED, cache_folder

    table = Table("model", "scale", "parameters", "licence", "training", box=None, pad_edge=False)
    for name in list_models():
        checkpoint = read_checkpoint(find_model(name))
        count = sum(weight.numel() for weight in checkpoint.weights.values())
        fields = checkpoint.metadata
        table.add_row(
            name, f"×{fields['scale']}", f"{count:,}", fields.get("licence", ""), fields.get("training", "")
        )
    OUT.print(table)
    OUT.print("\nPublished by the authors (escsr models fetch NAME):")
    for model in RELEASED.values():
        there = "  [downloaded]" if (cache_folder() / model.file_name).exists() else ""
        OUT.print(plain(f"{model.name:32} {model.summary}{there}"))


@models.command()
def info(name: NameArgument) -> None:
    """Tell what a model is: shape, file, digest, licences, training."""
    import hashlib

    from escsr.checkpoints import find_model, read_checkpoint
    from escsr.networks import variant_name
    from escsr.released import RELEASED, cache_folder

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
        path = find_model(name)
        checkpoint = read_checkpoint(path)
        count = sum(weight.numel() for weight in checkpoint.weights.values())
        scale = checkpoint.config.scale
        lines |= {
            "network": variant_name(checkpoint.config) or "of its own shape",
            "scale": "any" if scale is None else f"×{scale}",
            "parameters": f"{count:,}",
            "file": path,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        lines |= {
            key: value for key, value in checkpoint.metadata.items() if key in ("training", "licence")
        }
    for key, value in lines.items():
        OUT.print(plain(f"{key:30}{value}"))


@models.command()
def path(name: NameArgument) -> None:
    """Print where a model's file is."""
    from escsr.checkpoints import find_model

    sys.stdout.write(f"{find_model(name)}\n")


@models.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Name of a published model (see `escsr models`).")],
    mirror: Annotated[
        list[str] | None,
        typer.Option(help="Address that the file name is put behind, instead of the release; repeatable."),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option(envvar="ESCSR_OFFLINE", help="Never use the network: verify what is there."),
    ] = False,
) -> None:
    """Download a published model into the cache folder, verified; an interrupted download goes on."""
    from escsr import released

    with progress_bar(False) as bar:
        task = bar.add_task(plain(name), total=None)
        target = released.fetch(
            name,
            mirrors=mirror or (),
            offline=offline,
            on_progress=lambda received, total: bar.update(task, completed=received, total=total),
        )
    model = released.RELEASED[name]
    OUT.print(plain(f"{target}"))
    OUT.print(plain(f"Licences: weights {model.weights_licence}; training data: {model.data_licence}"))


def doctor() -> None:
    """Tell what this installation has: devices, memory, versions, and what is missing."""
    from escsr.diagnosis import diagnose

    findings = diagnose()
    for finding in findings:
        OUT.print(plain(f"{finding.name:22}{finding.value}"))
        if finding.advice:
            OUT.print(plain(f"{'':22}→ {finding.advice}"))
    if any(finding.is_fault for finding in findings):
        raise typer.Exit(ExitCode.FAILED)
