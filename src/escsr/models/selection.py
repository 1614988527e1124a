"""Which model upscales an image: the one rule behind `--scale` and `--strength`, and how to tell people."""

from __future__ import annotations

import logging
import os
from functools import cache
from numbers import Real
from pathlib import Path

from escsr.errors import ConfigError
from escsr.models.bundled import FAMILIES, REAL, family_scales, find_model, model_name, name_of

__all__ = [
    "ANY_SCALE_UP_TO",
    "DEFAULT_MODEL",
    "DEFAULT_STRENGTH",
    "check_strength",
    "choose_model",
    "choose_strength",
    "explain",
    "files_of",
    "gan_form",
    "is_family",
]

DEFAULT_MODEL = "auto"
"""The model where none is named, by the rule of `choose_model`."""

ANY_SCALE_UP_TO = 1.75
"""Up to this scale the model for any scale is better than one for ×2 whose result is downscaled; above it a
model for the next whole scale is as good or better, in a fraction of the time
(results/models/any-scale.json; docs/upscale.md)."""

DEFAULT_STRENGTH = 0.9
"""Share of the GAN form in model "real" where none is given; `benchmarks/real_blending.py` measures it."""

_LOG = logging.getLogger(__name__)

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


def is_family(name: str | os.PathLike[str]) -> bool:
    """Whether each scale may take another file: of "auto", and of a bundled name without its scale.

    Args:
        name: As for `choose_model`.
    """
    text = name_of(name)
    return text == DEFAULT_MODEL or bool(family_scales(text))


def gan_form(path: Path) -> Path | None:
    """The second form of a model, which was trained on from it against a discriminator.

    Args:
        path: Of the first form, "photo-x4.safetensors".

    Returns:
        "photo-gan-x4.safetensors" in the same folder; None where there is none.
    """
    family, _, scale = path.stem.rpartition("-x")
    other = path.with_name(f"{family}-gan-x{scale}{path.suffix}")
    return other if scale.isdigit() and other.is_file() else None


def check_strength(strength: float | None) -> None:
    """Refuses a strength that no model can have.

    Raises:
        ConfigError: It is not from 0 to 1.
    """
    if strength is not None and not (isinstance(strength, Real) and 0 <= strength <= 1):
        raise ConfigError(f"strength must be from 0 to 1, not {strength!r}.")


def choose_strength(name: str | os.PathLike[str], path: Path, strength: float | None) -> float:
    """How much of its GAN form a model gets.

    Args:
        name: As for `choose_model`.
        path: What that returned.
        strength: As asked for; None for `DEFAULT_STRENGTH` of "real" where it has a GAN form, and for 0 of
            all others, which are what their files hold.

    Returns:
        0 for the model's file, 1 for its GAN form. Of "real" 0 where its model for the scale has no GAN
        form, which is logged once.

    Raises:
        ConfigError: It is not from 0 to 1, or above 0 and a model of another name has no GAN form.
    """
    if strength is None:
        has_two = name_of(name) == REAL and gan_form(path) is not None
        return DEFAULT_STRENGTH if has_two else 0.0
    check_strength(strength)
    if strength > 0 and gan_form(path) is None:
        if name_of(name) == REAL:
            _note_without_effect(path)
            return 0.0
        raise ConfigError(
            f"strength {strength:g} is for models with a GAN form, and {model_name(path)} has none; leave "
            f"strength out, or choose model {REAL}."
        )
    return strength


@cache
def _note_without_effect(path: Path) -> None:
    """Logs it once a model, though pictures and their lists ask often."""
    _LOG.warning("Strength has no effect on %s, which has no GAN form; it is 0 there.", model_name(path))


def files_of(path: Path, strength: float) -> tuple[Path, ...]:
    """The files that weights are made of: the model's, and above strength 0 that of its GAN form.

    Raises:
        ConfigError: As `choose_strength`.
    """
    other = gan_form(path) if choose_strength(path, path, strength) > 0 else None
    return (path,) if other is None else (path, other)


def explain(name: str | os.PathLike[str], scale: float | None, strength: float | None = None) -> str:
    """Why the model for a scale is the one it is, in a line for people.

    Args:
        name: As for `choose_model`.
        scale: As for `choose_model`; None where each image has its own.
        strength: As for `choose_strength`.

    Returns:
        The model, why it is taken, and whether its result is resized.
    """
    path = choose_model(name, scale)
    family, chosen = _family(name, scale), model_name(path)
    is_default = name_of(name) == DEFAULT_MODEL
    reason = _WHY[family] if is_default else "as given"
    if share := choose_strength(name, path, strength):
        reason += f", strength {share:g}"
    if not chosen.startswith(f"{family}-x"):  # the name of one model, or a file
        return f"{family} ({reason})"
    if scale is None:
        small = f"; up to ×{ANY_SCALE_UP_TO:g} {_ANY}" if is_default else ""
        return f"{family} ({reason}), for each picture at the smallest scale that reaches its size{small}"
    own = chosen.removeprefix(f"{family}-x")
    resized = "" if float(own) == scale else f"; its ×{own} result is resized to ×{scale:g}"
    return f"{chosen} ({reason}){resized}"


def _family(name: str | os.PathLike[str], scale: float | None) -> str:
    text = name_of(name)
    if text != DEFAULT_MODEL:
        return FAMILIES.get(text, text)
    return _ANY if scale is not None and 1 < scale <= ANY_SCALE_UP_TO else _FIXED
