"""The command as people type it: without its name, with other tools' options, on folders of all sorts."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from commands import escsr_command, run_escsr
from escsr import images
from escsr.images import Picture
from escsr.models.bundled import list_models
from escsr.models.overview import model_overviews
from escsr.models.saving import save_network
from samples import ROOT, flowers, nearest_network, small_network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = flowers()
    for name in ("a.png", "b.png"):
        images.write(Picture(pixels[:16, :24]), tmp_path / "in" / name)
    save_network(nearest_network(), tmp_path / "run" / "best.safetensors")
    return tmp_path


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_escsr(*arguments, cwd=folder)


@pytest.mark.parametrize(
    ("arguments", "result", "size"),
    [
        (["in/a.png", "-m", "run"], "in/a_x2.png", (48, 32)),
        (["-m", "run", "-s", "3x", "in/a.png"], "in/a_x3.png", (72, 48)),
        (["upscale", "-i", "in/a.png", "-o", "b.webp", "-n", "run", "-s", "x4"], "b.webp", (96, 64)),
        (["in", "-m", "run", "-f", "jpg", "--suffix", "_large"], "in_large/b.jpg", (48, 32)),
        (["in/*.png", "-m", "run", "--crop", "4,2,10,8", "-o", "out"], "out/b.png", (20, 16)),
        (["in/a.png", "-m", "run", "-s", "1.5", "--crop=0,0,4,4"], "in/a_x1.5_crop.png", (6, 6)),
    ],
)
def test_as_people_type_it(folder: Path, arguments: list[str], result: str, size: tuple[int, int]) -> None:
    done = call(folder, *arguments)
    assert done.returncode == 0, done.stderr
    assert images.read_size(folder / result) == size
    assert not list(folder.rglob(".escsr-done.jsonl"))
    if arguments[0].startswith("in") and "run" in arguments and "--suffix" not in arguments:
        assert "run/best" in done.stdout, "a run's model is called by its folder"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.png"], "nowhere.png: there is no such file"),
        (["nosuchcommand"], "No such command 'nosuchcommand'"),
        (["upscal", "in/a.png"], "Did you mean 'upscale'?"),
        (["upscale"], "Which pictures?"),
        (["in/a.png", "-s", "0.5"], "scale must be at least 1"),
        (["in/a.png", "-s", ".5"], "scale must be at least 1, and below a billion, not 0.5"),
        (["in/a.png", "--fit", "cover"], "give both, like size 1920x1080"),
        (["in/a.png", "-m", "run", "--fit", "exact", "--width", "99"], "give both, like size 1920x1080"),
        (["in/a.png", "-m", "run", "--lossless", "-o", "b.jpg"], "b.jpg: JPEG is never lossless"),
        (["in/a.png", "-m", "run", "--max-pixels", "9"], "the source has 24×16 pixels, more than the 9"),
        (["in/a.png", "-s", "twice"], "is not a valid number"),
        (["in/a.png", "-m", "run", "--longest", "9"], "in/a.png: the picture (24×16) is larger than"),
        (["in/a.png", "-m", "run", "--crop", "20,0,9,9"], "in/a.png: crop 20,0,9,9 reaches beyond"),
        (["in/a.png", "-m", "run", "--crop", "1,2"], "crop must be X,Y,W,H"),
        (["in/a.png", "-m", "in"], "in is a folder without a trained model"),
        (["in/a.png", "-m", "esc-lihgt"], "Unknown model esc-lihgt. Did you mean esc-light?"),
        (["in/a.png", "-m", "qqqqqq"], "`escsr models` lists the models"),
        (["in/a.png", "-m", "mine.safetensors"], "there is no such file of weights"),
        (["recipes", "show", "esc-x5"], "Did you mean esc-x"),
        (["recipes", "show", "qqqqqq"], "`escsr recipes` lists them"),
        (["recipes", "show", "esc-x2", "--set", "lr=1"], "Unknown setting 'lr'. There are accumulation,"),
        (["recipes", "show", "esc-x2", "--set", "optimizer.lr=1"], "There are betas, clip_norm, learning"),
        (["evaluate", "-m", "auto", "--data", "in"], "auto is a choice by the size of each picture"),
        (
            ["evaluate", "-m", "bicubic", "--data", "in/a.png", "-s", "2"],
            "in/a.png: is a file; give a folder",
        ),
        (["evaluate", "-m", "bicubic", "--data", "in", "--seed", "5"], "--seed is for --degrade"),
        (["models", "fetch", "published-esc-x5"], "Did you mean published-esc-x"),
    ],
)
def test_mistakes(folder: Path, arguments: list[str], message: str) -> None:
    done = call(folder, *arguments)
    assert done.returncode in (1, 2, 4)
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 500, "no lists"


def test_the_same_size_is_explained(folder: Path) -> None:
    done = call(folder, "in/a.png", "-s", "1", "-o", "a.png")
    assert done.returncode == 0
    assert "use --model real" in done.stderr
    assert "--model real" not in call(folder, "in/a.png", "-s", "1", "-m", "run", "-o", "a.png").stderr


def test_other_files_are_named_by_kind(folder: Path) -> None:
    for name in ("a.txt", "b.txt", "c.mp4"):
        (folder / "in" / name).write_bytes(b"")
    done = call(folder, "in", "-m", "run")
    note = 'Skipped 3 files that are not pictures: 2 .txt, 1 .mp4. For videos: escsr "in/*.mp4"'
    assert done.stderr.splitlines()[-1] == note
    *_, end = call(folder, "in", "-m", "run", "--json").stdout.splitlines()
    assert json.loads(end)["notes"] == [note]
    assert "Skipped" not in call(folder, "in", "-m", "run", "--quiet").stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("interrupts", [1, 2])
def test_an_interrupted_batch_says_what_is_done(folder: Path, interrupts: int) -> None:
    # The second interrupt comes while the next picture is at work.
    size = (400, 600, 3) if interrupts == 2 else (200, 300, 3)
    large = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    for name in ("a.png", "b.png", "c.png"):
        images.write(Picture(large), folder / "in" / name)
    save_network(small_network("esc"), folder / "small.safetensors")
    command = [*escsr_command(), "in", "--model", "small.safetensors", "--skip-existing"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("in_x2/a.png")
        for _ in range(interrupts):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        _, errors = process.communicate()
    assert process.returncode in (130, -signal.SIGINT)
    done = len(list((folder / "in_x2").glob("[!.]*.png")))
    assert re.search(rf"Interrupted: {done} of 3 upscaled, in in_x2", errors), errors
    assert "The same command continues" in errors


def test_models_at_a_glance(folder: Path) -> None:
    rows = model_overviews()
    assert sorted(row.name for row in rows) == list_models()
    assert {row.name for row in rows if row.is_default} >= {"esc-light-x2", "esc-light-x3", "esc-light-x4"}
    printed = call(folder, "models").stdout
    lines = {line.split()[0]: line for line in printed.splitlines() if line.strip()}
    assert "clean pictures, fast" in lines["esc-light-x2"]
    gain = next(row.gain_db for row in rows if row.name == "esc-light-x2")
    assert gain is not None
    assert gain > 2.5
    assert f"{gain:+.1f} dB" in lines["esc-light-x2"]
    assert lines["esc-light-x2"].rstrip().endswith("default")
    assert "default" not in lines["esc-x2"]
    assert "noisy and compressed photos" in lines["esc-real-light-x4"]
    assert json.loads(call(folder, "models", "list", "--json").stdout)[0]["name"] == rows[0].name
    record = json.loads((ROOT / "results" / "models" / "compare-cpu.json").read_text())
    measured = {row["model"]: row["seconds_per_megapixel"] for row in record["models"]}
    for row in rows:
        if row.name in measured:
            assert row.seconds_per_megapixel == pytest.approx(measured[row.name], rel=0.05)


def test_evaluate_prints_one_table_a_scale(folder: Path) -> None:
    pixels = flowers()[:96, :96]
    images.write(Picture(pixels), folder / "hr" / "a.png")
    command = ["evaluate", "-m", "bicubic", "-m", "run", "--data", "hr", "--scale"]
    (first, *_) = call(folder, *command, "2").stdout.splitlines()
    assert first == "bicubic, run ×2, protocol classic, LR padded to the window"
    save_network(small_network("esc"), folder / "x2.safetensors")
    mixed = call(folder, "evaluate", "-m", "x2.safetensors", "-m", "esc-light-x4", "--data", "hr").stdout
    titles = [line for line in mixed.splitlines() if "protocol" in line]
    assert [title.split(",")[0] for title in titles] == ["x2.safetensors ×2", "esc-light-x4 ×4"]
    assert mixed.count("mean") == 2


@pytest.mark.parametrize(
    "command",
    ["", "upscale", "train", "evaluate", "compare", "models compare", "data prepare", "recipes show"],
)
def test_help_has_no_types_and_fits_a_terminal(folder: Path, command: str) -> None:
    done = subprocess.run(
        [*escsr_command(), *command.split(), "--help"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "", "COLUMNS": "80", "PYTHONIOENCODING": "utf-8", "HOME": str(folder)},
    )
    assert not re.search(r"<(bool|str|int|float|list|path)", done.stdout)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "…" not in done.stdout, "nothing is cut"
