"""Models by name: the bundled ones, and where a file is; without PyTorch, so that a list is quick."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from escsr.errors import CheckpointError, ConfigError, ModelNotFoundError
from escsr.models.hub import find_on_hub, hub_name, is_hub_name
from escsr.models.published import RELEASED, cache_folder, fetch

__all__ = [
    "FAMILIES",
    "REAL",
    "TRAINING_PREFIX",
    "WEIGHTS_FILE",
    "Header",
    "family_scales",
    "find_model",
    "list_models",
    "model_name",
    "name_of",
    "read_header",
    "run_checkpoints",
]

TRAINING_PREFIX = "training."
"""Tensors under this prefix belong to a training run; `load_network` passes over them."""

WEIGHTS_FILE = "model.safetensors"
"""Name of the weights in a folder that is one model, as the Hugging Face Hub has them."""

REAL = "real"
"""Short for the models of photographs as people have them."""

FAMILIES = {REAL: "esc-real-light"}
"""Names that stand for a family of bundled models."""

_DEFAULT_SCALE = 2

_OF_A_RUN = re.compile(r"best|iter_\d+")
"""Files of a training run, which all runs call so."""


@dataclass(frozen=True)
class Header:
    """What the first bytes of a safetensors file say of its model.

    Attributes:
        num_parameters: Values of all weights, without those of a training run.
        metadata: Text fields: variant, scale, training, licence and others.
    """

    num_parameters: int
    metadata: dict[str, str]


def list_models() -> list[str]:
    """Names of the bundled models, sorted.

    Returns:
        Names that `load_network` and `Upscaler` take.
    """
    return sorted(_bundled())


def find_model(name_or_path: str | os.PathLike[str], *, scale: float | None = None) -> Path:
    """Where a model's file is.

    Args:
        name_or_path: Bundled name, name of a downloaded published model, a file, the folder of a training
            run, a folder that holds `WEIGHTS_FILE`, or "organisation/name" on the Hugging Face Hub
            (`escsr.models.hub`), which is downloaded at its first use. A bundled name may leave out its
            scale ("esc-light"); "real" stands for those of real photographs.
        scale: Scale wanted, where the name bears none: the smallest bundled scale that is not below it,
            or the largest there is. None for ×2.

    Returns:
        An existing file.

    Raises:
        ModelNotFoundError: There is no such name or file, the folder holds no model, a published model is
            not downloaded yet, or one on the hub cannot be downloaded.
        CheckpointError: The downloaded file is damaged, or another than it was.
        ConfigError: It is neither a name nor a path.
    """
    bundled, name = _bundled(), name_of(name_or_path)
    name = FAMILIES.get(name, name)
    if name in bundled:
        return bundled[name]
    if scales := _scales_of(name, bundled):
        least = _DEFAULT_SCALE if scale is None else scale
        return bundled[scales[min((x for x in scales if x >= least), default=max(scales))]]
    if name in RELEASED:
        if not (cache_folder() / RELEASED[name].file_name).exists():
            raise ModelNotFoundError(f"Model {name} must be downloaded first: escsr models fetch {name}")
        return fetch(name, offline=True)
    with suppress(OSError, RuntimeError):  # too long a name, or in the home of nobody
        path = Path(name).expanduser()
        if path.is_file():
            return path
        if path.is_dir():
            return _model_in(path)
    if is_hub_name(name):
        return find_on_hub(name)
    if name == "auto":
        raise ModelNotFoundError("auto is a choice by the size of each picture; name a model here.")
    raise _unknown(name, bundled)


def family_scales(name: str) -> dict[int, str]:
    """Names of the bundled models of a family by their scales; none where it is no family.

    Args:
        name: Without a scale, "esc-light", or one of `FAMILIES`.
    """
    return _scales_of(name, list_models())


def name_of(name_or_path: str | os.PathLike[str]) -> str:
    """A name or path as text; a `Path` of what is there reads like no bundled name.

    Raises:
        ConfigError: It is something else.

    Example:
        >>> name_of("esc-light"), name_of(Path())
        ('esc-light', './.')
    """
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise ConfigError(f"model must be a name or a path, not {type(name_or_path).__name__}.")
    name = os.fspath(name_or_path)
    is_path = not isinstance(name_or_path, str) and not Path(name).is_absolute() and Path(name).exists()
    return f"./{name}" if is_path else name


def model_name(path: str | os.PathLike[str]) -> str:
    """What reports call the model of a file: by the file, its training run, or the folder that it is in.

    Args:
        path: The file, from `find_model`.

    Example:
        >>> model_name("models/mine/model.safetensors"), model_name("runs/mine/best.safetensors")
        ('mine', 'mine/best')
    """
    path = Path(path)
    if path.name == WEIGHTS_FILE:
        return hub_name(path) or path.absolute().parent.name
    return f"{path.absolute().parent.name}/{path.stem}" if _OF_A_RUN.fullmatch(path.stem) else path.stem


def read_header(path: str | os.PathLike[str]) -> Header:
    """Reads what a safetensors file says of itself, and none of its tensors.

    Args:
        path: A safetensors file.

    Returns:
        Its header.

    Raises:
        CheckpointError: The file is missing, damaged or no safetensors file.
    """
    try:
        with safe_open(path, framework="np") as file:
            names = [name for name in file.keys() if not name.startswith(TRAINING_PREFIX)]  # noqa: SIM118
            count = sum(math.prod(file.get_slice(name).get_shape()) for name in names)
            return Header(count, file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: damaged or not a safetensors file ({error}).") from error


def run_checkpoints(folder: Path, *, until: int | None = None) -> list[Path]:
    """Checkpoints that a training run left in its folder, `iter_N.safetensors`, the oldest first.

    Args:
        folder: Folder of the run.
        until: The last step; None for all.
    """
    numbered = [(path.stem.removeprefix("iter_"), path) for path in folder.glob("iter_*.safetensors")]
    steps = sorted((int(number), path) for number, path in numbered if number.isdecimal())
    return [path for step, path in steps if until is None or step <= until]


def _model_in(folder: Path) -> Path:
    """The file of a folder that is a model, or a training run's best model or newest checkpoint."""
    models = [
        *folder.glob(WEIGHTS_FILE),
        *folder.glob("best.safetensors"),
        *reversed(run_checkpoints(folder)),
    ]
    if not models:
        raise ModelNotFoundError(
            f"{folder} is a folder without a trained model (best.safetensors or {WEIGHTS_FILE}); give a "
            "file of weights, or the folder of a training run."
        )
    return models[0]


def _unknown(name: str, bundled: Iterable[str]) -> ModelNotFoundError:
    from escsr.runtime.settings import did_you_mean  # pydantic, which only a wrong name takes

    if Path(name).suffix or "/" in name or os.sep in name:
        return ModelNotFoundError(f"{name:.200}: there is no such file of weights.")
    families = [other.rpartition("-x")[0] for other in bundled if "-x" in other]
    known = [*FAMILIES, *families, *bundled, *RELEASED]
    hint = did_you_mean(name, known) or " `escsr models` lists the models."
    return ModelNotFoundError(f"Unknown model {name:.200}.{hint}")


def _scales_of(family: str, models: Iterable[str]) -> dict[int, str]:
    pattern = re.compile(re.escape(FAMILIES.get(family, family)) + r"-x(\d+)")
    return {int(match[1]): model for model in models if (match := pattern.fullmatch(model))}


def _bundled() -> dict[str, Path]:
    return {path.stem: path for path in (Path(__file__).parent / "weights").glob("*.safetensors")}
