from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel

import escsr
from escsr import images
from escsr.data.degradations import PRESETS
from escsr.data.pictures import find_training_images
from escsr.data.resize import imresize
from escsr.errors import ConfigError, DataError
from escsr.evaluation.metrics import psnr, rgb_to_y
from escsr.evaluation.opening import open_model
from escsr.evaluation.protocols import Evaluation, measure
from escsr.images import Picture
from escsr.models.saving import save_network
from escsr.runtime.choices import Protocol
from escsr.upscaling.super_resolver import SuperResolver
from escsr.upscaling.upscaler import Upscaler
from samples import NearestResolver, flowers, nearest_network, small_network

BASELINES: dict[tuple[str, Protocol], list[tuple[float, float]]] = {
    ("Set5", "classic"): [(33.67, 0.9303), (30.40, 0.8689), (28.43, 0.8111)],
    ("B100", "classic"): [(29.56, 0.8434), (27.21, 0.7391), (25.96, 0.6681)],
    ("Set5", "bicubic-as-published"): [(33.66, 0.9299), (30.39, 0.8682), (28.42, 0.8104)],
    ("B100", "bicubic-as-published"): [(29.56, 0.8431), (27.21, 0.7384), (25.96, 0.6674)],
}


@pytest.mark.parametrize(
    ("dataset", "protocol", "scale"),
    [
        pytest.param(*case, scale, marks=[pytest.mark.slow] * (case[0] == "B100"))
        for case in BASELINES
        for scale in (2, 3, 4)
    ],
)
def test_bicubic_baselines(shared: Path, dataset: str, protocol: Protocol, scale: int) -> None:
    result = escsr.evaluate("bicubic", shared / "data" / dataset / "HR", scale=scale, protocol=protocol)
    expected = BASELINES[dataset, protocol][scale - 2]
    assert result.psnr_y == pytest.approx(expected[0], abs=0.01)
    assert result.ssim_y == pytest.approx(expected[1], abs=0.0002)


def test_lr_made_and_lr_given_agree(shared: Path) -> None:
    folder = shared / "data" / "Set5"
    made = escsr.evaluate("bicubic", folder / "HR", scale=3)
    given = escsr.evaluate("bicubic", folder / "HR", scale=3, lr=folder / "LR_bicubic" / "X3")
    assert made.scores == given.scores
    assert len(made.scores) == 5


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    whole = flowers()
    images.write(Picture(whole[:83, 100:201]), tmp_path / "colour.png")
    images.write(Picture(whole[200:260, 300:371, 1:2]), tmp_path / "grey.png")
    return tmp_path


def test_classic_step_by_step(pictures: Path) -> None:
    """The protocol written out for one picture: pad to the window, round, crop the border, luma."""
    network = small_network("esc")
    hr = images.read(pictures / "colour.png").pixels[:82, :100]
    lr = torch.from_numpy(imresize(hr, 0.5)).permute(2, 0, 1)[None].float() / 255
    padded = torch.nn.functional.pad(lr, (0, 6, 0, 7), mode="reflect")
    with torch.no_grad():
        sr = network(padded)[0, :, :82, :100].clamp(0, 1).mul(255).round()
    truth = torch.from_numpy(hr).permute(2, 0, 1)
    expected = psnr(rgb_to_y(sr)[:, 2:-2, 2:-2], rgb_to_y(truth)[:, 2:-2, 2:-2])
    seen: list[str] = []
    result = escsr.evaluate(network, pictures, on_score=lambda score: seen.append(score.name))
    assert seen == ["colour", "grey"]
    assert result.scores[0].psnr_y == pytest.approx(expected)
    assert result.padded_to_window
    assert result.psnr_y == pytest.approx(np.mean([score.psnr_y for score in result.scores]))
    assert json.loads(json.dumps(result.to_dict()))["scale"] == 2


