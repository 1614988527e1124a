"""Recipes by name: each function returns a whole configuration and tells what to expect of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial

from escsr.errors import ConfigError
from escsr.runtime.settings import did_you_mean
from escsr.training.config import TrainingConfig, flat
from escsr.training.recipes import classic, quick
from escsr.training.recipes.ablations import ABLATIONS, ablation

__all__ = ["RECIPES", "about", "recipe", "source_of"]

_CLASSIC = {
    "esc": classic.esc,
    "esc-light": classic.esc_light,
    "esc-fp": classic.esc_fp,
    "esc-dflip": classic.esc_dflip,
    "esc-xl": classic.esc_xl,
}
_AT_EACH_SCALE = {
    f"{name}-x{scale}": partial(function, scale)
    for name, function in _CLASSIC.items()
    for scale in (2, 3, 4)
}
_ABLATIONS = {f"esc-x2-{name}": partial(ablation, name) for name in ABLATIONS}
_AS_PUBLISHED: dict[str, Callable[[], TrainingConfig]] = {
    **_AT_EACH_SCALE,
    "esc-lte": classic.esc_lte,
    **_ABLATIONS,
}

RECIPES: dict[str, Callable[[], TrainingConfig]] = {
    **_AS_PUBLISHED,
    "esc-light-x2-quick": quick.esc_light_x2_quick,
    "esc-light-x3-quick": quick.esc_light_x3_quick,
    "esc-light-x4-quick": quick.esc_light_x4_quick,
    "esc-light-x2-gpu-hour": quick.esc_light_x2_gpu_hour,
    "esc-lte-quick": quick.esc_lte_quick,
    **{f"esc-x{scale}-quick": partial(quick.esc_quick, scale) for scale in (2, 3, 4)},
    **{f"esc-fp-x{scale}-quick": partial(quick.esc_fp_quick, scale) for scale in (2, 3, 4)},
    **{
        f"{variant}-x{scale}-flat": partial(quick.flat, variant, scale)
        for variant in ("esc-light", "esc")
        for scale in (2, 3, 4)
    },
}
"""Every recipe; those of the paper also as NAME@paper, with the values of its text."""

_PAPER = "@paper"


def recipe(name: str) -> TrainingConfig:
    """Returns a recipe by name.

    Args:
        name: One of `RECIPES`, the paper's also with @paper behind it.

    Returns:
        The configuration.

    Raises:
        ConfigError: There is no such recipe.
    """
    base = name.removesuffix(_PAPER)
    if base not in RECIPES:
        hint = did_you_mean(base, RECIPES)
        raise ConfigError(f"Unknown recipe {name!r}.{hint} Known are {', '.join(RECIPES)}.")
    config = RECIPES[base]()
    if base == name:
        return config
    if base not in _AS_PUBLISHED:
        raise ConfigError(f"{base} is not a recipe of the paper; @paper is for {', '.join(_AS_PUBLISHED)}.")
    return classic.with_paper_text(config)


def about(name: str) -> str:
    """The docstring of a recipe: command, hardware, time, what it is expected to reach and has reached."""
    function = RECIPES[name.removesuffix(_PAPER)]
    return inspect.getdoc(function.func if isinstance(function, partial) else function) or ""


def source_of(name: str, key: str) -> str:
    """Where a recipe's value is from.

    Args:
        name: The recipe's.
        key: A setting, nested ones with dots.

    Returns:
        In words.
    """
    if key == "name" or key.startswith("network"):
        return "docs/paper.md" if key != "name" else ""
    base = name.removesuffix(_PAPER)
    value, published, light = (
        flat(recipe(each).to_dict()).get(key) for each in (name, base, "esc-light-x2")
    )
    if value != published:
        return "paper text"
    if base in _AS_PUBLISHED or value == light:
        return classic.SOURCES.get(key, "ours")
    return "ours, see docs/training.md"
