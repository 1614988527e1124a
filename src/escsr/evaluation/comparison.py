"""Models side by side: quality, speed, memory and size, so that one is chosen by figures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from escsr._version import __version__
from escsr.errors import CheckpointError, ConfigError
from escsr.evaluation.benchmark.memory import PeakMemory
from escsr.evaluation.benchmark.timing import time_in_turn, warm_up
from escsr.evaluation.benchmark.upscaling import Job, measure_peak_memory, run_once
from escsr.evaluation.contenders import as_several
from escsr.evaluation.cost import count_macs, count_parameters
from escsr.evaluation.opening import BICUBIC, Model, open_model, own_scale
from escsr.evaluation.protocols import evaluate
from escsr.models.bundled import find_model, list_models
from escsr.runtime.choices import Precision
from escsr.runtime.devices import choose_device, device_name
from escsr.upscaling.inference import Inference
from escsr.upscaling.super_resolver import SuperResolver
from escsr.upscaling.target_size import TargetSize
from escsr.upscaling.tiled import TiledInference

__all__ = [
    "CARD_FORMAT",
    "Comparison",
    "ModelFigures",
    "Quality",
    "compare",
    "quality_on_card",
    "read_quality",
    "set_name",
]

CARD_FORMAT = "escsr card 1"
"""What a card in JSON beside a model's weights begins with: its form, and the version of that."""

_MEBI = 2**20


@dataclass(frozen=True)
class Quality:
    """How good a model is on one set of pictures, beside bicubic interpolation at its scale.

    Attributes:
        data: The set; with its scale behind it for a model of any, "Set5 ×2".
        psnr_y: dB.
        bicubic_psnr_y: dB.
        ssim_y: SSIM of luma; None where the protocol has none.
        bicubic_ssim_y: SSIM of luma; None likewise.
    """

    data: str
    psnr_y: float
    bicubic_psnr_y: float
    ssim_y: float | None = None
    bicubic_ssim_y: float | None = None


@dataclass(frozen=True)
class ModelFigures:
    """One model of a comparison; megapixels are those of the LR picture.

    Attributes:
        model: Name or file.
        scale: At which it was measured.
        parameters: Number of trained values.
        macs_g_per_megapixel: Multiply-accumulates of a forward pass, 1e9.
        seconds: Of each run, from host memory to host memory.
        seconds_per_megapixel: Median of the runs.
        peak_memory_mib: Of the process (CPU) or of the device (GPU), model included; None where the
            device does not tell.
        memory_mib_per_megapixel: What the run itself took. It falls with the size of the picture, because
            the work on one tile takes the same for all; compare figures of one size only.
        quality: Figures by set.
    """

    model: str
    scale: float
    parameters: int
    macs_g_per_megapixel: float
    seconds: tuple[float, ...]
    seconds_per_megapixel: float
    peak_memory_mib: float | None
    memory_mib_per_megapixel: float | None
    quality: tuple[Quality, ...]


@dataclass(frozen=True)
class Comparison:
    """Models measured in turn on one device.

    Attributes:
        models: Their figures, in the order asked for.
        quality_from: "cards" of the models, or the folder that quality was measured on.
        size: LR columns and rows.
        device: Kind of device.
        device_name: What it calls itself.
        threads: Of the CPU.
        precision: By model, the arithmetic that was used.
        torch: Version.
        escsr: Version.
        date: Day of the measurement, year first.
    """

    models: tuple[ModelFigures, ...]
    quality_from: str
    size: tuple[int, int]
    device: str
    device_name: str
    threads: int
    precision: dict[str, str]
    torch: str
    escsr: str
    date: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def compare(
    models: Model | Sequence[Model] = (),
    *,
    data: str | os.PathLike[str] | None = None,
    size: str = "512x512",
    scale: float = 2.0,
    rounds: int = 3,
    device: str = "auto",
    precision: Precision = "auto",
    on_step: Callable[[str], None] | None = None,
) -> Comparison:
    """Measures what models cost here, and tells or measures how good they are.

    Args:
        models: One or several, see `Model`; none for all bundled models. The memory of one that is neither
            a bundled name nor a file is not measured, because that takes a process of its own.
        data: Folder of HR pictures to measure quality on by protocol `classic`; None to take the
            figures of the models' cards.
        size: Image to upscale, WIDTHxHEIGHT in LR pixels.
        scale: For models of any scale, and for modules of your own without an `own_scale`.
        rounds: Timed runs of each model; the median counts.
        device: See `choose_device`.
        precision: See `Precision`.
        on_step: Called with a line on what is done next.

    Returns:
        The figures.

    Raises:
        ConfigError: The size or the number of rounds is impossible.
        CheckpointError: A model cannot be loaded.
        DeviceError: There is no such device, or its memory does not suffice.
    """
    target = TargetSize.choose(size=size, fit="exact")
    assert target is not None
    height, width = target.upscaled(1, 1)
    if rounds < 1:
        raise ConfigError(f"rounds must be at least 1, not {rounds}.")
    tell = on_step or (lambda _: None)
    where = choose_device(device)
    chosen = as_several(models) or list_models()
    files = {os.fspath(model) for model in chosen if isinstance(model, (str, os.PathLike))} - {BICUBIC}
    opened = _open_all(chosen, files, scale, device=str(where), precision=precision)
    threads = torch.get_num_threads()
    jobs = {name: Job(name, height, width, scale, str(where), precision, threads) for name in opened}
    tell(f"Timing {len(opened)} models")
    runs = {name: partial(run_once, model, jobs[name]) for name, model in opened.items()}
    warm_up(runs, rounds=1)
    seconds = time_in_turn(runs, rounds=rounds)
    rows: list[ModelFigures] = []
    for name, model in opened.items():
        tell(f"{name}: memory")
        memory = measure_peak_memory(jobs[name]) if name in files else None
        tell(f"{name}: quality")
        quality = _quality(model, data, scale, has_card=name in files)
        rows.append(_figures(model, jobs[name], scale, seconds[name], memory, quality))
    return Comparison(
        models=tuple(rows),
        quality_from="cards" if data is None else os.fspath(data),
        size=(width, height),
        device=where.type,
        device_name=device_name(where),
        threads=threads,
        precision={
            name: model.precision_policy.precision
            if isinstance(model, (Inference, TiledInference))
            else "its own"
            for name, model in opened.items()
        },
        torch=torch.__version__,
        escsr=__version__,
        date=date.today().isoformat(),
    )


