"""Commands as README and the documentation show them, parsed by the command itself."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer

from escsr.cli import app
from samples import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
NO_COMMANDS = {"log.md", "decisions.md", "changes.md"}
"""Pages that tell of the past; commands in them may be gone."""


@dataclass(frozen=True)
class Parsed:
    """A command's path, as "data verify", and its parameters by name."""

    path: str
    parameters: dict[str, Any]


def blocks(page: str, language: str) -> list[str]:
    """The blocks of code of a language in a page."""
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def command_lines(page: str) -> Iterator[str]:
    """Every command line of ours in a page's blocks of shell, with what stands before it left out."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r" && ", re.sub(r"\s+# .*", "", line)):
                if re.search(r"^([^#]*(-m |srun |\| ))?escsr ", part):
                    yield re.sub(r" [|>] .*", "", part[part.index("escsr ") :])


@cache
def root_command() -> Any:
    """`escsr` as Click knows it, made once: that takes a tenth of a second."""
    return typer.main.get_command(app)


def parse(line: str) -> Parsed:
    """Parses a line by the command itself, without running it; a wrong option or value raises."""
    _, *arguments = shlex.split(line, comments=True)
    command, path = root_command(), []
    while hasattr(command, "commands"):
        if not arguments and command.invoke_without_command:
            break
        context = command.make_context("escsr", arguments)
        (name,) = context._protected_args  # "upscale" where the line leaves it out
        path.append(name)
        command, arguments = command.commands[name], list(context.args)
    context = command.make_context(path[-1], arguments)
    return Parsed(" ".join(path), context.params)


def read_pages() -> dict[str, str]:
    """The text of every page that shows commands of today, by its path."""
    pages = {path: path.read_text() for path in PAGES if path.name not in NO_COMMANDS}
    return {str(path.relative_to(ROOT)): text for path, text in pages.items()}


def options_of(command: Any) -> set[str]:
    """Names of all options of a command and of those below it."""
    names = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    return names.union(*(options_of(each) for each in getattr(command, "commands", {}).values()))


def page_path(name: str) -> Path:
    """Where a page of `read_pages` is."""
    return ROOT / name
