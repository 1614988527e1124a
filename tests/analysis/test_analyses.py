"""`escsr analyse`: files that are written, mistakes, and the same names and defaults as the functions."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner, Result

import escsr
from escsr import analysis, cli, images
from escsr.analysis.cka import linear_cka
from escsr.analysis.differentiable import as_differentiable, open_models
from escsr.analysis.inputs import read_batch, read_input
from escsr.cli import analysing
from escsr.data.resizers import downscale
from escsr.errors import ConfigError, EscError, OutputError
from escsr.evaluation.cost import count_parameters
from escsr.evaluation.opening import open_model
from escsr.images import Picture
from escsr.models.saving import save_network
from samples import EXAMPLES, small_network


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pixels = images.read(EXAMPLES / "city.png").pixels
    for index in range(5):
        place = 60 * index
        images.write(Picture(pixels[200 + place : 232 + place, 60:100]), tmp_path / "set" / f"{index}.png")
    save_network(small_network("esc"), tmp_path / "one.safetensors")
    save_network(small_network("esc-fp"), tmp_path / "two.safetensors")
    # The commands of a test share its process, whose allocator stays as it is.
    monkeypatch.setattr("escsr.runtime.allocator.keep_freed_memory", lambda: False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def arrays_in(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        return dict(file)


def call(*arguments: str) -> Result:
    done = CliRunner().invoke(cli.app, ["analyse", *arguments])
    assert done.exit_code == 0, (done.exception, done.output)
    return done


def test_a_single_set_of_pictures_is_no_sequence_of_letters(folder: Path) -> None:
    few: dict[str, Any] = {"model": "one.safetensors", "side": 16, "max_images": 2}
    assert set(analysis.analyse_erf("set", **few)) == {"one"}
    assert analysis.analyse_cka(Path("set"), **few).cka.shape == (4, 4)


def test_models_that_are_none_are_that_of_auto() -> None:
    assert [each.name for each in open_models(None, device="cpu")] == ["esc-light-x2"]


def test_cka(folder: Path) -> None:
    written = ["-o", "out/cka.png", "-o", "out/cka.svg", "-o", "out/cka.npz"]
    done = call("cka", "set", "-m", "one.safetensors", "--shrink", "matlab-bicubic", "--cosine", *written)
    assert "4×4 layers, 5 pictures, 5 at once, biased estimator" in done.stdout
    assert "floor for independent features" in done.stdout
    arrays = arrays_in(folder / "out" / "cka.npz")
    assert arrays["rows"][0] == "one: blocks.0.conv_attns.0"
    k, l = (torch.from_numpy(arrays["row_grams"][index]) for index in (0, 3))  # noqa: E741
    assert arrays["cka"][0, 3] == pytest.approx(float(linear_cka(k, l)))
    assert (
        f"mean CKA (without the diagonal)  {arrays['cka'][~np.eye(4, dtype=bool)].mean():.3f}"
        in done.stdout
    )
    assert arrays["cosine"].shape == (4, 4)
    assert images.read_size(folder / "out" / "cka.png")[0] > 300
    drawing = (folder / "out" / "cka.svg").read_text()
    assert "blocks.0.conv_attns.0" in drawing
    assert "floor for independent features" in drawing
    two = [
        "-m",
        "one.safetensors",
        "-m",
        "B=two.safetensors",
        "--estimator",
        "unbiased",
        "--batch-size",
        "4",
    ]
    between = json.loads(call("cka", "set", *two, "--layers", "attention-maps", "--json").stdout)
    assert between["columns"] == ["B: blocks.0.attention", "B: blocks.1.attention"]
    assert (between["pictures"], between["mean_floor"]) == (4, 0)


def test_lam(folder: Path) -> None:
    models = ["-m", "one.safetensors", "-m", "B=two.safetensors"]
    written = ["-o", "lam.png", "-o", "lam.npz"]
    done = call("lam", "set/3.png", *models, "--window", "20,16,16,16", "--steps", "2", *written)
    arrays = arrays_in(folder / "lam.npz")
    index = arrays["diffusion_index"]
    assert f"one  DI {index[0]:.2f}  window 20,16,16x16" in done.stdout
    assert f"B  DI {index[1]:.2f}" in done.stdout
    assert arrays["attribution_1"].shape == (3, 32, 40)
    assert arrays["area_0"].max() == 1
    assert images.read_size(folder / "lam.png")[0] > 400


def test_erf_and_features(folder: Path) -> None:
    done = call("erf", "set", "-m", "one.safetensors", "--side", "16", "--max-images", "2", "-o", "erf.png")
    assert "of 16×16 pixels" in done.stdout
    done = call("features", "set/2.png", "-m", "one.safetensors", "-o", "f.svg", "-o", "f.npz")
    assert done.stdout.startswith("one  4 ConvAttns, 40×32: LK + DK, LK, identity")
    assert arrays_in(folder / "f.npz")["LK_DK_0"].shape == (4, 32, 40)
    assert "identity" in (folder / "f.svg").read_text()


def test_arrays_need_no_matplotlib(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    call("features", "set/2.png", "-m", "one.safetensors", "-o", "f.npz")
    call("features", "set/2.png", "-m", "one.safetensors", "-o", "capital/f.NPZ")
    assert [file.name for file in (folder / "capital").iterdir()] == ["f.NPZ"]
    assert list(arrays_in(folder / "capital" / "f.NPZ")) == list(arrays_in(folder / "f.npz"))
    with pytest.raises(ConfigError, match=r"require matplotlib: .*\[plots\]"):
        analysis.analyse_features("set/2.png", "f.png", model=["one.safetensors"])


def test_modules_of_the_callers_own(folder: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2))
    found = analysis.analyse_lam("set/0.png", model=[module, "one.safetensors"], steps=1)
    assert list(found) == ["Sequential", "one"]
    assert all(each.result.shape == (3, 64, 80) for each in found.values())
    with pytest.raises(ConfigError, match="Sequential: unknown"):
        analysis.analyse_lam("set/0.png", model=[module], shrink="pil-bicubic")


def test_an_upscaler_is_analysed_by_its_network(folder: Path) -> None:
    upscaler = escsr.Upscaler("one.safetensors", device="cpu")
    found, expected = (
        analysis.analyse_lam("set/0.png", model=each, crop="0,0,17,17", steps=1)
        for each in (upscaler, "one.safetensors")
    )
    assert list(found) == list(expected) == ["one"]
    torch.testing.assert_close(found["one"].values, expected["one"].values)
    for model in (3, [lambda lr: lr]):
        with pytest.raises(ConfigError, match="A model to analyse must be a name"):
            analysis.analyse_lam("set/0.png", model=model)  # type: ignore[arg-type]


def test_a_path_is_not_taken_for_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    network = small_network("esc-light")
    Path("esc-light").mkdir()
    save_network(network, "esc-light/best.safetensors")
    opened = as_differentiable(Path("esc-light"))
    assert sum(each.numel() for each in opened.module.parameters()) == count_parameters(network)


def test_real_is_analysed_at_the_strength_that_its_name_says() -> None:
    (model,) = open_models("real", scale=4, device="cpu")
    assert model.name == "esc-real-light-x4, strength 0.9"
    lr = torch.rand(1, 3, 12, 12)
    with torch.no_grad():
        torch.testing.assert_close(model(lr), open_model("real", scale=4, device="cpu")(lr))


def test_inputs_are_shrunk_and_cut(folder: Path) -> None:
    pixels = images.read("set/1.png").pixels
    small = torch.from_numpy(downscale(pixels, 2, "pil-bicubic")).permute(2, 0, 1)[None] / 255
    lr = read_input("set/1.png", scale=2, shrink="pil-bicubic")
    torch.testing.assert_close(lr, small)
    part, whole = (read_input("set/1.png", scale=2, crop=crop) for crop in ("3,4,10,8", None))
    torch.testing.assert_close(part, whole[..., 4:12, 3:13])
    images.write(Picture(pixels[:20, :24]), "set/small.png")
    batch = read_batch(["set"], scale=2)
    assert batch.shape == (6, 3, 20, 24)
    torch.testing.assert_close(batch[1], read_input("set/1.png", scale=2)[0, :, 6:26, 8:32])
    assert read_batch(["set"], scale=2, side=8, max_images=3).shape == (3, 3, 8, 8)


class Silent(nn.Module):
    """Is not to be run."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Identity()

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        raise AssertionError(lr.shape)