def test_refusals(pictures: Path, tmp_path: Path) -> None:
    network = small_network("esc")
    with pytest.raises(ConfigError, match="upscales by 2"):
        escsr.evaluate(network, pictures, scale=3)
    with pytest.raises(ConfigError, match="Which scale"):
        escsr.evaluate("bicubic", pictures)
    with pytest.raises(ConfigError, match="known are classic"):
        escsr.evaluate("bicubic", pictures, scale=2, protocol="psnr")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="for the model 'bicubic'"):
        escsr.evaluate(network, pictures, protocol="bicubic-as-published")
    with pytest.raises(DataError, match="no such folder"):
        escsr.evaluate(network, pictures / "nowhere")
    lr = tmp_path / "lr"
    images.write(Picture(np.zeros((41, 50, 3), np.uint8)), lr / "colourx2.png")
    with pytest.raises(DataError, match=r"no LR picture for grey\.png"):
        escsr.evaluate(network, pictures, lr=lr)
    images.write(Picture(np.zeros((20, 20, 3), np.uint8)), lr / "colourx2.png")
    for place in lr.iterdir():
        place.unlink()
    images.write(Picture(np.zeros((41, 50, 3), np.uint8)), lr / "colourx2.png")
    images.write(Picture(np.zeros((20, 21, 3), np.uint8)), lr / "greyx2.png")
    scores: list[object] = []
    with pytest.raises(DataError, match=r"greyx2\.png: \(20, 21\) times 2 does not fit"):
        escsr.evaluate(network, pictures, lr=lr, on_score=scores.append)
    assert not scores, "found before the first is measured"
    sequences = tmp_path / "sequences"
    for name, side in {"hr/000/1.png": 40, "hr/001/1.png": 40, "lr/000/1.png": 20}.items():
        images.write(Picture(np.zeros((side, side, 3), np.uint8)), sequences / name)
    with pytest.raises(DataError, match=r"no LR picture for 001/1\.png"):
        escsr.evaluate(network, sequences / "hr", lr=sequences / "lr")


@pytest.mark.parametrize("scale", [None, 2])
@pytest.mark.parametrize("protocol", ["classic", "lte", "lte-div2k"])
def test_anybodys_model(pictures: Path, protocol: Protocol, scale: int | None) -> None:
    """A network of ours that repeats pixels, and a class of the user's that does, have equal figures."""
    theirs = NearestResolver(scale, pad_multiple=8)
    assert isinstance(theirs, SuperResolver)
    result = escsr.evaluate(theirs, pictures, scale=2, protocol=protocol)
    ours = escsr.evaluate(nearest_network(), pictures, protocol=protocol)
    assert result.model == "nearest"
    for one, other in zip(result.scores, ours.scores, strict=True):
        assert one.figures == pytest.approx(other.figures, abs=1e-4)
    assert result.padded_to_window == (protocol == "classic")
    assert theirs.shapes[0] == ((1, 3, 48, 56) if protocol == "classic" else (1, 3, 41, 50))


def test_anybodys_model_of_its_own_scale(pictures: Path) -> None:
    assert escsr.evaluate(NearestResolver(3), pictures).scale == 3
    with pytest.raises(ConfigError, match="nearest upscales by 3, not by 2"):
        escsr.evaluate(NearestResolver(3), pictures, scale=2)
    with pytest.raises(ConfigError, match=r"Which scale\? nearest has none"):
        escsr.evaluate(NearestResolver(), pictures)


def test_a_model_that_gives_another_size(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NearestResolver, "__call__", lambda self, lr, size=None: lr)
    with pytest.raises(ConfigError, match=r"nearest gives \(1, 3, 41, 50\) for"):
        escsr.evaluate(NearestResolver(2), pictures)


def test_shards_are_the_whole(pictures: Path) -> None:
    model = open_model("bicubic")
    whole = list(measure(model, pictures, scale=2))
    shards = [list(measure(model, pictures, scale=2, shard=k, num_shards=2)) for k in (0, 1)]
    assert [score for shard in shards for score in shard] == whole


