"""Options of pictures, of which rows of a table may have their own: checked before the run, and digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import torch
from pydantic import create_model

from escsr.batch.manifest import settings_text
from escsr.errors import ConfigError
from escsr.files import sha256_of
from escsr.models.selection import choose_model, files_of
from escsr.runtime.settings import Settings, did_you_mean, validated
from escsr.streaming.tiles import check_tile_size
from escsr.upscaling.opening import model_window
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.target_size import parse_crop

__all__ = ["Setting", "remembered_settings", "setting_of", "with_own"]

_REMEMBERED = 1_000
"""Options of pictures of which settings are kept."""

_AS_TEXT = {"model": str, "size": str | None}
"""What is not only plain values in Python."""


class Setting(NamedTuple):
    """Options of a picture, and their digests."""

    options: UpscaleOptions
    settings_sha256: str
    model_sha256: str


def setting_of(
    options: UpscaleOptions,
    own: str,
    *,
    model_of: Callable[..., Path] = choose_model,
    digest_of: Callable[[Path], str] = sha256_of,
) -> Setting:
    """Options of a picture and their digests.

    The model's digest is that of the one chosen for the scale; where each size needs another ("auto" with a
    width), that of the default: the settings hold the version of escsr, which all bundled ones come with.

    Args:
        options: Of the run.
        own: JSON of those that the picture has in their place; "" for none.
        model_of: `choose_model`, or one that remembers its choices, for many pictures.
        digest_of: `sha256_of`, or one that remembers digests.

    Raises:
        ConfigError: An option is unknown or impossible.
        ModelNotFoundError: There is no such model.
    """
    options = with_own(options, own)
    target = options.target
    model = model_of(options.model, target.scale if target else None)
    of_file = options.of_file(model)
    text = f"{options.model} {settings_text(target, of_file)}"
    if target is None and options.crop is not None:  # else the size holds it
        text += f" {parse_crop(options.crop)}"
    settings = hashlib.sha256(text.encode()).hexdigest()
    return Setting(options, settings, " ".join(map(digest_of, files_of(model, of_file.strength or 0))))


def remembered_settings(options: UpscaleOptions) -> Callable[[str], Setting]:
    """`setting_of` for many pictures: however their own options differ, each model is read once.

    Args:
        options: Of the run.

    Returns:
        From a picture's own options to what `setting_of` returns. It also refuses tiles that the model
        cannot have, which would fail picture by picture.
    """
    model_of: Callable[..., Path] = cache(choose_model)
    digest_of, window_of = cache(sha256_of), cache(model_window)

    @lru_cache(_REMEMBERED)
    def checked(own: str) -> Setting:
        setting = setting_of(options, own, model_of=model_of, digest_of=digest_of)
        given, target = setting.options, setting.options.target
        if given.tile_size is not None:
            model = model_of(given.model, target.scale if target else None)
            check_tile_size(given.tile_size, window_of(model))
        return setting

    return checked


def with_own(options: UpscaleOptions, own: str) -> UpscaleOptions:
    """The options of a run, with those that a picture has in their place.

    Args:
        options: Of the run.
        own: JSON, `{"scale": 4}`; "" for none.

    Raises:
        ConfigError: It is no object of JSON, or an option is unknown or impossible.

    Example:
        >>> with_own(UpscaleOptions(), '{"crop": [0, 0, 8, 8]}').crop
        (0, 0, 8, 8)
    """
    if not own:
        return options
    try:
        given = dict(json.loads(own))
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f'options {own}: not an object of JSON, like {{"scale": 4}}.') from error
    known = _own_options()
    names = set(known.model_fields)
    for name in set(given) - names:
        raise ConfigError(f"options {own}: there is no option {name}.{did_you_mean(name, names)}")
    try:
        validated(known, given)
    except ConfigError as error:
        raise ConfigError(f"options {own}: {error}") from error
    if isinstance(given.get("crop"), list):
        given["crop"] = tuple(given["crop"])
    return replace(options, **given)  # as they are written, since digests of earlier runs are of that


@cache
def _own_options() -> type[Settings]:
    hints = get_type_hints(UpscaleOptions, localns={"torch": torch}) | _AS_TEXT
    names = set(UpscaleOptions.__dataclass_fields__) - {"device"}
    fields: dict[str, Any] = {name: (hint, None) for name, hint in hints.items() if name in names}
    return create_model("RowOptions", __base__=Settings, **fields)
