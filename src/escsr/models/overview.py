"""What each bundled model is for, how good and how fast it is, to choose by; without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from escsr.files import read_json
from escsr.models.bundled import FAMILIES, REAL, find_model, list_models, read_header
from escsr.models.selection import DEFAULT_MODEL, choose_model

__all__ = ["ModelOverview", "model_overviews"]

_PURPOSES = {
    "esc-light": ("clean pictures, fast", 8),
    "esc": ("clean pictures, a little sharper", 12),
    "esc-fp": ("clean pictures, smallest file", 10),
    "esc-lte": ("clean pictures, any scale", 35),
    "esc-real-light": ("noisy and compressed photos", 8),
    "esc-real-light-gan": ("the same, sharper, with invented detail", 8),
}
"""By family: what it is for; and seconds per megapixel of the input on two threads of a server CPU, which
results/models/compare-cpu.json records (esc-real-light and its GAN form are computed as
esc-light is)."""

_SET = "Set14"


@dataclass(frozen=True)
class ModelOverview:
    """One bundled model in the list.

    Attributes:
        name: What `--model` and `Upscaler` take.
        purpose: What it is for, in a few words.
        scale: Factor of both sides; None for any.
        gain_db: By how much its results are nearer to the originals than bicubic interpolation, in PSNR on
            Set14 (for a model of any scale at ×2); None where that is not what it is made for.
        seconds_per_megapixel: Of the input, on two threads of a server CPU.
        is_default: Whether `--model auto` chooses it.
        num_parameters: Values of all weights.
        licence: Of the weights.
    """

    name: str
    purpose: str
    scale: int | None
    gain_db: float | None
    seconds_per_megapixel: float
    is_default: bool
    num_parameters: int
    licence: str


def model_overviews() -> list[ModelOverview]:
    """Describes the bundled models.

    Returns:
        The defaults first, then other models of clean pictures, then those of real photos.

    Raises:
        CheckpointError: A bundled file is damaged.

    Example:
        >>> model_overviews()[0].name
        'esc-light-x2'
    """
    defaults = {choose_model(DEFAULT_MODEL, scale).stem for scale in (1.5, 2, 3, 4)}
    rows = [_overview(name, name in defaults) for name in list_models()]
    order = list(_PURPOSES)
    return sorted(rows, key=lambda row: (order.index(_family(row.name)), row.scale or 0))


def _overview(name: str, is_default: bool) -> ModelOverview:
    path = find_model(name)
    header = read_header(path)
    scale = header.metadata.get("scale", "any")
    purpose, seconds = _PURPOSES[_family(name)]
    return ModelOverview(
        name=name,
        purpose=purpose,
        scale=None if scale == "any" else int(scale),
        gain_db=None if name.startswith(FAMILIES[REAL]) else _gain(path),
        seconds_per_megapixel=seconds,
        is_default=is_default,
        num_parameters=header.num_parameters,
        licence=header.metadata.get("licence", ""),
    )


def _family(name: str) -> str:
    family, _, scale = name.rpartition("-x")
    return family if scale.isdigit() else name


def _gain(path: Path) -> float | None:
    """From the card beside the weights."""
    sets = read_json(path.with_suffix(".json"))["sets"]
    figures = sets.get(_SET) or sets.get(f"{_SET} ×2")
    return None if figures is None else round(figures["model"][0] - figures["bicubic"][0], 2)
