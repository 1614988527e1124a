"""What stands side by side on a page, as it is written: models, interpolations, results of other tools."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from escsr import images
from escsr.errors import ConfigError, ImageError
from escsr.models.bundled import find_model, model_name
from escsr.models.selection import DEFAULT_MODEL, choose_model, choose_strength

__all__ = ["INTERPOLATIONS", "Contender", "as_several", "name_contenders", "parse_contenders"]


INTERPOLATIONS = ("bicubic", "nearest")
"""Contenders that need no weights; "bicubic" has a = −0.5, as Pillow's."""


@dataclass(frozen=True)
class Contender:
    """One column of a page.

    Attributes:
        name: Given by the user; "" for the model's.
        model: Bundled name, "auto", file of weights, or one of `INTERPOLATIONS`.
        picture: A result made by another tool, in place of a model.
    """

    name: str
    model: str
    picture: Path | None = None

    @property
    def is_network(self) -> bool:
        """Whether there are weights to be loaded."""
        return self.picture is None and self.model not in INTERPOLATIONS


def as_several(given: Any) -> list[Any]:
    """What is given as one or as several, as a list: of one name, path or model, or of none for None.

    A name is a sequence of letters to Python, and some models (`nn.Sequential`) are iterable.

    Example:
        >>> as_several("esc-x2"), as_several(("esc-x2", "esc-x4")), as_several(None)
        (['esc-x2'], ['esc-x2', 'esc-x4'], [])
    """
    if given is None:
        return []
    is_one = isinstance(given, (str, os.PathLike)) or callable(given) or not isinstance(given, Iterable)
    return [given] if is_one else list(given)


def parse_contenders(texts: Sequence[str]) -> tuple[Contender, ...]:
    """Reads MODEL or NAME=MODEL, sees that each is there; without PyTorch, so that it is quick.

    Args:
        texts: Bundled name, "auto", "bicubic", "nearest", file of weights or picture file, each with a name
            and "=" before it or without. What is a file as it is written keeps its "=".

    Returns:
        One for each text.

    Raises:
        ConfigError: A name or a model is empty.
        ModelNotFoundError: There is no such model.
        ImageError: A picture cannot be read.

    Example:
        >>> parse_contenders(["plain=bicubic"])
        (Contender(name='plain', model='bicubic', picture=None),)
    """
    return tuple(map(_parsed, texts))


def _parsed(text: str) -> Contender:
    name, separator, model = text.partition("=")
    if not separator or _file(text) is not None:
        name, model = "", text
    elif not (name.strip() and model.strip()):
        raise ConfigError(f"A column reads MODEL or NAME=MODEL, not {text!r}.")
    name, model = name.strip(), model.strip()
    if model in (DEFAULT_MODEL, *INTERPOLATIONS):
        return Contender(name, model)
    path = _file(model)
    if Path(model).suffix.lower() in images.READABLE:
        images.recognise(path or model)  # tells why it is no picture
        return Contender(name, model, path)
    if path is not None:
        with suppress(ImageError):
            images.recognise(path)
            return Contender(name, model, path)
    find_model(model)
    return Contender(name, model)


def _file(text: str) -> Path | None:
    with suppress(OSError, RuntimeError, ValueError):  # too long a name, or in the home of nobody
        path = Path(text).expanduser()
        return path if path.is_file() else None
    return None


def name_contenders(contenders: Sequence[Contender], scale: float) -> list[str]:
    """What to call the columns: as the user does, or the model that a scale chooses, or the file.

    Args:
        contenders: The columns.
        scale: Of the page.

    Returns:
        A different name for each.

    Raises:
        ConfigError: Two have the same name, because they are the same or were given it.
    """
    short = [each.name or _short_name(each, scale) for each in contenders]
    names = [
        each.model if short.count(name) > 1 and not each.name else name
        for each, name in zip(contenders, short, strict=True)
    ]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"Two columns are called {twice}; give each a name of its own, NAME=MODEL.")
    return ["".join(letter if letter.isprintable() else "?" for letter in name) for name in names]


def _short_name(contender: Contender, scale: float) -> str:
    if contender.picture is not None:
        return contender.picture.stem
    if contender.is_network:
        path = choose_model(contender.model, scale)
        strength = choose_strength(contender.model, path, None)
        return f"{model_name(path)}, strength {strength:g}" if strength else model_name(path)
    return contender.model
