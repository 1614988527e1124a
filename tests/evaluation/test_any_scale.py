"""Protocols `lte` and `lte-div2k`: written out by hand, equal over chunks and tiles, known figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import escsr
from escsr import images
from escsr.data.resize import imresize
from escsr.errors import ConfigError, DataError
from escsr.evaluation.any_scale import lte_downscale
from escsr.evaluation.pairs import lr_side
from escsr.images import Picture
from escsr.networks import lte
from escsr.networks.upsamplers import OutputSpan
from samples import flowers, small_network


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    whole = flowers()
    images.write(Picture(whole[:83, 100:201]), tmp_path / "colour.png")
    images.write(Picture(whole[200:260, 300:371, 1:2]), tmp_path / "grey.png")
    return tmp_path


BICUBIC_LTE = {("Set5", 2): 33.68, ("Set5", 3): 30.41, ("Set5", 4): 28.43, ("Set5", 8): 24.40}
"""Y-PSNR: at ×2 to ×4 the `classic` figures of the literature up to the rounding that `lte` leaves out;
at ×8 the published 24.40."""


@pytest.mark.parametrize(("dataset", "scale"), BICUBIC_LTE)
def test_bicubic_figures(shared: Path, dataset: str, scale: int) -> None:
    result = escsr.evaluate("bicubic", shared / "data" / dataset / "HR", scale=scale, protocol="lte")
    assert result.psnr_y == pytest.approx(BICUBIC_LTE[dataset, scale], abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_published_lr_pictures_give_the_same_figures(shared: Path, scale: int) -> None:
    folder = shared / "data" / "Set14"
    made = escsr.evaluate("bicubic", folder / "HR", scale=scale, protocol="lte")
    lr = folder / "LR_bicubic" / f"X{scale}"
    given_lr = escsr.evaluate("bicubic", folder / "HR", scale=scale, lr=lr, protocol="lte")
    assert given_lr.scores == made.scores


@pytest.mark.parametrize("scale", [2, 3, 2.7, 6])
def test_both_protocols_step_by_step(pictures: Path, scale: float) -> None:
    """One picture by hand, with the coefficients and the order of the LTE papers' own script."""
    network = small_network("esc-lte")
    whole = images.read(pictures / "colour.png").pixels
    rows, columns = (int(side / scale) for side in whole.shape[:2])
    hr = whole[: round(rows * scale), : round(columns * scale)]
    lr = torch.from_numpy(lte_downscale(hr, scale)).permute(2, 0, 1)[None].float() / 255
    assert lr.shape[-2:] == (rows, columns)
    with torch.no_grad():
        sr = network(lr, size=hr.shape[:2])[0].clamp(0, 1).double()
    difference = sr - torch.from_numpy(hr).permute(2, 0, 1) / 255
    luma = torch.einsum("chw,c->hw", difference, torch.tensor([65.738, 129.057, 25.064]).double() / 256)
    for protocol, figure, shown, border in (
        ("lte", "psnr_y", luma, int(np.ceil(scale))),
        ("lte-div2k", "psnr_rgb", difference, int(np.ceil(scale)) + 6),
    ):
        inside = shown[..., border:-border, border:-border]
        expected = -10 * inside.square().mean().log10().item()
        result = escsr.evaluate(network, pictures, scale=scale, protocol=protocol)  # type: ignore[arg-type]
        assert result.scores[0].figures == {figure: pytest.approx(expected, abs=1e-4)}
        assert result.to_dict()[figure] == result.means[figure]
        assert not result.padded_to_window


