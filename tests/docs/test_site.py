"""The site builds without a warning, follows the code, and fetches nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import docs_site
from escsr.cli import app
from samples import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_pages_are_there(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} | {"study", "denoising"}
    assert {path.parent.name for path in site.glob("*/index.html")} >= pages - {"index"}
    start = (site / "index.html").read_text()
    assert "<h1" in start
    assert "flowers.jpg" in start


@pytest.mark.slow
def test_a_browser_fetches_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    for page in pages:
        tags = re.findall(r"<(?:script|link|img|iframe|source|video)\b[^>]*>", page.read_text())
        assert tags
        for tag in tags:
            assert not re.search(r"""(?:src|href|srcset)=["']?(?:https?:)?//""", tag), (page, tag)
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//|@import", style.read_text()), style


@pytest.mark.slow
def test_the_reference_has_every_command_and_option(site: Path) -> None:
    page = (site / "command-line" / "index.html").read_text()
    for path, command in docs_site.commands(typer.main.get_command(app), "escsr"):
        if path == "escsr":
            continue
        assert f'id="{path.replace(" ", "-")}"' in page
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.hidden and parameter.name != "help":
                assert f"<code>{parameter.opts[0]}</code>" in page, (path, parameter.opts)


@pytest.mark.slow
def test_the_api_has_the_public_names(site: Path) -> None:
    pages = "".join(path.read_text() for path in (site / "api").rglob("*.html"))
    for name in ("upscaling.upscaler.Upscaler", "training.run.train", "evaluation.protocols.evaluate"):
        assert f'id="escsr.{name}"' in pages, name


@pytest.mark.slow
def test_a_notebook_becomes_a_page(site: Path) -> None:
    page = (site / "study" / "index.html").read_text()
    assert "603,600 parameters" in page
    for picture in re.findall(r'<img[^>]*src="([^"]+)"', page):
        assert (site / "study" / picture).resolve().is_file(), picture
    assert (site / "study.ipynb").is_file()
