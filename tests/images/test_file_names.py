"""Names and paths of every sort: they work, or one line says why not."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from commands import escsr_command
from escsr import images
from escsr.errors import EscError, ImageError, OutputError
from escsr.images import Picture
from escsr.models.saving import save_network
from escsr.upscaling.upscaler import Upscaler
from samples import nearest_network

PIXELS = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
LATIN_1 = os.fsdecode(b"lat\xe9")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "nearest.safetensors"
    save_network(nearest_network(), path)
    return path


@pytest.fixture(scope="module")
def upscaler(model: Path) -> Upscaler:
    return Upscaler(model, device="cpu", precision="float32")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that takes names of any bytes, as those of Linux do."""
    try:
        (tmp_path / LATIN_1).mkdir()
    except OSError:
        pytest.skip("names must be UTF-8 here")
    return tmp_path / LATIN_1


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".tif", ".gif", ".heic"])
def test_names_that_are_not_utf8(upscaler: Upscaler, folder: Path, suffix: str) -> None:
    if suffix == ".heic":
        pytest.importorskip("pillow_heif", reason='needs pip install "escsr[heic]"')
    source = folder / f"{LATIN_1}{suffix}"
    images.write(Picture(PIXELS), source)
    target = upscaler.upscale_file(source)
    assert images.read(target).pixels.shape[:2] == (8, 10)
    source.write_bytes(source.read_bytes()[:40])
    for _ in range(2):
        with pytest.raises(ImageError, match="not a readable picture"):
            images.read(source)
    (folder.parent / "other.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ImageError, match=r"other\.png: .*\((?!.*lat)"):  # its own reason, no older one
        images.read(folder.parent / "other.png")


def test_names_that_openimageio_cannot_take(folder: Path) -> None:
    pytest.importorskip("OpenImageIO", reason='needs pip install "escsr[exr]"')
    with pytest.raises(OutputError, match="needs names in UTF-8"):
        images.write(Picture(PIXELS), folder / "a.exr")
    (folder / "a.exr").write_bytes(b"\x76\x2f\x31\x01" + bytes(60))
    with pytest.raises(ImageError, match="needs names in UTF-8"):
        images.read(folder / "a.exr")


@pytest.mark.parametrize(
    "name", ["y" * 300 + ".png", "a\0.png", "folder.png", "loop.png/a.png", "loop.png"]
)
def test_impossible_targets_are_refused_before_the_work(
    upscaler: Upscaler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    images.write(Picture(PIXELS), tmp_path / "a.png")
    monkeypatch.setattr(images, "read_for", None)
    with pytest.raises(OutputError, match=r"cannot be written \(|is a folder"):
        upscaler.upscale_file(tmp_path / "a.png", tmp_path / name)


@pytest.mark.parametrize("name", ["y" * 300 + ".png", "a\0.png", "loop.png", "fifo.png"])
def test_impossible_sources(upscaler: Upscaler, tmp_path: Path, name: str) -> None:
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo.png")
    with pytest.raises(EscError, match=r"cannot be opened|not a file|no such file"):
        upscaler.upscale_file(tmp_path / name, tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


def test_the_command_shows_every_name(model: Path, folder: Path) -> None:
    """Also on outputs that know few characters, and in lines that programs read."""
    names = ["[red]x[bold].png", "new\nline.png", "写真.png", f"{LATIN_1}.png", "q" * 251 + ".png"]
    for name in names:
        images.write(Picture(PIXELS), folder / "in" / name)

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*escsr_command(), "upscale", *arguments, "--model", str(model)]
        env = os.environ | {"PYTHONIOENCODING": "ascii:strict"}
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=env)

    done = call("in", "--json", "--skip-existing")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()][:-1]
    assert sorted(Path(line["source"]).name for line in lines) == sorted(names)
    again = call("in", "--skip-existing")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("skipped, done before") == len(names)
    assert "lat\\udce9.png" in again.stdout
    failed = call("in/" + names[-1])
    assert failed.returncode == 1
    assert "cannot be written (" in failed.stderr
    assert "Traceback" not in failed.stderr