def test_chunks_of_queries_do_not_change_a_figure(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = small_network("esc-lte")
    figures = []
    for chunk in (97, 1000, 30000, 10**9):
        monkeypatch.setattr(lte, "_QUERY_CHUNK", chunk)
        figures.append(escsr.evaluate(network, pictures, scale=4.6, protocol="lte").psnr_y)
    assert figures == pytest.approx([figures[0]] * 4, abs=1e-5)


def test_the_cell_is_held_above_four(pictures: Path) -> None:
    """At ×8 the network is asked as at ×4: another cell gives other pixels, so the figure tells."""
    network = small_network("esc-lte")
    assert lte.query_axis(OutputSpan(10, 80, 0, 80), torch.empty(0)).cell == pytest.approx(2 / 4)
    held = escsr.evaluate(network, pictures, scale=8, protocol="lte").psnr_y
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lte, "_CELL_SCALE_LIMIT", 8)
        assert escsr.evaluate(network, pictures, scale=8, protocol="lte").psnr_y != held


def test_fixed_models_and_lte_are_judged_alike(pictures: Path) -> None:
    """A fixed network runs on the LR picture as it is; its own scale only."""
    network = small_network("esc")
    hr = images.read(pictures / "colour.png").pixels[:82, :100]
    lr = torch.from_numpy(imresize(hr, 0.5)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        difference = network(lr)[0].clamp(0, 1).double() - torch.from_numpy(hr).permute(2, 0, 1) / 255
    expected = -10 * difference[:, 8:-8, 8:-8].square().mean().log10().item()
    result = escsr.evaluate(network, pictures, protocol="lte-div2k")
    assert result.scores[0].figures["psnr_rgb"] == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ConfigError, match=r"upscales by 2, not by 2\.5"):
        escsr.evaluate(network, pictures, scale=2.5, protocol="lte")


def test_downscale_is_matlabs_or_pillows() -> None:
    image = pytest.importorskip("PIL.Image")
    hr = flowers()[:60, :90]
    assert np.array_equal(lte_downscale(hr, 3), imresize(hr, 1 / 3))
    for scale in (2.5, 6):
        size = round(90 / scale), round(60 / scale)
        expected = np.asarray(image.fromarray(hr).resize(size, image.Resampling.BICUBIC))
        assert np.array_equal(lte_downscale(hr, scale), expected)
    assert lte_downscale(hr[..., :1], 6).shape == (10, 15, 1)


@given(st.integers(1, 5000), st.floats(1, 30))
def test_hr_cropped_to_its_lr_downscales_to_exactly_that(side: int, scale: float) -> None:
    lr = lr_side(side, scale)
    hr = round(lr * scale)
    assert hr <= side + 0.5
    assert side - hr < scale + 0.5
    assert round(hr / scale) == lr


def test_refusals(pictures: Path, tmp_path: Path) -> None:
    network = small_network("esc-lte")
    with pytest.raises(ConfigError, match="Which scale"):
        escsr.evaluate(network, pictures, protocol="lte")
    with pytest.raises(ConfigError, match=r"whole scales, not 2\.5; protocol lte is for any"):
        escsr.evaluate(network, pictures, scale=2.5)
    with pytest.raises(ConfigError, match=r"at least 1, not 0\.5"):
        escsr.evaluate(network, pictures, scale=0.5, protocol="lte")
    with pytest.raises(DataError, match="too small to be measured: at ×90"):
        escsr.evaluate(network, pictures, scale=90, protocol="lte")
    with pytest.raises(DataError, match="at ×30 sides of 73 pixels are needed"):
        escsr.evaluate("bicubic", pictures, scale=30, protocol="lte-div2k")
    with pytest.raises(ConfigError, match="does not measure ssim_y; it measures psnr_y"):
        _ = escsr.evaluate("bicubic", pictures, scale=2, protocol="lte").ssim_y
    lr = tmp_path / "lr"
    for name in ("colour", "grey"):
        images.write(Picture(np.zeros((31, 37, 3), np.uint8)), lr / f"{name}x2.7.png")
    with pytest.raises(DataError, match=r"colourx2\.7\.png.*does not fit"):
        escsr.evaluate("bicubic", pictures, scale=2.7, lr=lr, protocol="lte")
