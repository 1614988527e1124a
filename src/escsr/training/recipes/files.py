"""Recipes in files: the `recipe.json` of a run, or one written by hand, in JSON or TOML."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from escsr.errors import ConfigError
from escsr.training.config import TrainingConfig, flat

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["base_of", "is_recipe_file", "read_recipe"]

_SUFFIXES = (".json", ".toml")
_NOT_SETTINGS = ("data",)
"""What the file of a run holds beside settings: the fingerprint of its pictures."""


def is_recipe_file(name: str) -> bool:
    """Whether a recipe's name is meant as a file, by its ending."""
    return Path(name).suffix.lower() in _SUFFIXES


def read_recipe(
    path: str | os.PathLike[str], named: Callable[[str], TrainingConfig], *, named_by: Sequence[Path] = ()
) -> TrainingConfig:
    """Reads a recipe from a file.

    Args:
        path: JSON or TOML, by its ending: all settings, nested or with dots, or `base = "NAME"` and the
            settings that differ from that recipe, or from that of a file beside this one; layers, and parts
            of a mixture that are given with their degradation, take the place of all that it has. "none"
            stands for no value.
        named: Returns a recipe by name.
        named_by: Files whose base it is, and that of their base.

    Returns:
        The recipe; its name is the file's, where it has none of its own.

    Raises:
        ConfigError: The file is missing or damaged, is a base of itself, or a setting is unknown or
            impossible.
    """
    path = Path(path)
    values = _values(path)
    settings = {key: _none(value) for key, value in values.items() if key not in _NOT_SETTINGS}
    base = settings.pop("base", None)
    settings.setdefault("name", path.stem)
    try:
        if base is None:
            return TrainingConfig.from_dict(settings)
        changes = flat(settings, whole=_is_whole)
        name, files = _beside(path, str(base)), (*named_by, path.resolve())
        if is_recipe_file(name) and Path(name).resolve() in files:
            raise ConfigError(f"its base {base} is this file, or is built on it; name another recipe.")
        below = read_recipe(name, named, named_by=files) if is_recipe_file(name) else named(name)
        return below.replace({key: _none(value) for key, value in changes.items()})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def base_of(path: str | os.PathLike[str]) -> str | None:
    """The recipe that a file names as its base, or None.

    Raises:
        ConfigError: The file is missing or damaged.
    """
    base = _none(_values(Path(path)).get("base"))
    return None if base is None else _beside(Path(path), str(base))


def _beside(path: Path, base: str) -> str:
    """The base that a file names: a file beside it, where there is one."""
    beside = path.parent / base
    return str(beside) if is_recipe_file(base) and beside.exists() else base


def _values(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes().decode()
        values: Any = json.loads(content) if path.suffix.lower() == ".json" else tomllib.loads(content)
    except OSError as error:
        raise ConfigError(f"{path}: the recipe cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        kind = path.suffix[1:].upper()
        raise ConfigError(f"{path}: not valid {kind}: {str(error)[:200]}.") from error
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path}: a recipe consists of settings with names, not of a {type(values).__name__}."
        )
    return values


def _is_whole(key: str, value: Mapping[str, Any]) -> bool:
    """Whether a group takes the place of the base's: layers, and parts that come with their degradation."""
    if key == "objective.perceptual.layers":
        return True
    full = all(isinstance(part, Mapping) and "degradation" in part for part in value.values())
    return key == "objective.degradation.parts" and full


def _none(value: Any) -> Any:
    """TOML has no word for no value."""
    return None if isinstance(value, str) and value.lower() == "none" else value
