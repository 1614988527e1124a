"""Commands, options, extras, files and Python that README and the pages show exist; the quick ones run."""

from __future__ import annotations

import ast
import importlib
import io
import re
import shlex
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from clips import make_clip, noise
from escsr import images
from escsr.cli import app
from escsr.images import Picture
from escsr.models.bundled import find_model, list_models
from escsr.models.published import RELEASED
from escsr.training.recipes import recipe
from samples import EXAMPLES, ROOT, flowers
from shown_commands import blocks, command_lines, options_of, page_path, parse, read_pages, root_command

PAGES = read_pages()
LINES = sorted({(name, line) for name, page in PAGES.items() for line in command_lines(page)})
EXTRAS = set(re.findall(r"^([a-z]+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
ELSEWHERE = {"--help", "--version", "--nproc-per-node", "--gpus-per-task", "--torch-backend", "--all-files"}
ELSEWHERE |= {"--native", "--profile", "--store", "--toy"}
"""Options of other programs and of benchmarks, and those that every command has."""

QUICK = {
    "compare",
    "data identify-lr",
    "data prepare",
    "data sets",
    "data verify",
    "doctor",
    "evaluate",
    "models",
    "models info",
    "recipes",
    "recipes diff",
    "recipes show",
    "upscale",
}
SLOW = re.compile(r"--self-ensemble|--feature-storage|--metric|--protocol lte|--pipe|--device")
"""Of the quick commands' lines, those that take long, or a package, a device or a pipe that tests lack."""


def test_there_are_commands() -> None:
    assert len(LINES) > 60
    assert {parse(line).path for _, line in LINES} >= QUICK | {"train", "data degrade"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the quick commands name, in small."""
    folder = tmp_path_factory.mktemp("desk")
    pixels = flowers()

    def put(path: str, place: int, side: int = 24) -> None:
        images.write(Picture(pixels[place : place + side, place : place + side + 8]), folder / path)

    for index, path in enumerate(
        ["photo.jpg", "old-scan.jpg", "photo.tif", "huge.tif", "holiday/a.jpg", "holiday/trip/b.png"]
    ):
        put(path, 20 * index)
    make_clip(folder / "clip.mp4", noise(3, (24, 32)), codec="libx264", pixels="yuv420p")
    put("scans/a.tif", 40)
    put("scans/more/b.tif", 90)
    for index in range(3):
        put(f"photos/{index}.png", 60 * index, side=96)
        put(f"Set5/HR/{index}.png", 50 * index, side=48)
        put(f"Set14/HR/{index}.png", 30 * index, side=48)
        put(f"held-back/{index}.png", 10 * index, side=48)
    shutil.copyfile(EXAMPLES / "flowers.png", folder / "result.png")
    (own_recipe,) = blocks(PAGES["docs/training.md"], "toml")
    (folder / "my.toml").write_text(own_recipe)
    (folder / "runs" / "mine").mkdir(parents=True)
    shutil.copyfile(find_model("esc-light-x2"), folder / "runs" / "mine" / "best.safetensors")
    return folder


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{page}: {line}" for page, line in LINES])
def test_commands_parse(page: str, line: str, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    given = parse(line).parameters
    for name in filter(None, (given.get("recipe"), given.get("name"), given.get("other"))):
        if name not in RELEASED and not name.startswith("ORGANISATION/"):
            recipe(name).with_settings(given.get("settings") or [])
    models = given.get("model") or []
    families = {re.sub(r"-x\d$", "", name) for name in list_models()}
    for model in filter(None, [given.get("start"), *(models if isinstance(models, list) else [models])]):
        known = {*list_models(), *families, *RELEASED, "auto", "real", "bicubic", "nearest"}
        elsewhere = r"\.(safetensors|pth)$|=|^runs/|^ORGANISATION/NAME(@|$)"
        assert model in known or re.search(elsewhere, model), model


@pytest.mark.parametrize(
    "line",
    [
        "escsr train --recipe esc-x2 --data a --output b --valdate c",
        "escsr train --data a --output b",
        "escsr recipes shew esc-x2",
        "escsr upscale a --scale much",
    ],
)
def test_wrong_commands_would_be_found(line: str) -> None:
    with pytest.raises(Exception, match=r"(?i)no such option|missing|shew|valid number|scale"):
        parse(line)


@pytest.mark.parametrize("name", PAGES)
def test_commands_and_options_in_the_text_exist(name: str) -> None:
    root = root_command()
    known = options_of(root) | ELSEWHERE
    for code in re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", PAGES[name], flags=re.DOTALL)):
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", code):
            assert option in known, code
        if words := re.match(r"escsr((?: [a-z-]+\b(?![./]))*)", code):
            command: Any = root
            for word in words[1].split():
                if not hasattr(command, "commands"):
                    break
                command = command.commands[word]
    for extras in re.findall(r"pip install [^`\n]*\"(?:escsr|\.)\[([a-z,]+)\]\"", PAGES[name]):
        assert set(extras.split(",")) <= EXTRAS, extras


@pytest.mark.parametrize("name", PAGES)
def test_files_and_links_exist(name: str) -> None:
    page, path = PAGES[name], page_path(name)
    files = r"(?<![\w/.-])(?:results|scripts|benchmarks|src/escsr|tests|examples|docs)/[\w/.*-]+\w"
    for file in re.findall(files, page):
        assert any(ROOT.glob(file)) or any(ROOT.glob(f"{file}/*")), file
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page):
        assert (path.parent / target).exists() or (path.parent / target).with_suffix(".ipynb").exists(), (
            target
        )


@pytest.mark.parametrize("name", PAGES)
def test_python_in_the_pages_is_ours(name: str) -> None:
    for block in blocks(PAGES[name], "python"):
        tree = ast.parse(block)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                assert all(hasattr(module, each.name) for each in node.names), node.module
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "escsr":
                assert hasattr(importlib.import_module("escsr"), node.attr), node.attr


def _wanted(line: str, desk: Path) -> bool:
    """Whether a line is quick and everything that it reads is there."""
    given = parse(line)
    names = ("model", "data", "folder", "lr", "inputs", "picture", "hr")
    read = [each for name in names for each in _texts(given.parameters.get(name))]
    files = [
        each for each in read if re.search(r"[/.]", each.partition("=")[2] or each) and "*" not in each
    ]
    there = all((desk / (each.partition("=")[2] or each)).exists() for each in files)
    return given.path in QUICK and not SLOW.search(line) and there


def _texts(value: object) -> list[str]:
    return [
        str(each) for each in (value if isinstance(value, (list, tuple)) else [value]) if each is not None
    ]


@pytest.mark.slow
def test_quick_commands_run(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the pages, since some lines use what earlier ones made."""
    monkeypatch.chdir(desk)
    ran = []
    for name, line in [(name, line) for name, page in PAGES.items() for line in command_lines(page)]:
        if line in ran or not _wanted(line, desk):
            continue
        stdin = (desk / "photo.jpg").read_bytes() if re.search(r" -( |$)", line) else None
        done = CliRunner().invoke(app, shlex.split(line, comments=True)[1:], input=stdin)
        assert done.exit_code == 0, (name, line, done.exception, done.output)
        ran.append(line)
    assert len(ran) > 40
    assert images.read_size(desk / "photo_x2.jpg") == (64, 48)
    assert (desk / "large").is_dir()


def runnable(page: str) -> list[str]:
    """Python of a page, without trainings, programs with arguments, and what requires sets of pictures or
    packages that are not here."""
    not_here = r"escsr\.train\(|DIV2K|import spandrel|sys\.argv"
    return [block for block in blocks(page, "python") if not re.search(not_here, block)]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if runnable(page)])
def test_python_in_the_pages_runs(name: str, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    known: dict[str, Any] = {"np": np}
    for block in runnable(PAGES[name]):
        with redirect_stdout(io.StringIO()):
            exec(compile(block, name, "exec"), known)
    assert known.keys() & {"escsr", "upscale", "Upscaler", "torch", "benchmark"}, (
        "a page shows what it imports"
    )
