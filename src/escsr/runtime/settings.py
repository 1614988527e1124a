"""Plain values, as JSON has them, to typed settings: checked once, by pydantic, all messages alike."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, to_json

from escsr.errors import ConfigError

__all__ = ["Settings", "did_you_mean", "setting_names", "validated"]

_T = TypeVar("_T")

_LEAST_ALIKE = 0.6
"""Similarity of names, by `difflib`, from which one may have been meant for the other."""


class Settings(BaseModel):
    """Settings that never change, know all their keys, and convert nothing."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def validated(kind: type[_T], values: Mapping[str, Any]) -> _T:
    """Builds settings from plain values, nested as the kind is; nothing is converted or passed over.

    "2" is no 2 and true no 1; an integer does for a float, a list for a tuple; numbers are finite. A
    dataclass is held to this by its `__pydantic_config__`.

    Args:
        kind: A pydantic model, or a dataclass.
        values: Field names to values.

    Returns:
        The settings.

    Raises:
        ConfigError: A key is unknown (the nearest is named) or missing, or a value is impossible; the
            message names the key, what was given and what is accepted.

    Example:
        >>> from escsr.networks import NetworkConfig
        >>> validated(NetworkConfig, {"dim": 48, "num_heads": 3}).dim
        48
    """
    try:
        # As JSON, since a list is a tuple there, and a mapping a dataclass, however strict the types are.
        return TypeAdapter(kind).validate_json(to_json(values, inf_nan_mode="constants"))
    except ValidationError as error:
        raise ConfigError(_message(error.errors(include_url=False)[0], kind, values)) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"Settings are plain values, as JSON has them: {str(error)[:200]}.") from error


def setting_names(kind: Any, prefix: str = "") -> Iterator[str]:
    """Names of all fields of a model or a dataclass, those of nested ones behind a dot.

    Args:
        kind: The model or dataclass, or a union of such.
        prefix: What to put before each.

    Yields:
        Names, of a union's members each.
    """
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = {name: field.annotation for name, field in kind.model_fields.items()}
    elif dataclasses.is_dataclass(kind):
        fields = get_type_hints(kind)
    else:
        for member in get_args(kind):
            yield from setting_names(member, prefix)
        return
    for name, annotation in fields.items():
        inner = list(setting_names(annotation, f"{prefix}{name}."))
        yield from inner or [prefix + name]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the nearest of the known names, to end a message with; empty where none is near."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=_LEAST_ALIKE)
    return f" Did you mean {nearest[0]}?" if nearest else ""


def _instead_of(key: str, known: Iterable[str]) -> str:
    """The setting that was perhaps meant, or all that stand beside it, as a sentence."""
    part, dot, last = key.rpartition(".")
    prefix = part + dot
    beside = sorted({n.removeprefix(prefix).partition(".")[0] for n in known if n.startswith(prefix)})
    nearest = did_you_mean(last, beside) if dot and beside else did_you_mean(key, known)
    return nearest or (f" There are {', '.join(beside)}." if beside else "")


def _message(error: ErrorDetails, kind: type[Any], values: Mapping[str, Any]) -> str:
    kept: list[str] = []
    inner: Any = values
    for part in error["loc"]:  # which also has the tags of unions, and places in lists
        if isinstance(inner, Mapping) and part in inner:
            kept.append(str(part))
            inner = inner[part]
    if error["type"] == "missing":
        return f"Missing setting {'.'.join([*kept, str(error['loc'][-1])])!r}."
    key = ".".join(kept)
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"Unknown setting {key!r}.{_instead_of(key, set(setting_names(kind)) - {key})}"
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        return str(cause)
    given = repr(error["input"])
    given = given if len(given) < 200 else f"{given[:200]}…"
    message = error["msg"].removeprefix("Value error, ")
    problem = message if key in message else message.replace("Input", key, 1)
    return f"{problem if key in problem else f'{key}: {problem}'}, not {given}."