def _open_all(
    models: Sequence[Model], files: set[str], scale: float, *, device: str, precision: Precision
) -> dict[str, SuperResolver]:
    opened: dict[str, SuperResolver] = {}
    for each in models:
        needed = scale if isinstance(each, nn.Module) and own_scale(each) is None else None
        model = open_model(each, scale=needed, device=device, precision=precision)
        if model.name in opened and model.name not in files:
            raise ConfigError(f"Two models are called {model.name}; give each a name of its own.")
        opened[model.name] = model
    return opened


def _figures(
    model: SuperResolver,
    job: Job,
    scale: float,
    seconds: Sequence[float],
    memory: PeakMemory | None,
    quality: tuple[Quality, ...],
) -> ModelFigures:
    megapixels = job.height * job.width / 1e6
    macs = count_macs(model, job.height, job.width, scale=None if model.scale else scale)
    return ModelFigures(
        model=model.name,
        scale=model.scale or scale,
        parameters=count_parameters(model),
        macs_g_per_megapixel=macs / 1e9 / megapixels,
        seconds=tuple(seconds),
        seconds_per_megapixel=median(seconds) / megapixels,
        peak_memory_mib=memory.peak / _MEBI if memory else None,
        memory_mib_per_megapixel=memory.run / _MEBI / megapixels if memory else None,
        quality=quality,
    )


def read_quality(model: str | os.PathLike[str]) -> tuple[Quality, ...]:
    """The figures on the card that lies beside a model's weights, as JSON.

    Args:
        model: Bundled name or file of weights.

    Returns:
        Figures by set; empty where there is no card, or JSON of another program.

    Raises:
        CheckpointError: The card is damaged.
    """
    path = find_model(model).with_suffix(".json")
    if not path.is_file():
        return ()
    try:
        card = json.loads(path.read_bytes())
        if not isinstance(card, dict) or card.get("format") != CARD_FORMAT:
            return ()
        pairs = {
            name: zip(figures["model"], figures["bicubic"], strict=True)
            for name, figures in card["sets"].items()
        }
        return tuple(Quality(name, *map(float, chain(*each))) for name, each in pairs.items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: unreadable figures ({error!r}); repair or remove it.") from error


def quality_on_card(model: str | os.PathLike[str], scale: float) -> tuple[Quality, ...]:
    """`read_quality` at one scale: of a model of any scale those figures, under the sets' names.

    Args:
        model: Bundled name or file of weights.
        scale: Of the figures.

    Returns:
        Figures by set; empty where there is no card.

    Raises:
        CheckpointError: The card is damaged.
    """
    there = [(each, *each.data.partition(" ×")[::2]) for each in read_quality(model)]
    return tuple(replace(each, data=name) for each, name, at in there if not at or float(at) == scale)


def set_name(data: str | os.PathLike[str]) -> str:
    """What tables call the set of a folder of HR pictures.

    Example:
        >>> set_name("sets/Set5/HR"), set_name("photos")
        ('Set5', 'photos')
    """
    folder = Path(data).resolve()
    return folder.parent.name if folder.name in ("HR", "hr") else folder.name


def _quality(
    model: SuperResolver, data: str | os.PathLike[str] | None, scale: float, *, has_card: bool
) -> tuple[Quality, ...]:
    """Measured, of our networks in float32, of others as they were timed; or the card's."""
    if data is None:
        return quality_on_card(model.name, scale) if has_card else ()
    in_float32 = model.network if isinstance(model, Inference) else model
    ours = evaluate(in_float32, data, scale=None if model.scale else scale)
    bicubic = evaluate(BICUBIC, data, scale=ours.scale)
    return (Quality(set_name(data), ours.psnr_y, bicubic.psnr_y, ours.ssim_y, bicubic.ssim_y),)
