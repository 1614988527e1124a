"""Recipes by name: each function returns a whole configuration and tells what to expect of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial

from escsr.errors import ConfigError
from escsr.networks.ablations import ABLATIONS
from escsr.runtime.settings import did_you_mean
from escsr.training.config import TrainingConfig, flat
from escsr.training.recipes import classic, quick, real
from escsr.training.recipes.ablations import ablation
from escsr.training.recipes.files import is_recipe_file, read_recipe

__all__ = ["GROUPS", "RECIPES", "about", "recipe", "source_of"]

_Recipes = dict[str, Callable[[], TrainingConfig]]


def _at_each_scale(name: str, function: Callable[..., TrainingConfig], *of: str) -> _Recipes:
    return {name.format(scale): partial(function, *of, scale) for scale in (2, 3, 4)}


_QUICK: _Recipes = {
    "esc-light-x2-quick": quick.esc_light_x2_quick,
    "esc-light-x3-quick": quick.esc_light_x3_quick,
    "esc-light-x4-quick": quick.esc_light_x4_quick,
    **_at_each_scale("esc-x{}-quick", quick.esc_quick),
    **_at_each_scale("esc-fp-x{}-quick", quick.esc_fp_quick),
    "esc-lte-quick": quick.esc_lte_quick,
}
_BUNDLED: _Recipes = {
    **_at_each_scale("esc-light-x{}-flat", quick.flat, "esc-light"),
    **_at_each_scale("esc-x{}-flat", quick.flat, "esc"),
    **_at_each_scale("esc-light-x{}-finetune", quick.finetune, "esc-light"),
    **_at_each_scale("esc-x{}-finetune", quick.finetune, "esc"),
    **_at_each_scale("esc-fp-x{}-finetune", quick.finetune, "esc-fp"),
}
_REAL: _Recipes = {
    **{f"esc-real-light-x{scale}": partial(real.esc_real_light, scale) for scale in (2, 4)},
    **{f"esc-real-light-psnr-x{scale}": partial(real.esc_real_light_psnr, scale) for scale in (2, 4)},
    **{f"esc-real-light-features-x{s}": partial(real.esc_real_light_features, s) for s in (2, 4)},
    **{f"esc-real-light-gan-x{scale}": partial(real.esc_real_light_gan, scale) for scale in (2, 4)},
}
_ONE_GPU: _Recipes = {"esc-light-x2-gpu-hour": quick.esc_light_x2_gpu_hour}
_PAPERS: _Recipes = {
    **_at_each_scale("esc-x{}", classic.esc),
    **_at_each_scale("esc-light-x{}", classic.esc_light),
    **_at_each_scale("esc-fp-x{}", classic.esc_fp),
    **_at_each_scale("esc-dflip-x{}", classic.esc_dflip),
    **_at_each_scale("esc-xl-x{}", classic.esc_xl),
    **_at_each_scale("esc-rib-x{}", classic.esc_rib),
    "esc-lte": classic.esc_lte,
    "esc-real": real.esc_real,
    "esc-real-gan": real.esc_real_gan,
}
_ABLATIONS: _Recipes = {f"esc-x2-{name}": partial(ablation, name) for name in ABLATIONS}
_AS_PUBLISHED = {**_PAPERS, **_ABLATIONS}

GROUPS: dict[str, tuple[str, ...]] = {
    "Quick, for a few CPU cores": tuple(_QUICK),
    "Real photos, for a few CPU cores": tuple(_REAL),
    "Bundled models trained further, for a few CPU cores": tuple(_BUNDLED),
    "For one GPU": tuple(_ONE_GPU),
    "The paper's, for large GPUs": tuple(_PAPERS),
    "Ablations of the paper's Table 3, for large GPUs": tuple(_ABLATIONS),
}
"""Names of the recipes by what they are for."""

RECIPES: _Recipes = {**_QUICK, **_REAL, **_BUNDLED, **_ONE_GPU, **_PAPERS, **_ABLATIONS}
"""Every recipe; those of the paper also as NAME@paper, with the values of its text."""

_PAPER = "@paper"


def recipe(name: str) -> TrainingConfig:
    """Returns a recipe by name, or from a file.

    Args:
        name: One of `RECIPES`, the paper's also with @paper behind it; or a file in JSON or TOML, see
            `read_recipe`.

    Returns:
        The configuration.

    Raises:
        ConfigError: There is no such recipe, or the file cannot be used.
    """
    if is_recipe_file(name):
        return read_recipe(name, recipe)
    base = name.removesuffix(_PAPER)
    if base not in RECIPES:
        hint = did_you_mean(base, RECIPES) or " `escsr recipes` lists them."
        raise ConfigError(f"Unknown recipe {name!r}.{hint}")
    config = RECIPES[base]()
    if base == name:
        return config
    if base not in _AS_PUBLISHED:
        raise ConfigError(f"{base} is not one of the paper's recipes, so there is no {name}.")
    text = real.PAPER_TEXT.get(base, {"optimizer.betas": (0.9, 0.999)})
    return config.replace({"name": name, **text})


def about(name: str) -> str:
    """The docstring of a recipe: command, hardware, time, what it is expected to reach and has reached."""
    if is_recipe_file(name):
        return f"Read from {name}."
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
    if is_recipe_file(name):
        return ""
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
