"""Which model upscales an image: the one rule behind `--scale`, and how to tell people."""

from __future__ import annotations

import os
from pathlib import Path

from escsr.models.bundled import FAMILIES, find_model, model_name

__all__ = ["ANY_SCALE_UP_TO", "DEFAULT_MODEL", "choose_model", "explain"]

DEFAULT_MODEL = "auto"
"""The model where none is named, by the rule of `choose_model`."""

ANY_SCALE_UP_TO = 1.75
"""Up to this scale the model for any scale is better than one for ×2 whose result is downscaled; above it a
model for the next whole scale is as good or better, in a fraction of the time
(results/models/any-scale.json; docs/upscale.md)."""

_FIXED, _ANY = "esc-light", "esc-lte"
_WHY = {
    _FIXED: "the default, nearly as sharp as esc in two thirds of the time",
    _ANY: f"the default up to ×{ANY_SCALE_UP_TO:g}, sharper there than a ×2 result made smaller",
}


def choose_model(name: str | os.PathLike[str], scale: float | None) -> Path:
    """The file of weights for a scale.

    "auto" is `esc-light` at the smallest of its scales that is at least the one wanted (the largest where
    none is), but up to ×1.75 `esc-lte`, which computes any scale. Another size than the model's own is
    reached by resizing its result.

    Args:
        name: "auto"; "real" for noisy and compressed photographs; a bundled name, with or without its
            scale; a downloaded one; a file, a folder that holds a model or a training run; or a name on the
            Hugging Face Hub.
        scale: Wanted; None for ×2, or the scale of the model named.

    Returns:
        An existing file.

    Raises:
        ModelNotFoundError: As `find_model`.
        CheckpointError: As `find_model`.
    """
    return find_model(_family(name, scale), scale=scale)


def explain(name: str | os.PathLike[str], scale: float | None) -> str:
    """Why the model for a scale is the one it is, in a line for people.

    Args:
        name: As for `choose_model`.
        scale: As for `choose_model`; None where each image has its own.

    Returns:
        The model, why it is taken, and whether its result is resized.
    """
    family, chosen = _family(name, scale), model_name(choose_model(name, scale))
    is_default = os.fspath(name) == DEFAULT_MODEL
    reason = _WHY[family] if is_default else "as given"
    if not chosen.startswith(f"{family}-x"):  # the name of one model, or a file
        return f"{family} ({reason})"
    if scale is None:
        small = f"; up to ×{ANY_SCALE_UP_TO:g} {_ANY}" if is_default else ""
        return f"{family} ({reason}), for each picture at the smallest scale that reaches its size{small}"
    own = chosen.removeprefix(f"{family}-x")
    resized = "" if float(own) == scale else f"; its ×{own} result is resized to ×{scale:g}"
    return f"{chosen} ({reason}){resized}"


def _family(name: str | os.PathLike[str], scale: float | None) -> str:
    if os.fspath(name) != DEFAULT_MODEL:
        return FAMILIES.get(os.fspath(name), os.fspath(name))
    return _ANY if scale is not None and 1 < scale <= ANY_SCALE_UP_TO else _FIXED
