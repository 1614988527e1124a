"""The command as a user meets it: a process with arguments, streams and an exit status."""

from __future__ import annotations

import hashlib
import inspect
import json
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import typer

import escsr
import escsr.fleet.run
import escsr.web.server
from commands import run_escsr
from escsr import batch, cli, diagnosis, exports, images
from escsr.cli.comparing import compare
from escsr.cli.exporting import export
from escsr.cli.fleet import fleet
from escsr.cli.models import convert as convert_command
from escsr.cli.publishing import publish as publish_command
from escsr.cli.research import evaluate
from escsr.cli.serving import serve
from escsr.cli.training import train
from escsr.cli.upscaling import upscale
from escsr.evaluation.real import evaluate_real
from escsr.evaluation.side_by_side import compare_picture
from escsr.images import Picture
from escsr.integrations.publishing import publish
from escsr.models import conversion
from escsr.models.published_keys import to_published
from escsr.models.saving import save_network
from escsr.runtime.extras import install_line
from escsr.upscaling.options import UpscaleOptions
from escsr.video import VideoOptions
from samples import flowers, small_network

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = flowers()
    images.write(Picture(pixels[:40, :50]), tmp_path / "in" / "a.png")
    images.write(Picture(pixels[40:70, :50]), tmp_path / "in" / "deep" / "b.jpg")
    save_network(small_network("esc"), tmp_path / "small.safetensors")
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_escsr(*arguments, cwd=folder)

    return call


