"""Strength: between the two forms of a model, by a blend of their weights."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import escsr
from escsr import images
from escsr.batch import upscale
from escsr.cli.picture_options import StrengthOption
from escsr.errors import CheckpointError, ConfigError
from escsr.models import bundled
from escsr.models.bundled import find_model
from escsr.models.checkpoints import load_network
from escsr.models.overview import model_overviews
from escsr.models.saving import save_network
from escsr.models.selection import DEFAULT_STRENGTH, choose_model, choose_strength, explain, gan_form
from escsr.networks import ESC
from escsr.upscaling.options import UpscaleOptions
from escsr.web.plan import plan_job
from samples import save_form, small_config

Pixels = NDArray[np.uint8]
FAMILY = "esc-real-light"


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Bundled models of real photographs: two forms at ×2, at ×4 the first only."""
    folder = tmp_path / "weights"
    for seed, name in enumerate((f"{FAMILY}-x2", f"{FAMILY}-gan-x2", f"{FAMILY}-x4")):
        save_form(folder / f"{name}.safetensors", int(name[-1]), seed=seed)
    others = {name: path for name, path in bundled._bundled().items() if not name.startswith(FAMILY)}
    there = others | {path.stem: path for path in folder.glob("*.safetensors")}
    monkeypatch.setattr(bundled, "_bundled", lambda: there)
    return folder


@pytest.fixture
def picture() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8)


def test_the_scale_chooses_among_the_bundled(weights: Path) -> None:
    chosen = {scale: choose_model("real", scale).stem[-2:] for scale in (None, 1, 1.5, 2, 2.5, 4, 8)}
    assert chosen == {None: "x2", 1: "x2", 1.5: "x2", 2: "x2", 2.5: "x4", 4: "x4", 8: "x4"}


def test_the_ends_are_the_two_forms(weights: Path, picture: Pixels) -> None:
    for strength, name in ((0, f"{FAMILY}-x2"), (1, f"{FAMILY}-gan-x2")):
        blend = escsr.Upscaler("real", strength=strength, device="cpu")
        alone = escsr.Upscaler(name, device="cpu")
        assert blend.keeps_colour
        assert np.array_equal(blend(picture), alone(picture))


def test_weights_are_between(weights: Path) -> None:
    first, second = (load_network(f"{FAMILY}{form}-x2").state_dict() for form in ("", "-gan"))
    blend = escsr.Upscaler("real", strength=0.3, device="cpu").network
    there = dict(blend.named_parameters())
    assert there
    for name, parameter in there.items():
        torch.testing.assert_close(parameter, 0.7 * first[name] + 0.3 * second[name])


def test_results_do_not_depend_on_tiles(weights: Path, picture: Pixels) -> None:
    results = [
        escsr.Upscaler("real", strength=0.5, tile_size=side, device="cpu")(picture.astype(np.float32) / 255)
        for side in (8, 64)
    ]
    assert np.abs(results[0] - results[1]).max() < 1e-5


def test_left_out_it_is_the_usual_where_there_are_two_forms(weights: Path, picture: Pixels) -> None:
    both = escsr.Upscaler("real", device="cpu")
    assert both.strength == DEFAULT_STRENGTH
    assert both(picture, scale=4).shape == (160, 208, 3), (
        "another model of the family, without a second form"
    )
    for model in (f"{FAMILY}-x2", f"{FAMILY}-gan-x2", FAMILY, find_model(f"{FAMILY}-x2")):
        assert escsr.Upscaler(model, device="cpu").strength == 0, "a model that is named is that model"
    assert escsr.Upscaler("real", scale=4, device="cpu").strength == 0
    assert f"strength {DEFAULT_STRENGTH:g}" in explain("real", 2)
    assert "strength" not in explain("real", 4)
    assert "strength 0.2" in explain("real", 2, 0.2)


def test_what_has_no_second_form_says_so(weights: Path, picture: Pixels) -> None:
    with pytest.raises(ConfigError, match=r"gan-x2 has none; leave strength out, or choose model real\.$"):
        escsr.Upscaler(f"{FAMILY}-gan-x2", strength=0.5)
    assert escsr.Upscaler("real", scale=4, strength=0, device="cpu").strength == 0
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match="from 0 to 1"):
            UpscaleOptions(strength=strength)
        with pytest.raises(ConfigError, match="from 0 to 1"):
            choose_strength("real", find_model("real"), strength)


