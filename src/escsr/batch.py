"""Many pictures: which files, where the results go, and what became of each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from escsr import images
from escsr.checkpoints import find_model
from escsr.errors import ConfigError, DeviceError, EscError, OutputError
from escsr.inference import MapChoice
from escsr.precision import Precision
from escsr.sizes import Fit, TargetSize
from escsr.upscaler import DEFAULT_MODEL, Upscaler, default_target

__all__ = ["Job", "Outcome", "plan", "upscale"]


@dataclass(frozen=True)
class Job:
    """One picture to enlarge."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a job: `error` is None where the target was written, by `model`."""

    job: Job
    error: EscError | None
    seconds: float
    model: str = ""


def upscale(
    inputs: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    *,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    size: str | None = None,
    fit: Fit = "contain",
    longest: int | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    tile_size: int | None = None,
    maps: MapChoice = "auto",
    ensemble: bool = False,
    on_progress: Callable[[Job, float], None] | None = None,
) -> Iterator[Outcome]:
    """Enlarges files and folders; a picture that fails does not stop the others.

    Model, device and names are checked before the first picture.

    Args:
        inputs: Picture files, and folders that are searched with their subfolders.
        output: File for one picture, folder for several; None for names beside the inputs
            (photo_x2.png, folder_x2/).
        model: Bundled name, or file of weights. Where a name bears no scale, each picture takes the
            bundled one that reaches its size.
        scale: Enlargement; None for ×2, or the scale of the model named.
        width: Pixels of the result instead; the height follows, or see `fit`.
        height: Pixels of the result.
        size: Both, as "1920x1080".
        fit: What width and height do to a picture of another shape, see `Fit`.
        longest: Pixels of the longer side.
        device: See `Upscaler`.
        precision: See `Upscaler`.
        tile_size: See `Upscaler`.
        maps: See `Upscaler`.
        ensemble: See `Upscaler`.
        on_progress: Called with a job and the share of it that is done.

    Yields:
        An outcome for each picture, in order.

    Raises:
        EscError: Model, device or output are not as they should be, or there is nothing to do.
    """
    wanted = TargetSize.choose(scale=scale, width=width, height=height, size=size, fit=fit, longest=longest)
    models = _Models(
        model,
        {
            "device": device,
            "precision": precision,
            "tile_size": tile_size,
            "maps": maps,
            "ensemble": ensemble,
        },
    )
    if wanted is None:
        own = models.reaching(None).scale
        if own is None:
            raise ConfigError(f"Model {model} takes any scale: say which, or a size.")
        wanted = TargetSize(scale=own)
    models.reaching(wanted.scale)
    return _work(models, plan(inputs, output, size=wanted), wanted, on_progress)


class _Models:
    """Upscalers of one name at the scales that pictures need, loaded when first needed."""

    def __init__(self, name: str | os.PathLike[str], options: dict[str, Any]) -> None:
        self.name, self.options = name, options
        self.loaded: dict[Path, Upscaler] = {}

    def reaching(self, enlargement: float | None) -> Upscaler:
        path = find_model(self.name, scale=enlargement)
        if path not in self.loaded:
            self.loaded[path] = Upscaler(path, **self.options)
        return self.loaded[path]


def _work(
    models: _Models,
    jobs: Sequence[Job],
    wanted: TargetSize,
    on_progress: Callable[[Job, float], None] | None,
) -> Iterator[Outcome]:
    for job in jobs:
        report = None if on_progress is None else partial(on_progress, job)
        start, problem, model = time.perf_counter(), None, ""
        try:
            columns, rows = images.read_size(job.source)
            upscaler = models.reaching(wanted.enlargement(rows, columns))
            model = upscaler.name
            upscaler.upscale_file(job.source, job.target, size=wanted, on_progress=report)
        except DeviceError:
            raise
        except EscError as error:
            problem = error
        yield Outcome(job, problem, time.perf_counter() - start, model)


def plan(
    inputs: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    *,
    size: TargetSize,
) -> list[Job]:
    """Pairs every picture with the file its result goes to.

    Args:
        inputs: Files and folders.
        output: File, folder or None; see `upscale`.
        size: What is asked for, for the default names.

    Returns:
        The jobs, in the order of the inputs.

    Raises:
        DataError: A folder has no pictures.
        OutputError: Two results would have one name, a result would replace an input, or the output
            does not fit the inputs.
    """
    sources = [Path(entry) for entry in inputs]
    if not sources:
        raise ConfigError("Nothing to enlarge: name at least one picture or folder.")
    target = None if output is None else Path(output)
    one_file = len(sources) == 1 and not sources[0].is_dir()
    into_folder = target is not None and (
        target.is_dir() or not one_file or os.fspath(output or "").endswith(("/", os.sep))
    )
    if target is not None and into_folder and target.is_file():
        raise OutputError(f"{target} is a file; several pictures need a folder.")
    jobs = []
    for source in sources:
        if source.is_dir():
            named = source if source.name not in ("", "..") else source.resolve()
            base = target or named.with_name(f"{named.name}_{size.label}")
            jobs += [
                Job(path, _suffixed(base / path.relative_to(source))) for path in images.find_images(source)
            ]
        elif target is None:
            jobs.append(Job(source, default_target(source, size)))
        elif into_folder:
            jobs.append(Job(source, _suffixed(target / source.name)))
        else:
            images.check_suffix(target)
            jobs.append(Job(source, target))
    _check_names(jobs)
    return jobs


def _suffixed(path: Path) -> Path:
    """The path with an ending that can be written: its own, or .png."""
    return path if path.suffix.lower() in images.WRITABLE else path.with_suffix(".png")


def _check_names(jobs: Sequence[Job]) -> None:
    owners: dict[Path, Path] = {}
    sources = {job.source.resolve() for job in jobs}
    for job in jobs:
        target = job.target.resolve()
        if target in sources:
            raise OutputError(f"{job.target} is an input; choose another output.")
        if target in owners:
            raise OutputError(f"{owners[target]} and {job.source} would both become {job.target}.")
        owners[target] = job.source
