"""The line that installs an extra follows the way in which escsr was installed."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import pytest

from escsr.runtime import extras
from escsr.runtime.extras import install_line
from samples import ROOT


def installed(folder: Path, origin: dict[str, Any] | None, by: str = "pip") -> PathDistribution:
    """Metadata as an installer writes it."""
    info = folder / "escsr-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: escsr\nVersion: 0.1.0\n")
    (info / "INSTALLER").write_text(f"{by}\n")
    if origin is not None:
        (info / "direct_url.json").write_text(json.dumps(origin))
    return PathDistribution(info)


def line(monkeypatch: pytest.MonkeyPatch, found: PathDistribution, *names: str) -> str:
    monkeypatch.setattr(extras, "distribution", lambda _: found)
    return install_line(*names)


def test_from_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = line(monkeypatch, installed(tmp_path, None), "heic", "jxl")
    assert told == 'pip install "escsr[heic,jxl]"'


def test_by_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert line(monkeypatch, installed(tmp_path, None, by="uv"), "exr") == 'uv pip install "escsr[exr]"'


@pytest.mark.parametrize("name", ["source", "with a space", "dist/escsr-0.1.0-py3-none-any.whl"])
def test_from_a_folder_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    place = tmp_path / name
    place.mkdir(parents=True)
    found = installed(tmp_path, {"url": place.as_uri(), "dir_info": {}})
    assert shlex.split(line(monkeypatch, found, "jxl")) == ["pip", "install", f"{place}[jxl]"]


def test_an_editable_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = installed(tmp_path, {"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
    assert line(monkeypatch, found, "jxl") == f'pip install -e "{tmp_path}[jxl]"'


def test_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = installed(tmp_path, {"url": (tmp_path / "gone").as_uri(), "dir_info": {}})
    assert line(monkeypatch, found, "jxl") == 'pip install "escsr[jxl]"'


def test_from_version_control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = {"url": "https://example.org/escsr", "vcs_info": {"vcs": "git", "commit_id": "0"}}
    told = line(monkeypatch, installed(tmp_path, origin), "jxl")
    assert told == 'pip install "escsr[jxl] @ git+https://example.org/escsr"'


def test_without_an_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(_: str) -> None:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(extras, "distribution", nowhere)
    assert install_line("jxl") == 'pip install "escsr[jxl]"'


def test_pip_accepts_the_line_of_this_installation() -> None:
    """Without a network: what it would install is there already."""
    installer, *rest = shlex.split(install_line("heic"))
    if installer != "pip":
        pytest.skip("escsr was installed by another installer")
    command = [sys.executable, "-m", *[installer, *rest], "--dry-run", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--no-index", "--quiet"],
        cwd=ROOT,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, re.sub(r"\s+", " ", done.stderr)
