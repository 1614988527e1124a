"""The line that says which model suits a noisy or compressed picture better."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

import escsr
from commands import run_escsr
from escsr import images
from escsr.batch import upscale
from escsr.images import Animation, Picture
from escsr.models.saving import save_network
from escsr.upscaling.damage import hint_for
from samples import EXAMPLES, small_network

SIDE = 80
SAID = "found; --model real will look better."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean picture, a noisy one, and one compressed and saved as PNG, in a folder; and a small model."""
    folder = tmp_path_factory.mktemp("hint")
    clean = images.read(EXAMPLES / "flowers.png").colour[400 : 400 + SIDE, 400 : 400 + SIDE]
    noise = np.random.default_rng(0).normal(0, 15, clean.shape)
    noisy = np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)
    (folder / "in").mkdir()
    images.write(Picture(clean), folder / "in" / "clean.png")
    images.write(Picture(noisy), folder / "in" / "noisy.png")
    images.write(Picture(clean), folder / "low.jpg", images.WriteOptions(quality=20))
    images.write(Picture(images.read(folder / "low.jpg").pixels), folder / "in" / "saved.png")
    save_network(small_network("esc"), folder / "small.safetensors")
    return folder


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = run_escsr("upscale", "in", "--device", "cpu", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done


def test_a_line_for_each_damaged_picture(folder: Path) -> None:
    done = call(folder, "-o", "said")
    lines = [line for line in done.stderr.splitlines() if SAID in line]
    assert lines == [f"noisy.png: noise {SAID}", f"saved.png: JPEG blocks {SAID}"]
    assert SAID not in done.stdout


def test_the_same_in_json(folder: Path) -> None:
    done = call(folder, "-o", "json", "--json")
    notes = [json.loads(line).get("notes") for line in done.stdout.splitlines()]
    assert notes == [[], [f"noise {SAID}"], [f"JPEG blocks {SAID}"], []]
    assert done.stderr == ""
    assert not any("hint" in json.loads(line) for line in done.stdout.splitlines())


def test_silence(folder: Path) -> None:
    done = call(folder, "-o", "quiet", "--quiet")
    assert done.stdout + done.stderr == ""
    for arguments in (["-o", "other", "--model", "small.safetensors"], ["-o", "dry", "--dry-run"]):
        done = call(folder, *arguments)
        assert SAID not in done.stdout + done.stderr


def test_outcomes_bear_it(folder: Path) -> None:
    outcomes = upscale(folder / "in", folder / "python", device="cpu", skip_existing=True)
    assert [outcome.hint for outcome in outcomes] == ["", f"noise {SAID}", f"JPEG blocks {SAID}"]
    again = upscale(folder / "in", folder / "python", device="cpu", skip_existing=True)
    assert [(outcome.status, outcome.hint) for outcome in again] == [("skipped", "")] * 3


def test_of_an_animation_the_first_frame_decides(folder: Path) -> None:
    clean, noisy = (images.read(folder / "in" / f"{name}.png").pixels for name in ("clean", "noisy"))
    for frames, said in (([noisy, clean], "noise found; this will look better"), ([clean, noisy], "")):
        assert hint_for(Animation(np.stack(frames), (50, 50)), "this") == said


def test_a_file_in_python_bears_it(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    said = 'noise found; model="real" will look better'
    for name, expected in (("clean", []), ("noisy", [said])):
        notes: list[str] = []
        source, target = folder / "in" / f"{name}.png", folder / "file.png"
        escsr.Upscaler(device="cpu").upscale_file(source, target, on_note=notes.append)
        assert notes == expected
    source = folder / "in" / "noisy.png"
    escsr.upscale_file(source, folder / "file.png", device="cpu")
    assert caplog.messages == [f"{source}: {said}."]
    escsr.upscale_file(source, folder / "file.png", model="esc-light-x2", device="cpu")
    assert len(caplog.messages) == 1, "a model that was named is taken without a word"