def test_real_without_a_second_form_has_no_strength(
    weights: Path, picture: Pixels, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, side in (("a", 10), ("b", 12), ("c", 40)):
        images.write(images.Picture(picture[:side, :side]), tmp_path / "in" / f"{name}.png")
    outcomes = upscale(
        tmp_path / "in", model="real", strength=0.5, longest=40, device="cpu", skip_existing=True
    )
    assert [outcome.model for outcome in outcomes] == [f"{FAMILY}-x4", f"{FAMILY}-x4", f"{FAMILY}-x2"]
    noted = "Strength has no effect on esc-real-light-x4, which has no GAN form; it is 0 there."
    assert [record.getMessage() for record in caplog.records] == [noted]
    assert escsr.Upscaler("real", scale=4, strength=0.5, device="cpu").strength == 0
    assert "strength" not in explain("real", 4, 0.5)
    header = images.read_header(tmp_path / "in" / "a.png")
    options = UpscaleOptions(model="real", strength=0.5, scale=4)
    plan = plan_job(header, options, tmp_path, name="a.png", suffix=None, max_pixels=10**6)
    assert plan.weights.stem == f"{FAMILY}-x4"


def test_a_pair_of_ones_own(tmp_path: Path, picture: Pixels) -> None:
    for seed, name in enumerate(("mine-x2", "mine-gan-x2", "other-x2")):
        save_form(tmp_path / f"{name}.safetensors", 2, seed=seed)
    path = tmp_path / "mine-x2.safetensors"
    assert gan_form(path) == tmp_path / "mine-gan-x2.safetensors"
    assert gan_form(tmp_path / "other-x2.safetensors") is None
    between = escsr.Upscaler(path, strength=0.5, device="cpu")(picture)
    assert not np.array_equal(between, escsr.Upscaler(path, device="cpu")(picture))
    save_network(ESC(small_config("esc-fp")), tmp_path / "mine-gan-x2.safetensors")
    with pytest.raises(CheckpointError, match="different shapes"):
        escsr.Upscaler(path, strength=0.5, device="cpu")


def test_files_and_batches(weights: Path, picture: Pixels, tmp_path: Path) -> None:
    source, target = tmp_path / "a.png", tmp_path / "out" / "a.png"
    images.write(images.Picture(picture), source)

    def status(strength: float | None) -> str:
        (outcome,) = upscale(
            source, target, model="real", strength=strength, device="cpu", skip_existing=True
        )
        return outcome.status

    assert [status(None), status(None), status(DEFAULT_STRENGTH)] == ["done", "skipped", "skipped"]
    assert np.array_equal(images.read(target).pixels, escsr.Upscaler("real", device="cpu")(picture))
    assert [status(0.4), status(0.4)] == ["done", "skipped"]
    save_form(weights / f"{FAMILY}-gan-x2.safetensors", 2, seed=7)
    assert status(0.4) == "done", "the second form is another"
    one = escsr.upscale_file(source, tmp_path / "b.png", model="real", strength=0.4, device="cpu")
    assert np.array_equal(images.read(one).pixels, images.read(target).pixels)


def test_evaluation_measures_the_blend(weights: Path, picture: Pixels, tmp_path: Path) -> None:
    images.write(images.Picture(picture), tmp_path / "hr" / "a.png")
    figures = {
        strength: escsr.evaluate("real", tmp_path / "hr", scale=2, strength=strength).psnr_y
        for strength in (None, 0, DEFAULT_STRENGTH, 1)
    }
    assert figures[None] == figures[DEFAULT_STRENGTH]
    assert len(set(figures.values())) == 3


def test_the_second_form_is_listed(weights: Path) -> None:
    rows = {row.name: row for row in model_overviews()}
    first, second = rows[f"{FAMILY}-x2"], rows[f"{FAMILY}-gan-x2"]
    assert first.purpose != second.purpose
    assert first.gain_db is None
    assert second.gain_db is None


def test_the_help_names_the_usual_one() -> None:
    _, option = get_args(StrengthOption)
    assert f"If not given: {DEFAULT_STRENGTH:g}, for videos 0." in option.help