def test_means_of_nothing() -> None:
    with pytest.raises(DataError, match="no picture was measured"):
        _ = Evaluation("classic", "bicubic", "Set5", 2, False, ()).means


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        ("Set5/HR", "Set5/LR_bicubic/X2"),
        ("Set5/GTmod12", "Set5/LRbicx3"),
        ("mine/HR", "mine/LR"),
        ("mine/deep/flowers_HR", "mine/deep/flowers-lr"),
        ("mine/gt", "mine/X4"),
    ],
)
def test_lr_pictures_are_not_measured_as_hr(hr: str, lr: str, tmp_path: Path) -> None:
    whole = flowers()
    images.write(Picture(whole[:40, :40]), tmp_path / hr / "a.png")
    images.write(Picture(whole[:20, :20]), tmp_path / lr / "a.png")
    root = tmp_path / hr.partition("/")[0]
    with pytest.raises(DataError, match=f"{root} holds .*; give {tmp_path / hr}"):
        escsr.evaluate("bicubic", root, scale=2)
    with pytest.raises(DataError, match=f"{root} holds .*; give {tmp_path / hr}"):
        find_training_images(root)
    assert len(escsr.evaluate("bicubic", tmp_path / hr, scale=2).scores) == 1


def test_names_that_only_look_alike(tmp_path: Path) -> None:
    whole = flowers()
    for name in ("Lrig", "chr", "LR exports", "x264", "ghr"):
        images.write(Picture(whole[:40, :40]), tmp_path / name / f"{name}.png")
    assert len(escsr.evaluate("bicubic", tmp_path, scale=2).scores) == 5


def test_degraded_pictures_are_the_same_for_all(tmp_path: Path) -> None:
    pixels = flowers()[:96, :96]
    images.write(Picture(pixels), tmp_path / "a.png")
    images.write(Picture(pixels[..., :1]), tmp_path / "b.png")
    network = nearest_network()
    first, again, other = (
        escsr.evaluate(network, tmp_path, degradation="gentle", seed=seed) for seed in (3, 3, 4)
    )
    assert first == again
    assert first.scores != other.scores
    assert first.protocol == "classic, gentle degradation, seed 3"
    clean = escsr.evaluate(network, tmp_path)
    assert clean.psnr_y > first.psnr_y + 1
    own = escsr.evaluate(network, tmp_path, degradation=PRESETS["bicubic"])
    assert own.psnr_y == pytest.approx(clean.psnr_y, abs=0.1)
    with pytest.raises(ConfigError, match="makes its own LR"):
        escsr.evaluate(network, tmp_path, degradation="gentle", lr=tmp_path)
    with pytest.raises(ConfigError, match="Did you mean gentle"):
        escsr.evaluate(network, tmp_path, degradation="gentel")


def test_names_that_are_there_twice_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for index, name in enumerate(("a", "b")):
        pixels = flowers()[index * 200 :][:64, :64]
        images.write(Picture(pixels), tmp_path / "hr" / name / "001.png")
        lr = np.asarray(imresize(pixels, 0.5))
        images.write(Picture(lr), tmp_path / "lr" / name / "001.png")
    result = escsr.evaluate("bicubic", tmp_path / "hr", scale=2, lr=tmp_path / "lr")
    assert [score.name for score in result.scores] == ["a/001", "b/001"]
    made = escsr.evaluate("bicubic", tmp_path / "hr", scale=2)
    assert [score.figures for score in result.scores] == [score.figures for score in made.scores]


def test_lr_may_lie_in_another_subfolder(tmp_path: Path) -> None:
    pixels = flowers()[:64, :64]
    images.write(Picture(pixels), tmp_path / "hr" / "001.png")
    images.write(Picture(np.asarray(imresize(pixels, 0.5))), tmp_path / "bicubic" / "X2" / "001x2.png")
    assert escsr.evaluate("bicubic", tmp_path / "hr", scale=2, lr=tmp_path / "bicubic").scores