def test_one_picture_with_the_bundled_model(run: Run, folder: Path) -> None:
    done = run("upscale", "in/a.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("in/a_x2.png  100×80")
    assert images.read_size(folder / "in" / "a_x2.png") == (100, 80)


def test_nothing_is_said_of_what_is_left_at_the_end(run: Run, folder: Path, nearest: Path) -> None:
    pytest.importorskip("OpenImageIO", reason="requires the extra exr")
    pixels = images.read(folder / "in" / "a.png").pixels.astype(np.float32) / 255
    images.write(Picture(pixels), folder / "a.exr")
    done = run("upscale", "a.exr", "--model", str(nearest))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_folder_is_mirrored(run: Run, folder: Path) -> None:
    done = run("upscale", "in", "--model", "small.safetensors", "--device", "cpu")
    assert done.returncode == 0
    assert images.read_size(folder / "in_x2" / "a.png") == (100, 80)
    assert images.read_size(folder / "in_x2" / "deep" / "b.jpg") == (100, 60)
    done = run(
        "upscale", "in/a.png", "in/deep/b.jpg", "-o", "out", "--model", "small.safetensors", "--quiet"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in (folder / "out").glob("[!.]*")) == ["a.png", "b.jpg"]


def test_a_bad_picture_does_not_stop_the_others(run: Run, folder: Path) -> None:
    (folder / "in" / "broken.png").write_bytes(b"no picture")
    done = run("upscale", "in", "--model", "small.safetensors")
    assert done.returncode == 1
    assert done.stderr.count("Error:") == 1
    assert "broken.png: not a readable picture" in done.stderr
    assert done.stdout.count("in_x2/") == 2
    assert not (folder / "in_x2" / "broken.png").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["upscale", "none.png"], 1, "none.png: there is no such file"),
        (["upscale", "small.safetensors", "-o", "a.png"], 1, "not a readable picture"),
        (["upscale", "empty"], 3, "no pictures in it"),
        (["upscale", "in/a.png", "--model", "esc-heavy"], 4, "Unknown model esc-heavy. Did you mean esc-"),
        (["upscale", "in/a.png", "--scale", "-1"], 2, "scale must be at least 1"),
        (["upscale", "in/a.png", "--scale", "3", "--width", "90"], 2, "Give only one of scale, size"),
        (
            ["upscale", "in/a.png", "-m", "esc-light-x2", "--strength", "0.5"],
            2,
            "esc-light-x2 has none; lea",
        ),
        (
            ["upscale", "in/a.png", "-m", "real", "--strength", "2"],
            2,
            "strength must be from 0 to 1, not 2",
        ),
        (["upscale", "in/a.png", "--size", "90"], 2, "WIDTHxHEIGHT, like 1920x1080"),
        (["upscale", ""], 2, "An empty name is no picture"),
        (["upscale", "in/a.png", "-o", ""], 2, "An empty name is no picture"),
        (["upscale", "in/a.png", "--device", "tpu"], 5, "there is"),
        (["upscale", "in/a.png", "-o", "in/a.png"], 2, "is an input"),
        (["upscale", "in/a.png", "-o", "a.bmp"], 2, "its ending must be"),
        (["upscale", "in", "-o", "small.safetensors"], 2, "require a folder"),
        (["evaluate", "--model", "bicubic", "--data", "nowhere", "--scale", "2"], 1, "no such folder"),
        (["evaluate", "--model", "bicubic", "--real", "nowhere", "--scale", "2"], 1, "no such folder"),
        (["evaluate", "--model", "bicubic", "--real", "empty", "--scale", "2"], 3, "no pictures in it"),
        (
            ["evaluate", "--model", "bicubic", "--real", "in", "--scale", "2"],
            1,
            "too small to measure",
        ),
        (
            ["evaluate", "-m", "esc-x2", "--data", "in", "--strength", "1"],
            2,
            "strength 1 is for models with",
        ),
        (["evaluate", "--model", "bicubic", "--scale", "2"], 2, "Give either --data"),
        (["evaluate", "--model", "bicubic", "--data", "in", "--real", "in"], 2, "Give either --data"),
        (["evaluate", "--model", "bicubic", "--real", "in", "--protocol", "lte"], 2, "are for --data"),
        (["evaluate", "--model", "bicubic", "--real", "in", "--lr", "in"], 2, "are for --data"),
        (["evaluate", "--model", "bicubic", "--data", "in", "--metric", "musiq"], 2, "is for --real"),
        (["train", "--recipe", "none", "--data", "in", "-o", "run"], 2, "Unknown recipe"),
    ],
)
def test_mistakes_are_one_clear_line(
    run: Run, folder: Path, arguments: list[str], code: int, message: str
) -> None:
    (folder / "empty").mkdir()
    before = sorted(folder.rglob("*"))
    done = run(*arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert done.stderr.strip().count("\n") == 0
    assert "Traceback" not in done.stderr
    assert sorted(folder.rglob("*")) == before


def test_evaluate_table_and_json(run: Run) -> None:
    table = run("evaluate", "--model", "bicubic", "--data", "in", "--scale", "2")
    assert table.returncode == 0
    assert "bicubic ×2, protocol classic, no padding" in table.stdout
    as_json = run("evaluate", "--model", "small.safetensors", "--data", "in", "--json")
    result = json.loads(as_json.stdout)
    assert result["padded_to_window"] is True
    assert [score["name"] for score in result["scores"]] == ["a", "deep/b"]
    assert result["psnr_y"] == pytest.approx(np.mean([score["psnr_y"] for score in result["scores"]]))


def test_train_then_upscale(run: Run, folder: Path) -> None:
    sizes = ["network.dim=16", "network.attended_dim=8", "network.num_heads=2", "network.num_blocks=1"]
    small = [*sizes, "network.window_size=8", "patch_size=8", "batch_size=2", "iterations=3"]
    settings = [word for setting in small for word in ("--set", setting)]
    trained = run(
        "train",
        "--recipe",
        "esc-light-x2-quick",
        "--data",
        "in",
        "-o",
        "run",
        "--validate",
        "in",
        *settings,
    )
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.startswith("3/3  loss 0.")
    assert "it/s  0 min left  in " in trained.stdout
    assert "Trained: run/iter_0000003.safetensors" in trained.stdout
    done = run("upscale", "in/a.png", "--model", "run/best.safetensors", "-o", "large.webp")
    assert done.returncode == 0
    assert images.read_size(folder / "large.webp") == (100, 80)


def test_models_are_told_found_and_fetched(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    assert run("models", "list").stdout == run("models").stdout
    told = run("models", "info", "esc-light-x2").stdout
    assert "603,600" in told
    assert "MIT" in told
    path = Path(run("models", "path", "esc-light-x2").stdout.strip())
    assert hashlib.sha256(path.read_bytes()).hexdigest() in told
    name = "published-esc-light-x2"
    assert "not downloaded" in run("models", "info", name).stdout
    done = run("upscale", "in/a.png", "--model", name)
    assert done.returncode == 4
    assert f"escsr models fetch {name}" in done.stderr
    assert run("models", "fetch", name, "--offline").returncode == 4
    assert run("models", "fetch", "nothing").returncode == 4
    (folder / "release").mkdir()
    network = escsr.load_network("esc-light-x2")
    weights = to_published(network.state_dict(), network.config)
    torch.save({"params": weights}, folder / "release" / "ESC_light_X2.pth")
    handler = partial(QuietHandler, directory=str(folder / "release"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        done = run("models", "fetch", name, "--mirror", f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
        thread.join()
    assert done.returncode == 0, done.stderr
    assert "academic research only" in done.stdout
    assert "ESC_light_X2.pth" in run("models", "path", name).stdout
    assert "[downloaded]" in run("models").stdout


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


def test_doctor(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run("doctor")
    assert told.returncode == 0
    assert f"{torch.__version__}" in told.stdout
    assert "esc-light-x2" in told.stdout
    monkeypatch.setattr(diagnosis, "list_models", lambda: ["esc-broken"])
    monkeypatch.setattr(diagnosis, "_EXTRAS", {"no-such-package": ("it", ("raw",))})
    findings = {finding.name: finding for finding in diagnosis.diagnose()}
    assert findings["esc-broken"].is_fault
    assert findings["no-such-package"].advice == f"for it: {install_line('raw')}"


def test_lists_and_version(run: Run) -> None:
    assert "esc-light-x2" in run("models").stdout
    assert "esc-light-x2-quick" in run("recipes").stdout
    assert run("--version").stdout == run("-V").stdout == f"escsr {escsr.__version__}\n"
    assert run("upscale", "-h").stdout == run("upscale", "--help").stdout
    assert "upscale" in run("-h").stdout
    helped = run("upscale", "--help")
    assert helped.returncode == 0
    assert "--model" in helped.stdout
    assert run("upscale").returncode == 2


@pytest.mark.parametrize(
    ("command", "functions", "only_command"),
    [
        (
            upscale,
            [batch.upscale, UpscaleOptions, VideoOptions],
            {"quiet", "verbose", "as_json", "dry_run", "more_inputs", "yes", "pipe"},
        ),
        (fleet, [escsr.fleet.run.upscale, UpscaleOptions], {"as_json", "quiet"}),
        (compare, [compare_picture], {"as_json"}),
        (evaluate, [escsr.evaluate, evaluate_real], {"as_json"}),
        (train, [escsr.train], set()),
        (export, [exports.export], set()),
        (publish_command, [publish], set()),
        (convert_command, [conversion.convert], set()),
        (serve, [escsr.web.server.serve], {"no_open"}),
    ],
)
def test_command_and_function_have_the_same_names_and_defaults(
    command: Callable[..., object], functions: list[Callable[..., object]], only_command: set[str]
) -> None:
    ours = inspect.signature(command).parameters
    theirs = {k: v for f in functions for k, v in inspect.signature(f).parameters.items()}
    only_python = ("stop", "options", "network", "objective")
    theirs = {k: v for k, v in theirs.items() if k not in only_python and v.kind != v.VAR_KEYWORD}
    callbacks = {name for name in theirs if name.startswith("on_")}
    assert set(ours) - only_command == set(theirs) - callbacks
    for name in set(ours) - only_command:
        default = theirs[name].default
        if default == ("auto",):  # a list that may be repeated
            default = None
        if (command, name) in ((evaluate, "data"), (evaluate, "folder"), (upscale, "inputs")):
            default = None  # of two options one is given
        assert ours[name].default == (None if default == () else default), name


def test_completion_of_every_command() -> None:
    assert {c.callback.__name__ for c in cli.app.registered_commands if c.callback} == {
        "upscale",
        "fleet",
        "compare",
        "benchmark",
        "serve",
        "evaluate",
        "train",
        "export",
        "publish",
        "doctor",
    }
    assert [group.name for group in cli.app.registered_groups] == ["analyse", "models", "data", "recipes"]
    assert isinstance(cli.app, typer.Typer)
