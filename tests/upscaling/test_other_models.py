"""Models of other architectures through the real spandrel: whole and in tiles, measured, compared."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

import escsr
from escsr import batch, cli, images
from escsr.errors import CheckpointError, ConfigError
from escsr.evaluation.comparison import compare
from escsr.evaluation.cost import count_macs, count_parameters
from escsr.evaluation.opening import open_model
from escsr.evaluation.side_by_side import compare_picture
from escsr.images import Picture
from escsr.models.saving import save_network
from escsr.runtime.extras import install_line
from escsr.upscaling.super_resolver import SuperResolver
from escsr.upscaling.tiled import TiledInference
from other_models import NEEDS_SPANDREL, OTHERS, real_spandrel
from samples import flowers, small_network

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torch.functional")

LEVEL = 1 / 255
POOLING = {"RealCUGAN"}
"""Looks at the whole picture."""


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "a.png"
    images.write(Picture(flowers()[:90, :140]), path)
    return path


def saved(kind: str, folder: Path, *, suffix: str = ".pth") -> tuple[Path, nn.Module]:
    network = OTHERS[kind][0]()
    path = folder / f"{kind}{suffix}"
    if suffix == ".pth":
        torch.save({"params_ema": network.state_dict()}, path)
    else:
        save_file(network.state_dict(), path)
    return path, network


@NEEDS_SPANDREL
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", OTHERS)
def test_a_small_picture_is_what_spandrel_makes_of_it(kind: str, suffix: str, tmp_path: Path) -> None:
    path, _ = saved(kind, tmp_path, suffix=suffix)
    descriptor = real_spandrel().ModelLoader().load_from_file(path)
    upscaler = escsr.Upscaler(path, device="cpu")
    lr = torch.rand(2, 3, 37, 41)
    assert upscaler.scale == OTHERS[kind][1]
    expected = torch.cat([descriptor(lr[:1]), descriptor(lr[1:])])
    assert torch.equal(upscaler(lr), expected)
    assert upscaler.inference.remarks((37, 41)) == ()


@NEEDS_SPANDREL
@pytest.mark.parametrize("kind", [kind for kind in OTHERS if kind not in POOLING])
def test_tiles_are_nearly_the_whole_picture(kind: str, tmp_path: Path, picture: Path) -> None:
    path, _ = saved(kind, tmp_path)
    whole, tiled = (escsr.Upscaler(path, device="cpu", tile_size=size) for size in (None, 32))
    shares: list[float] = []
    pixels = images.read(picture).pixels.astype(np.float32) / 255
    difference = tiled(pixels, on_progress=shares.append) - whole(pixels)
    assert np.abs(difference).max() < LEVEL
    assert np.abs(difference).max() > 0  # they were computed apart
    assert shares == sorted(shares)
    assert shares[-1] == 1
    remark, *none = tiled.inference.remarks((90, 140))
    assert "not exactly" in remark
    assert none == []


@pytest.mark.slow
@NEEDS_SPANDREL
def test_windows_are_found_and_pooling_is_told(tmp_path: Path) -> None:
    reaches = {}
    for kind in OTHERS:
        inference = open_model(saved(kind, tmp_path)[0])
        assert isinstance(inference, TiledInference)
        assert isinstance(inference, SuperResolver)
        reaches[kind] = inference.reach
        if kind in POOLING:
            assert "which it looks beyond" in inference.remarks((300, 300))[0]
    assert {kind for kind, reach in reaches.items() if not reach.is_bounded} == POOLING
    assert reaches["SwinIR"].grid == 8
    assert all(reaches[kind].grid == 1 for kind in ("ESRGAN", "Compact", "SPAN"))
    assert all(0 < reaches[kind].halo < 32 for kind in OTHERS if kind not in POOLING)


@NEEDS_SPANDREL
def test_tiles_are_halved_where_memory_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inference = open_model(saved("SPAN", tmp_path)[0])
    assert isinstance(inference, TiledInference)
    compute, sides = inference._compute, []

    def small_machine(lr: torch.Tensor) -> torch.Tensor:
        sides.append(max(lr.shape[-2:]))
        if sides[-1] > 150:
            raise torch.OutOfMemoryError("out of memory")
        return compute(lr)

    lr = torch.rand(1, 3, 200, 170)
    expected = inference(lr)
    monkeypatch.setattr(inference, "_compute", small_machine)
    assert (inference(lr) - expected).abs().max() < LEVEL
    assert sides[0] == 200
    assert inference.usual_tile_size == 128


@NEEDS_SPANDREL
def test_files_pictures_and_their_notes(tmp_path: Path, picture: Path) -> None:
    path, _ = saved("SPAN", tmp_path)
    outcome, *none = batch.upscale(picture, model=path, tile_size=64, device="cpu")
    assert none == []
    assert outcome.status == "done"
    assert outcome.size == (280, 180)
    assert outcome.model == "SPAN"
    assert any("tiles of 64 pixels" in note for note in outcome.notes)
    notes: list[str] = []
    escsr.Upscaler(path, device="cpu", tile_size=64).upscale_file(picture, on_note=notes.append)
    assert tuple(notes) == outcome.notes
    larger = batch.upscale(picture, tmp_path / "x3.png", model=path, scale=3, device="cpu")[0]
    assert larger.size == (420, 270)
    pixels = images.read(picture).pixels[:40, :40]
    plain, mean = (
        escsr.Upscaler(path, device="cpu", self_ensemble=wanted)(pixels) for wanted in (False, True)
    )
    assert plain.shape == mean.shape
    assert (plain != mean).any()


@NEEDS_SPANDREL
def test_measured_and_compared_with_ours(tmp_path: Path, picture: Path) -> None:
    path, network = saved("Compact", tmp_path)
    save_network(small_network("esc"), tmp_path / "ours.safetensors")
    result = escsr.evaluate(path, picture.parent, device="cpu")
    assert (result.scale, result.padded_to_window) == (2, False)
    assert np.isfinite(result.psnr_y)
    model = open_model(path)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count_parameters(model) == count
    assert 0.9 * count < count_macs(model, 10, 10) / 100 < 1.1 * count
    page = compare_picture(
        picture, tmp_path / "p.png", model=[str(path), str(tmp_path / "ours.safetensors")]
    )
    assert (page.scale, [column.name for column in page.columns]) == (2, ["input", "Compact", "ours"])


@NEEDS_SPANDREL
def test_costs_of_other_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = saved("Compact", tmp_path)
    monkeypatch.setattr("escsr.evaluation.comparison.measure_peak_memory", lambda job: None)  # a process
    row, *none = compare([path], size="24x16", rounds=1, device="cpu").models
    assert none == []
    assert (row.model, row.scale) == (str(path), 2)
    done = CliRunner().invoke(cli.app, ["models", "info", str(path)], catch_exceptions=False)
    assert "RealESRGAN Compact, by spandrel" in done.stdout
    assert "×2" in done.stdout


@NEEDS_SPANDREL
def test_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    real_spandrel()
    torch.save({"conv.weight": torch.zeros(3), "n": torch.zeros(1, dtype=torch.int64)}, tmp_path / "no.pth")
    with pytest.raises(CheckpointError, match="does not know it either"):
        escsr.Upscaler(tmp_path / "no.pth", device="cpu")
    path, network = saved("Compact", tmp_path)
    weights = network.state_dict()
    del weights["body.3.weight"]
    torch.save(weights, path)
    with pytest.raises(CheckpointError, match="spandrel cannot load it"):
        escsr.Upscaler(path, device="cpu")
    grey = type(network)(num_in_ch=1, num_out_ch=1, num_feat=8, num_conv=4, upscale=2)
    torch.save(grey.state_dict(), path)
    with pytest.raises(CheckpointError, match="1 channels to 1"):
        escsr.Upscaler(path, device="cpu")
    torch.save(network.state_dict(), path)
    with pytest.raises(ConfigError, match="only backend torch"):
        escsr.Upscaler(path, device="cpu", backend="onnx")
    with pytest.raises(ConfigError, match="tile_size must be"):
        escsr.Upscaler(path, device="cpu", tile_size=0)
    upscaler = escsr.Upscaler(path, device="cpu")
    with pytest.raises(ConfigError, match="not finite"):
        upscaler(torch.full((1, 3, 8, 8), torch.nan))
    with pytest.raises(CheckpointError, match="not weights of an ESC network"):
        escsr.load_network(path)


def test_without_spandrel_the_install_line_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)  # as if it were not installed
    torch.save({"body.0.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=f"spandrel.*{re.escape(install_line('spandrel'))}"):
        escsr.Upscaler(tmp_path / "other.pth", device="cpu")