def test_a_picture_too_small_is_named_before_the_work(tmp_path: Path) -> None:
    pixels = flowers()
    images.write(Picture(pixels[:64, :64]), tmp_path / "a.png")
    images.write(Picture(pixels[:14, :64]), tmp_path / "small.png")
    seen: list[object] = []
    with pytest.raises(DataError, match=r"small\.png: 64×14 pixels are too small .* at ×2 sides of 15"):
        escsr.evaluate("bicubic", tmp_path, scale=2, on_score=seen.append)
    assert not seen


@pytest.mark.parametrize(("depth", "bits"), [(np.uint16, 16), (np.float32, 32)])
def test_a_picture_of_more_bits_is_named_before_the_work(tmp_path: Path, depth: type, bits: int) -> None:
    pixels = flowers()[:64, :64]
    images.write(Picture(pixels), tmp_path / "a.png")
    images.write(Picture(pixels.astype(depth)), tmp_path / "b.tif")
    headers = [images.read_header(tmp_path / name) for name in ("a.png", "b.tif")]
    assert [header.depth for header in headers] == ["uint8", np.dtype(depth).name]
    seen: list[object] = []
    with pytest.raises(DataError, match=rf"b\.tif: .* must have 8 bits, not {bits}"):
        escsr.evaluate("bicubic", tmp_path, scale=2, on_score=seen.append)
    assert not seen


def test_a_family_is_told_with_all_its_scales(pictures: Path) -> None:
    for name, wanted, scales in (("real", 3, "2 or 4"), ("esc-light", 5, "2, 3 or 4")):
        with pytest.raises(ConfigError, match=f"{name} upscales by {scales}, not by {wanted}"):
            escsr.evaluate(name, pictures, scale=wanted, device="cpu")


def test_a_strength_is_for_models_with_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="strength is for models given by name"):
        escsr.evaluate("bicubic", tmp_path, scale=2, strength=0.5)


COMPILE = partial(torch.compile, backend="eager")


@pytest.mark.parametrize("wrap", [COMPILE, torch.nn.DataParallel, AveragedModel])
def test_wrapped_networks_are_measured_as_what_they_hold(wrap: Callable[..., Any], pictures: Path) -> None:
    network = small_network("esc")
    expected = escsr.evaluate(network, pictures)
    assert escsr.evaluate(wrap(network), pictures).to_dict() == expected.to_dict()
    own = open_model(wrap(torch.nn.Upsample(scale_factor=2)), scale=2)
    assert own.name == "Upsample"
    assert own(torch.rand(1, 3, 4, 5)).shape == (1, 3, 8, 10)


@pytest.mark.parametrize("scale", [(2, 2), torch.nn.Parameter(torch.ones(3)), 0.125, True, float("inf"), 0])
def test_a_module_whose_scale_is_no_whole_number_needs_one_given(scale: Any) -> None:
    module = torch.nn.Upsample(scale_factor=2)
    module.scale = scale
    with pytest.raises(ConfigError, match="Which scale has Upsample"):
        open_model(module)
    assert open_model(module, scale=2)(torch.rand(1, 3, 4, 5)).shape == (1, 3, 8, 10)


def test_a_module_that_returns_no_tensor_is_told(pictures: Path) -> None:
    class Several(torch.nn.Upsample):
        def forward(self, lr: torch.Tensor) -> Any:
            return [super().forward(lr)]

    with pytest.raises(ConfigError, match="Several returns list, not a tensor"):
        escsr.evaluate(Several(scale_factor=2), pictures, scale=2)


def test_an_upscaler_is_measured_by_its_network(pictures: Path, tmp_path: Path) -> None:
    network = small_network("esc")
    path = tmp_path / "models" / "small.safetensors"
    save_network(network, path)
    result = escsr.evaluate(Upscaler(path, device="cpu"), pictures)
    assert result.means == escsr.evaluate(network, pictures).means


@pytest.mark.parametrize("model", [None, 3, ["bicubic"], lambda lr: lr])
def test_what_is_no_model(model: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="A model must be a name, a file"):
        escsr.evaluate(model, tmp_path, scale=2)
