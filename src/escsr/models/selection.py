"""Which model upscales an image: the one rule behind `--scale`, and its words for people."""

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
(results/models/any-scale.json; docs/command-line.md)."""

_FIXED, _ANY = "esc-light", "esc-lte"
_WHY_FIXED = "three fifths of the full ESC's time, and hardly less sharp"
_WHY_ANY = f"up to ×{ANY_SCALE_UP_TO:g} sharper than downscaling the result of a ×2 model"


def choose_model(name: str | os.PathLike[str], scale: float | None) -> Path:
    """The file of weights for a scale.

    "auto" is `esc-light` at the smallest of its scales that reaches the one wanted (the largest where none
    does), but up to ×1.75 `esc-lte`, which computes any scale. A size that a model does not have is
    reached by resizing its result.

    Args:
        name: "auto"; "real" for noisy and compressed photographs; a bundled name, with or without its
            scale; a downloaded one; a file or a folder; or one of the Hugging Face Hub.
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
        Which family, because the rule says so or it was named; which scale of it, where it has several.
    """
    family, chosen = _family(name, scale), model_name(choose_model(name, scale))
    if os.fspath(name) != DEFAULT_MODEL:
        reason = f"{family}: as named"
    else:
        reason = f"{family}: the default, {_WHY_ANY if family == _ANY else _WHY_FIXED}"
    if not chosen.startswith(f"{family}-x"):  # the name of one model, or a file
        return reason
    if scale is None:
        small = f", {_ANY} up to ×{ANY_SCALE_UP_TO:g}" if os.fspath(name) == DEFAULT_MODEL else ""
        return f"{reason}; of its scales each picture takes the smallest that reaches its size{small}"
    if int(chosen.removeprefix(f"{family}-x")) < scale:
        return f"{reason}; {chosen}: its largest scale, ×{scale:g} is reached by resizing"
    return f"{reason}; {chosen}: its smallest scale that reaches ×{scale:g}"


def _family(name: str | os.PathLike[str], scale: float | None) -> str:
    if os.fspath(name) != DEFAULT_MODEL:
        return FAMILIES.get(os.fspath(name), os.fspath(name))
    return _ANY if scale is not None and 1 < scale <= ANY_SCALE_UP_TO else _FIXED
