"""Rules of the code that tools do not check: who may import whom, and what is public."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import escsr
from samples import ROOT

SOURCE = ROOT / "src" / "escsr"
LADDER = {
    "_version": 0,
    "errors": 0,
    "files": 0,
    "runtime": 0,
    "kernels": 1,
    "networks": 1,
    "images": 1,
    "models": 2,
    "data": 2,
    "streaming": 2,
    "exports": 2,
    "upscaling": 3,
    "evaluation": 3,
    "batch": 4,
    "diagnosis": 4,
    "integrations": 4,
    "training": 4,
    "video": 4,
    "fleet": 5,
    "web": 5,
    "cli": 5,
}
STRANGERS = [("networks", "images"), ("kernels", "images")]
FILES = sorted(SOURCE.rglob("*.py"))


def box_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_boxes(path: Path) -> set[str]:
    boxes = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "escsr":
            parts = node.module.split(".")[1:]
            boxes |= {parts[0]} if parts else {alias.name for alias in node.names}
            assert node.level == 0
        elif isinstance(node, ast.Import):
            boxes |= {a.name.split(".")[1] for a in node.names if a.name.startswith("escsr.")}
    return {box for box in boxes if box in LADDER}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down_the_ladder(path: Path) -> None:
    box = box_of(path)
    if box in ("__init__", "__main__"):
        return
    assert box in LADDER, f"{box} has no place on the ladder of docs/architecture.md"
    for other in imported_boxes(path) - {box}:
        assert LADDER[other] <= LADDER[box], f"{box} imports {other}, which is above it"
        assert (box, other) not in STRANGERS
        assert (other, box) not in STRANGERS


def test_architecture_page_shows_the_same_ladder() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    for box, level in LADDER.items():
        assert any(line.startswith(f"{level}  ") and box in line for line in page.splitlines()), box


def test_networks_import_torch_errors_and_their_kernels_only() -> None:
    allowed = {"torch", *sys.stdlib_module_names}
    for path in (SOURCE / "networks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name, path
                own = name.startswith(("escsr.networks", "escsr.errors"))
                own |= name == "escsr.kernels.cpu" and path.name in ("stages.py", "training_kernels.py")
                assert own or name.split(".")[0] in allowed, f"{path.name} imports {name}"


def test_public_surface() -> None:
    assert escsr.__all__ == sorted(escsr.__all__)
    for name in escsr.__all__:
        value = getattr(escsr, name)
        assert isinstance(value, str) or inspect.getdoc(value), name
    with pytest.raises(AttributeError):
        _ = escsr.no_such_name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_modules_say_what_is_public(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    names = {
        node.name
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    }
    listed = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "__all__"
    ]
    if path.name not in ("__init__.py", "__main__.py"):
        assert listed
        assert listed[0] == sorted(
            listed[0], key=lambda name: (not name.isupper(), not name[0].isupper(), name)
        )
        assert names - {"main"} <= set(listed[0]) | {"app"} | COMMANDS


COMMANDS = {"list_models", "info", "path", "fetch", "compare", "list_recipes", "show", "diff"}


def test_import_is_cheap() -> None:
    code = "import escsr, sys; assert not {'torch', 'pyvips', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
