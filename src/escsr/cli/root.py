"""The command's root: `escsr photo.jpg` means upscale, and help shows words in the place of types."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from typer.core import TyperArgument, TyperGroup, TyperOption

__all__ = ["FORMER_NAMES", "Root"]

FORMER_NAMES = {
    "maps": "feature-storage",
    "ensemble": "self-ensemble",
    "tta": "self-ensemble",
    "max-pictures": "max-images",
    "n": "m",
}
"""Options as they were called before, or are in other tools; they work, the help does not show them."""

_DEFAULT = "upscale"
_WORDS = {"bool": "", "int": "N", "float": "X", "str": "TEXT"}
"""Types, and what help shows in their place."""

_LINE_END = re.compile(r"(?<!\n)\n(?!\n)")
"""Within a paragraph, where help would break its lines too."""


class Root(TyperGroup):
    """All commands; what begins with none of their names but with a file or an option goes to upscale."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Options of the root, those for completion too, which are added after it is made."""
        _tidy(self, ctx)
        params: list[Any] = super().get_params(ctx)
        _tidy_all(params)
        return params

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts "upscale" before arguments that are for it."""
        if args and not self._is_own(ctx, args[0]) and _is_for_upscale(args[0]):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)

    def _is_own(self, ctx: Any, word: str) -> bool:
        options = {name for param in self.get_params(ctx) for name in param.opts}
        return word in self.commands or word.partition("=")[0] in options


def _is_for_upscale(word: str) -> bool:
    """Whether a first word is an option, a file, a folder, a pattern, or was meant for a file."""
    is_path = bool(Path(word).suffix) or "/" in word or os.sep in word
    return word.startswith("-") or is_path or glob.has_magic(word) or os.path.lexists(word)


def _tidy(group: TyperGroup, ctx: Any) -> None:
    """Replaces types as Python has them ("<list[str]>", "<bool>") in the help of all commands by words."""
    for command in group.commands.values():
        if isinstance(command, TyperGroup):
            _tidy(command, ctx)
        _tidy_all([*command.params, command.get_help_option(ctx)])
        command.help = _LINE_END.sub(" ", command.help or "")


def _no_type(**_: Any) -> None: ...


def _tidy_all(params: Iterable[Any]) -> None:
    for param in params:
        kind = getattr(param, "bare_type", None)
        if kind is None:  # older versions of typer show words by themselves
            continue
        if isinstance(param, TyperArgument):
            param.display_type_rich = _no_type  # type: ignore[method-assign, assignment]
        elif isinstance(param, TyperOption) and param.metavar is None:
            word = kind().removeprefix("list[").removesuffix("]")
            param.metavar = _WORDS.get(word, word.upper())
