"""The bundled models: better than bicubic, stable, and as their cards say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import escsr
import model_cards
import model_tables
from escsr import images
from escsr.data.pil_resize import pil_resize
from escsr.data.resize import imresize
from escsr.evaluation.metrics import psnr
from escsr.files import sha256_of
from escsr.models.bundled import find_model
from escsr.models.checkpoints import read_checkpoint
from escsr.upscaling.target_size import TargetSize
from samples import EXAMPLES

MODELS = escsr.list_models()
RECORDS = {record["model"]: record for record in model_tables.read_records()}


def least_gain(name: str, usual: float) -> float:
    """dB above bicubic: fewer for photographs as they are, and hardly any where detail is invented."""
    if "-gan-" in name:
        return 0.2 * usual
    return 0.6 * usual if "degradation" in RECORDS[name] else usual


def test_pages_and_cards_are_rendered_from_the_records() -> None:
    assert set(RECORDS) == set(MODELS)
    for page, text in model_tables.pages(list(RECORDS.values())).items():
        assert page.read_text() == text
    for name, record in RECORDS.items():
        assert (model_tables.CARDS / f"{name}.md").read_text() == model_cards.card(record)
        for data, sets in record["sets"].items():
            least = 0.4 if "-gan-" in name else 0.5 if data.endswith(("×6", "×8")) else 1
            assert sets["model"][0] > sets["bicubic"][0] + least


@pytest.mark.parametrize("name", MODELS)
def test_the_file_is_the_recorded_one_and_tells_its_origin(name: str) -> None:
    path = find_model(name)
    assert sha256_of(path) == RECORDS[name]["sha256"]
    metadata = read_checkpoint(path).metadata
    assert metadata["licence"] == RECORDS[name]["licence"]
    assert RECORDS[name]["training"]["recipe"] in metadata["training"]
    assert path.stat().st_size < 2.5 * sum(p.numel() for p in escsr.load_network(name).parameters())


@pytest.mark.parametrize("picture", ["flowers", pytest.param("city", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", MODELS)
def test_better_than_bicubic(name: str, picture: str) -> None:
    upscaler = escsr.Upscaler(name, device="cpu")
    scale = upscaler.scale or 3
    hr = images.read(EXAMPLES / f"{picture}.png").colour[100:292, 200:392]
    lr = imresize(hr, 1 / scale)
    truth, ours, bicubic = (
        torch.from_numpy(pixels) for pixels in (hr, upscaler(lr, scale=scale), imresize(lr, scale))
    )
    assert psnr(ours, truth) > psnr(bicubic, truth) + least_gain(name, 0.8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["esc-light-x4", "esc-fp-x4", "esc-x4"])
def test_set5_figures_are_the_cards(name: str, shared: Path) -> None:
    """One model of each network: the files themselves are those that were measured."""
    result = escsr.evaluate(name, shared / "data" / "Set5" / "HR", device="cpu")
    psnr_y, ssim_y = RECORDS[name]["sets"]["Set5"]["model"]
    assert result.psnr_y == pytest.approx(psnr_y, abs=2e-3)
    assert result.ssim_y == pytest.approx(ssim_y, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("sides", [(64, 64), (58, 73), (40, 91)])
def test_any_scale_and_a_scale_for_each_side(sides: tuple[int, int]) -> None:
    """Sharper than bicubic where rows and columns grow by 3, by 3.3 and 2.6, by 4.8 and 2.1."""
    hr = images.read(EXAMPLES / "flowers.png").colour[100:292, 200:392]
    lr = pil_resize(hr, sides, "bicubic")
    sr = escsr.Upscaler("esc-lte", device="cpu")(lr, size=TargetSize(width=192, height=192, fit="exact"))
    bicubic = pil_resize(lr, (192, 192), "bicubic")
    assert sr.shape == hr.shape
    truth, ours, theirs = (torch.from_numpy(pixels) for pixels in (hr, sr, bicubic))
    assert psnr(ours, truth) > psnr(theirs, truth) + 1
