"""What the documentation site needs beside its pages: hooks of MkDocs, called by `mkdocs build`.

Pages that must follow the code are made when the site is built: the reference of the command line from the
command itself, and a page of each notebook. Nothing is fetched from elsewhere.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from escsr.cli import app

COMMANDS = "<!-- commands -->"
"""Where a page wants the reference of the command line."""

_NOTEBOOK_LINK = re.compile(r"\]\((\w+)\.ipynb\)")

_VALUES = {int: "whole number", float: "number", str: "text", Path: "path"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page for each notebook; the notebook itself can be downloaded from it."""
    for file in [each for each in files if each.src_uri.endswith(".ipynb")]:
        notebook = json.loads(file.content_string)
        name = file.src_uri.removesuffix(".ipynb")
        files.append(File.generated(config, f"{name}.md", content=notebook_page(notebook, file.name)))
        for index, picture in enumerate(_pictures(notebook)):
            files.append(File.generated(config, f"{name}-{index}.png", content=picture))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Puts in the reference of the command line; links to notebooks lead to their pages."""
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, "\n".join(command_reference()))
    of_notebook = page.file.src_uri.removesuffix(".md") + ".ipynb"
    return markdown if of_notebook in files.src_uris else _NOTEBOOK_LINK.sub(r"](\1.md)", markdown)


def command_reference() -> Iterator[str]:
    """Lines of Markdown: a section for each command, its arguments and options in tables."""
    for path, command in commands(typer.main.get_command(app), "escsr"):
        if path == "escsr":
            continue
        shown = [each for each in command.params if not getattr(each, "hidden", False)]
        arguments = [each for each in shown if each.param_type_name == "argument"]
        options = [each for each in shown if each.param_type_name == "option" and each.name != "help"]
        yield f"\n## {path}\n"
        yield from (line.strip() for line in (command.help or "").splitlines())
        usage = [path, *map(_usage, arguments), *(["[OPTIONS]"] if options else [])]
        yield f"\n```text\n{' '.join(usage)}\n```\n"
        kinds = get_type_hints(command.callback) if command.callback else {}
        if arguments:
            yield "| argument | |\n|---|---|"
            yield from (f"| `{each.name}` | {_cell(each.help or '')} |" for each in arguments)
            yield ""
        if options:
            yield "| option | value | default | |\n|---|---|---|---|"
            yield from (_option_row(each, kinds.get(each.name)) for each in options)


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """A command and all below it, with the words that call them."""
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        if not each.hidden:
            yield from commands(each, f"{path} {name}")


def notebook_page(notebook: dict[str, Any], file_name: str) -> str:
    """A notebook as Markdown: text as it is, code and what it printed in blocks, pictures below."""
    lines, count = [], 0
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            lines += [source, ""]
            continue
        lines += ["```python", source, "```", ""]
        printed = "".join("".join(output.get("text", "")) for output in cell["outputs"])
        if printed:
            lines += ["```text", printed.rstrip(), "```", ""]
        for _ in _pictures({"cells": [cell]}):
            lines += [f"![]({Path(file_name).stem}-{count}.png)", ""]
            count += 1
    return "\n".join([*lines, f"[Download this page as a notebook]({Path(file_name).stem}.ipynb)"])


def _pictures(notebook: dict[str, Any]) -> Iterator[bytes]:
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                yield base64.b64decode("".join(output["data"]["image/png"]))


def _usage(argument: Any) -> str:
    name = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _option_row(option: Any, kind: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    is_flag = getattr(option, "is_flag", False)
    value, repeatable = _value(kind)
    told = "" if is_flag else option.metavar or value
    default = "" if option.default in (None, False) or callable(option.default) else f"`{option.default}`"
    text = _cell(option.help or "") + (" Repeatable." if repeatable and "repeat" not in option.help else "")
    return f"| {names} | {_cell(told)} | {default} | {text}{' Required.' if option.required else ''} |"


def _value(kind: Any) -> tuple[str, bool]:
    """The name of a type for a reader, and whether it may be given several times."""
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind))), False
    if get_origin(kind) is list:
        return _value(get_args(kind)[0])[0], True
    inner = [each for each in get_args(kind) if each is not NoneType]
    return _value(inner[0]) if inner else (_VALUES.get(kind, ""), False)


def _cell(text: str) -> str:
    """A help text as a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("\n", " ")
