"""Options that a row of a table has in the place of the run's, checked before anything is planned."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any, get_type_hints

import torch
from pydantic import create_model

from escsr.errors import ConfigError
from escsr.runtime.settings import Settings, did_you_mean, validated
from escsr.upscaling.options import UpscaleOptions

__all__ = ["with_own"]

_AS_TEXT = {"model": str, "size": str | None}
"""What is not only plain values in Python."""


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
