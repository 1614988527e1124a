"""Protocol `real` as a function and as a command."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner, Result

import escsr
from escsr import cli, images
from escsr.errors import ConfigError, DataError, NoImagesError
from escsr.evaluation.no_reference import niqe, piqe
from escsr.evaluation.pairs import to_tensor
from escsr.evaluation.real import colour_shift, downscaled_psnr, evaluate_real
from escsr.images import Picture
from escsr.runtime.extras import install_line
from samples import EXAMPLES, NearestResolver, flowers

FIGURES = {"niqe", "piqe", "downscaled_psnr", "colour_shift"}


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    whole = flowers()
    images.write(Picture(whole[:101, 100:250]), tmp_path / "in" / "a.png")
    images.write(Picture(whole[200:300, 300:397]), tmp_path / "in" / "more" / "a.png")
    # The commands of a test share its process, whose allocator stays as it is.
    monkeypatch.setattr("escsr.runtime.allocator.keep_freed_memory", lambda: False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "in"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments, catch_exceptions=False)


def test_step_by_step(photos: Path) -> None:
    """What is measured is the result in 8 bits, of the whole photo, at its place in the folder."""
    seen: list[str] = []
    result = evaluate_real(
        NearestResolver(2, pad_multiple=8), photos, on_score=lambda s: seen.append(s.name)
    )
    assert seen == [score.name for score in result.scores] == ["a.png", "more/a.png"]
    assert (result.protocol, result.model, result.scale) == ("real", "nearest", 2)
    assert not result.padded_to_window
    assert set(result.lower_is_better) == FIGURES - {"downscaled_psnr"}
    photo = to_tensor(images.read(photos / "a.png").pixels)
    large = photo.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert result.scores[0].figures == {
        "niqe": niqe(large),
        "piqe": piqe(large),
        "downscaled_psnr": downscaled_psnr(large, photo),
        "colour_shift": 0,
    }
    assert result.means["niqe"] == pytest.approx(np.mean([s.figures["niqe"] for s in result.scores]))
    with pytest.raises(ConfigError, match="does not measure psnr_y; it measures niqe"):
        _ = result.psnr_y


class Shifted(NearestResolver):
    """Moves the colours of what it repeats."""

    def __call__(self, lr: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
        shift = torch.tensor([2.0, -5.0, 1.0])[:, None, None] / 255
        return super().__call__(lr, size=size) + shift


def test_a_moved_colour_is_the_colour_shift(photos: Path) -> None:
    for path in photos.rglob("*.png"):
        images.write(Picture(images.read(path).pixels // 2 + 64), path)  # so that nothing is clamped
    for score in evaluate_real(Shifted(2), photos).scores:
        assert score.figures["colour_shift"] == pytest.approx(5, abs=1e-9)
        assert score.figures["downscaled_psnr"] < 45


def test_faithfulness() -> None:
    photo = to_tensor(images.read(EXAMPLES / "city.png").pixels[:150, :160])
    assert colour_shift(photo + torch.tensor([1.0, 3.0, -7.0])[:, None, None], photo) == pytest.approx(7)
    enlarged = torch.nn.functional.interpolate(photo[None].float(), scale_factor=4, mode="bicubic")[0]
    faithful = downscaled_psnr(enlarged, photo)
    assert faithful > 35
    moved = torch.roll(enlarged, 4, 2)
    assert downscaled_psnr(moved, photo) < faithful - 10
    darker = downscaled_psnr(photo.float() - 10, photo)
    assert darker == pytest.approx(10 * np.log10(255**2 / (219 / 255 * 10) ** 2))


@pytest.mark.parametrize("scale", [2, 3, 2.5])
def test_bicubic_is_faithful_at_any_scale(photos: Path, scale: float) -> None:
    result = evaluate_real("bicubic", photos, scale=scale)
    assert result.model == "bicubic"
    assert result.means["downscaled_psnr"] > 38
    assert result.means["colour_shift"] < 0.2
    assert evaluate_real("bicubic", photos, scale=scale) == result


def test_a_network_of_ours(photos: Path) -> None:
    result = evaluate_real("esc-light-x2", photos, device="cpu")
    assert (result.scale, result.padded_to_window) == (2, False)
    bicubic = evaluate_real("bicubic", photos, scale=2)
    for score, other in zip(result.scores, bicubic.scores, strict=True):
        assert score.figures["downscaled_psnr"] > other.figures["downscaled_psnr"] + 5
        assert score.figures["piqe"] < other.figures["piqe"]


def test_photos_of_every_kind_count_as_8_bit_colour(photos: Path) -> None:
    pixels = images.read(photos / "a.png").pixels
    opacity = np.full((*pixels.shape[:2], 1), 128, np.uint8)
    variants = {
        "16": pixels.astype(np.uint16) * 257,
        "alpha": np.concatenate([pixels, opacity], 2),
        "grey": pixels[..., 1:2],
        "grey as rgb": np.repeat(pixels[..., 1:2], 3, 2),
        "grey alpha 16": np.concatenate([pixels[..., 1:2], opacity], 2).astype(np.uint16) * 257,
    }
    for name, variant in variants.items():
        images.write(Picture(variant), photos / "kinds" / f"{name}.png")
    scores = evaluate_real("bicubic", photos, scale=2).scores
    figures = {score.name.removeprefix("kinds/").removesuffix(".png"): score.figures for score in scores}
    assert figures["16"] == figures["alpha"] == figures["a"]
    assert figures["grey"] == figures["grey as rgb"] == figures["grey alpha 16"] != figures["a"]


def test_refusals(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Which scale\? bicubic has none"):
        evaluate_real("bicubic", photos)
    with pytest.raises(ConfigError, match=r"nearest upscales by 3, not by 2\.5"):
        evaluate_real(NearestResolver(3), photos, scale=2.5)
    with pytest.raises(ConfigError, match="at least 1, not nan"):
        evaluate_real("bicubic", photos, scale=float("nan"))
    with pytest.raises(DataError, match="no such folder"):
        evaluate_real("bicubic", photos / "nowhere", scale=2)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoImagesError):
        evaluate_real("bicubic", tmp_path / "empty", scale=2)
    with pytest.raises(ConfigError, match="Metric niqe: measured already"):
        evaluate_real("bicubic", photos, scale=2, metrics=["niqe"])
    images.write(Picture(np.full((150, 160, 3), 77, np.uint8)), tmp_path / "flat" / "flat.png")
    with pytest.raises(DataError, match=r"flat\.png: NIQE needs .* not flat"):
        evaluate_real("bicubic", tmp_path / "flat", scale=2)
    (photos / "text.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"text\.png"):
        evaluate_real("bicubic", photos, scale=2)


def test_a_photo_that_is_too_small_is_named_before_any_is_upscaled(photos: Path) -> None:
    images.write(Picture(np.zeros((47, 200, 3), np.uint8)), photos / "z.png")
    model = NearestResolver(2)
    with pytest.raises(DataError, match=r"z\.png: too small to measure; 400×94 pixels at ×2"):
        evaluate_real(model, photos)
    assert not model.shapes


def test_command(photos: Path) -> None:
    options = ["evaluate", "--real", "in", "--scale", "2", "--model", "bicubic"]
    told = json.loads(run(*options, "--json").stdout)
    expected = evaluate_real("bicubic", "in", scale=2)
    assert told == json.loads(json.dumps(expected.to_dict()))
    assert told["lower_is_better"] == ["niqe", "piqe", "colour_shift"]
    lines = run(*options).stdout.splitlines()
    assert lines[0] == "bicubic ×2, protocol real, no padding"
    titles = ("NIQE ↓", "PIQE ↓", "downscaled Y-PSNR dB ↑", "colour shift /255 ↓")
    assert all(title in lines[1] for title in titles)
    assert [line.split()[0] for line in lines[2:]] == ["a.png", "more/a.png", "mean"]
    assert lines[-1].split()[1] == f"{expected.means['niqe']:.3f}"
    both = run(*options, "--model", "esc-light-x2").stdout.splitlines()
    assert len(both[-1].split()) == 9


@pytest.fixture
def tiny_pyiqa(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """A package with what we use of pyiqa: a measure of brightness, one of darkness, one with a truth."""
    calls: list[tuple[object, ...]] = []

    class Metric:
        def __init__(self, name: str) -> None:
            self.lower_better, self.metric_mode = name == "dark", "FR" if name == "lpips" else "NR"

        def __call__(self, image: Tensor) -> Tensor:
            calls.append(
                (tuple(image.shape), image.dtype, image.min().item() >= 0, image.max().item() <= 1)
            )
            value = image.mean() + torch.rand(()) / 100
            return (1 - value if self.lower_better else value).reshape(1, 1)

    def create_metric(name: str, *, device: torch.device) -> Metric:
        assert isinstance(device, torch.device)
        assert name in ("bright", "dark", "lpips"), f"Metric {name} not implemented yet."
        return Metric(name)

    module = ModuleType("pyiqa")
    vars(module).update(vars(SimpleNamespace(create_metric=create_metric)))
    monkeypatch.setitem(sys.modules, "pyiqa", module)
    return calls


def test_measures_of_pyiqa(photos: Path, tiny_pyiqa: list[tuple[object, ...]]) -> None:
    options = ["evaluate", "--real", "in", "--scale", "2", "--model", "bicubic"]
    options += ["--metric", "bright", "--metric", "dark", "--device", "cpu"]
    before = torch.get_rng_state()
    told = json.loads(run(*options, "--json").stdout)
    assert torch.equal(torch.get_rng_state(), before)
    assert tiny_pyiqa[0] == ((1, 3, 202, 300), torch.float32, True, True)
    torch.manual_seed(7)  # whatever was drawn before, the measures draw the same
    assert told == json.loads(run(*options, "--json").stdout)
    for score in told["scores"]:
        mean = images.read(photos / score["name"]).pixels.mean() / 255
        assert score["bright"] == pytest.approx(mean, abs=0.02)
        assert score["bright"] + score["dark"] == pytest.approx(1)
    assert told["lower_is_better"] == ["niqe", "piqe", "colour_shift", "dark"]
    title = run(*options).stdout.splitlines()[1]
    assert "bright ↑" in title
    assert "dark ↓" in title


def test_one_measure_is_no_sequence_of_letters(photos: Path, tiny_pyiqa: list[tuple[object, ...]]) -> None:
    result = evaluate_real("bicubic", photos, scale=2, metrics="bright", device="cpu")
    assert "bright" in result.means


def test_measures_that_pyiqa_cannot_make(photos: Path, tiny_pyiqa: list[tuple[object, ...]]) -> None:
    with pytest.raises(ConfigError, match="cannot make the metric 'musik': Metric musik not implemented"):
        evaluate_real("bicubic", photos, scale=2, metrics=["musik"])
    with pytest.raises(ConfigError, match="lpips compares with a truth"):
        evaluate_real("bicubic", photos, scale=2, metrics=["bright", "lpips"])
    with pytest.raises(ConfigError, match="Metric dark: measured already"):
        evaluate_real("bicubic", photos, scale=2, metrics=["dark", "dark"])


def test_pyiqa_is_imported_only_for_its_measures(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyiqa", None)  # an import of it fails
    evaluate_real("bicubic", photos, scale=2)
    with pytest.raises(ConfigError, match=rf"^musiq: .* {re.escape(install_line('pyiqa'))}$"):
        evaluate_real("bicubic", photos, scale=2, metrics=["musiq"])


def test_means_of_the_classic_protocol_stay_as_they_were(photos: Path) -> None:
    assert escsr.evaluate("bicubic", photos, scale=2).lower_is_better == ()
