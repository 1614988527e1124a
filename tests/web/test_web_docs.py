"""docs/web.md says what the server does; its client works; the container file fits the package."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from escsr.cli import app
from escsr.upscaling.short_forms import upscale_file
from samples import ROOT
from web.serving import Served

PAGE = (ROOT / "docs" / "web.md").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
(CLIENT,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_client_runs(serve: Callable[..., Served], weights: Path, photo: Path, tmp_path: Path) -> None:
    served = serve()
    script, ours, theirs = (tmp_path / name for name in ("client.py", "ours.png", "theirs.png"))
    script.write_text(CLIENT)
    command = [sys.executable, "-W", "error", str(script), served.url, str(photo), str(ours)]
    subprocess.run(command, check=True, env={"PATH": "", "NO_PROXY": "*"})
    upscale_file(photo, theirs, model=str(weights), scale=2, device="cpu")
    assert ours.read_bytes() == theirs.read_bytes()


def test_the_client_is_short() -> None:
    lines = [line for line in CLIENT.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(lines) <= 20


def test_paths_and_options_exist(served: Served) -> None:
    openapi = served.client.get("/openapi.json").json()
    told = {f"/jobs{rest}".replace("ID", "{id}") for rest in re.findall(r"/jobs([\w/]*)`", PAGE)}
    told |= set(re.findall(r"`(?:GET )?(/(?:models|about|health|metrics))`", PAGE))
    assert told == set(openapi["paths"]) - {"/token"}
    (options,) = re.findall(r"by the same names: (.*?)\. Errors", PAGE, re.DOTALL)
    form = openapi["components"]["schemas"]["JobForm"]["properties"]
    assert set(re.findall(r"`(\w+)`", options)) == set(form) - {"file"}


def test_commands_parse() -> None:
    lines = re.findall(r"^escsr serve.*$", PAGE, re.MULTILINE)
    (entry,) = re.findall(r"^ENTRYPOINT \[(.*)\]$", DOCKERFILE, re.MULTILINE)
    lines.append(entry.replace('", "', " ").strip('"'))
    serve: typer.core.TyperCommand = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    for line in lines:
        serve.make_context("serve", shlex.split(line)[2:])
    flags = {flag for option in serve.params for flag in option.opts}
    assert set(re.findall(r"`(--[a-z-]+)", PAGE)) <= flags | {"--help"}


def test_the_container_file_takes_what_is_there() -> None:
    (taken,) = re.findall(r"^COPY (.*) \./$", DOCKERFILE, re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text().split()
    for name in (*taken.split(), "src"):
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored
    extras = re.findall(r'"\.\[([\w,]+)\]"', DOCKERFILE)[0].split(",")
    project = (ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras)
    (torch,) = re.findall(r"torch==([\d.]+)", DOCKERFILE)
    assert f"torch=={torch}\n" in (ROOT / "constraints.txt").read_text()