@pytest.mark.parametrize(
    ("run", "error", "message"),
    [
        (lambda: analysis.analyse_cka(["set"], "a.jpg"), OutputError, r"a.jpg: give .png or .svg"),
        (lambda: analysis.analyse_cka(["set"], "set/1.png"), OutputError, "1.png is what it would be made"),
        (lambda: analysis.analyse_lam("set/1.png", "set/1.png"), OutputError, "what it would be made from"),
        (lambda: analysis.analyse_erf(["set"], "set/0.png/a.png"), OutputError, "0.png is a file"),
        (lambda: analysis.analyse_cka(["set"], model=["bicubic"]), ConfigError, "bicubic is no network"),
        (
            lambda: analysis.analyse_cka(["set"], model=["one.safetensors"], batch_size=4),
            ConfigError,
            "batch_size is for the unbiased estimator",
        ),
        (
            lambda: analysis.analyse_cka(
                ["set"], model=["one.safetensors"], estimator="unbiased", batch_size=0
            ),
            ConfigError,
            "unbiased estimator needs 4 pictures or more at once, not 0",
        ),
        (
            lambda: analysis.analyse_cka(
                ["set"], model=Silent(), layers="*", estimator="unbiased", batch_size=3
            ),
            ConfigError,
            "unbiased estimator needs 4 pictures or more at once, not 3",
        ),
        (
            lambda: analysis.analyse_cka(["set"], model=Silent(), layers="*", estimator="debiased"),  # type: ignore[arg-type]
            ConfigError,
            "estimator must be one of biased, unbiased, not 'debiased'",
        ),
        (
            lambda: analysis.analyse_lam("set/0.png", model=nn.Upsample(scale_factor=2), scale=3),
            ConfigError,
            r"Upsample makes 80×64 pixels of 40×32, so its scale is not 3",
        ),
        (
            lambda: analysis.analyse_lam("set/0.png", model=["one.safetensors"], window="7,0,16"),
            ConfigError,
            "window must be X,Y,W,H",
        ),
        (
            lambda: analysis.analyse_lam("set/0.png", model="one.safetensors", scale=4),
            ConfigError,
            "one upscales by 2, not by 4",
        ),
        (lambda: analysis.analyse_cka(["set"], model=["esc-light-x9"]), EscError, "Unknown model"),
        (
            lambda: analysis.analyse_cka(["set"], model=["esc-x2", "esc-x3", "esc-x4"]),
            ConfigError,
            "within a model or between two, not 3",
        ),
        (
            lambda: analysis.analyse_cka(["set"], model=["one.safetensors"], side=50),
            ConfigError,
            "side is 50, but set/0.png has 40×32 pixels",
        ),
        (
            lambda: analysis.analyse_lam("set/0.png", model=["one.safetensors"], window="70,0,16,16"),
            ConfigError,
            "window 70,0,16,16 reaches beyond the picture of 80×64",
        ),
        (
            lambda: analysis.analyse_features("set/0.png", model=["esc-x2", "esc-x3"], shrink="pil-box"),
            ConfigError,
            "Originals are shrunk by the scale that all models have; they have esc-x2: 2; esc-x3: 3",
        ),
    ],
)
def test_mistakes(folder: Path, run: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        run()


@pytest.mark.parametrize(
    ("command", "function"),
    [
        (analysing.cka, analysis.analyse_cka),
        (analysing.lam, analysis.analyse_lam),
        (analysing.erf, analysis.analyse_erf),
        (analysing.features, analysis.analyse_features),
    ],
)
def test_command_and_function_have_the_same_names_and_defaults(
    command: Callable[..., object], function: Callable[..., object]
) -> None:
    ours = {k: v.default for k, v in inspect.signature(command).parameters.items() if k != "as_json"}
    theirs = {k: v.default for k, v in inspect.signature(function).parameters.items() if k != "on_progress"}
    assert ours == {name: None if default == () else default for name, default in theirs.items()}
