"""The models that a server offers, by name; nothing else can be asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from escsr.models.bundled import FAMILIES, REAL, list_models
from escsr.models.checkpoints import read_checkpoint
from escsr.models.selection import DEFAULT_MODEL, choose_model, choose_strength, gan_form

__all__ = ["Offer", "list_offers", "scale_of"]

_ABOUT = {
    DEFAULT_MODEL: "Clean pictures: photographs, drawings, scans. The model follows the size.",
    REAL: "Photographs with noise or JPEG blocks, which it takes away.",
    "esc-light": "Clean pictures; quick.",
    "esc": "Clean pictures; the most exact, in half as much time again.",
    "esc-fp": "Clean pictures; the fewest parameters.",
    "esc-lte": "Clean pictures, at any scale; slow.",
    "esc-real-light": "Photographs with noise or JPEG blocks; invents nothing.",
    "esc-real-light-gan": "Photographs with noise or JPEG blocks; sharp, with invented detail.",
}
"""By name or family."""

_FACTORS = (2, 3, 4)


@dataclass(frozen=True)
class Offer:
    """One model.

    Attributes:
        name: What a job calls it.
        weights: What `choose_model` takes: a name or a file.
        scale: The model's factor; None where it follows the size.
        about: What it is for; "" for models of one's own.
        strength: The usual one; None for models that have none.
        strength_scales: Of the factors 2, 3 and 4 those whose model has it.
    """

    name: str
    weights: str
    scale: int | None
    about: str
    strength: float | None
    strength_scales: tuple[int, ...]


def list_offers(models: Sequence[str] = ()) -> dict[str, Offer]:
    """Offers by name, the default first.

    Args:
        models: Names and files of weights to offer; none for "auto", "real" and all that are bundled.

    Returns:
        The offers; a file is called by its stem.

    Raises:
        ModelNotFoundError: There is no such model.
        CheckpointError: Its file cannot be used.
    """
    real = [REAL] if any(_is_real(name) for name in list_models()) else []
    offers = [_offer(name) for name in models or (DEFAULT_MODEL, *real, *list_models())]
    return {offer.name: offer for offer in offers}


@cache
def scale_of(weights: Path) -> int | None:
    """The factor of a model, from its file, which is read once; None for any."""
    return read_checkpoint(weights).config.scale


def _offer(model: str) -> Offer:
    path = choose_model(model, None)
    follows = model in (DEFAULT_MODEL, REAL) or path.stem.startswith(f"{model}-x")
    is_file = not follows and Path(model).name != path.stem
    name = path.stem if is_file else model
    about = _ABOUT.get(name) or _ABOUT.get(name.rpartition("-x")[0], "")
    files = {scale: choose_model(model, scale) if follows else path for scale in _FACTORS}
    blends = [scale for scale, file in files.items() if gan_form(file) is not None]
    strength = choose_strength(model, files[blends[0]], None) if blends else None
    return Offer(name, model, None if follows else scale_of(path), about, strength, tuple(blends))


def _is_real(name: str) -> bool:
    return name.startswith(FAMILIES[REAL])
