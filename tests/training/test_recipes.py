from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from escsr import streaming
from escsr.data.degradations import PRESETS
from escsr.errors import ConfigError
from escsr.evaluation.cost import count_macs, count_parameters
from escsr.models.checkpoints import load_network
from escsr.models.saving import save_network
from escsr.networks import ESC
from escsr.networks.ablations import ABLATIONS
from escsr.training.config import PixelSettings, RealSettings, TrainingConfig, flat
from escsr.training.recipes import RECIPES, about, recipe, source_of
from escsr.training.schedule import learning_rate_at
from samples import lively


@pytest.mark.parametrize("name", RECIPES)
def test_recipes(name: str) -> None:
    config = recipe(name)
    assert config.name == name
    assert TrainingConfig.from_dict(config.to_dict()) == config
    text = about(name)
    assert "Command: `escsr train --recipe" in text
    assert "Hardware:" in text
    assert {source_of(name, key) for key in flat(config.to_dict())} - {"ours"}


def test_settings() -> None:
    changed = recipe("esc-light-x2").with_settings(
        [
            "iterations=70",
            "learning_rate=1",
            "betas=[0.8, 0.9]",
            "clip_norm=0.5",
            "schedule=cosine",
            "network.num_blocks=2",
            "network.bias_rank=4",
            "name=mine",
        ]
    )
    optimizer = changed.optimizer
    assert (changed.iterations, optimizer.learning_rate, optimizer.betas) == (70, 1.0, (0.8, 0.9))
    assert (optimizer.clip_norm, changed.schedule.type, changed.name) == (0.5, "cosine", "mine")
    assert (changed.network.num_blocks, changed.network.bias_rank) == (2, 4)
    assert changed.with_settings(["clip_norm=none"]).optimizer.clip_norm is None


IMPOSSIBLE = [
    "clip_norm=-1",
    "clip_norm=0",
    "decay=-5",
    "learning_rate=Infinity",
    "learning_rate=0",
    "final_ratio=5",
    "validation_scales=[]",
    'network.ffn_ratio="2"',
    "network.norm_last=no",
    "network.bias_rank=true",
    "betas=[0.9, 1]",
    'milestones=["a"]',
    "weight_decay=-1",
    "seed=100000000000000000000",
    "seed=-1",
]


def test_settings_are_written_as_in_json_or_in_python() -> None:
    texts = ["learning_rate=.001", "compile=True", "betas=(.9, 0.99)", "start=None", "iterations=1_000"]
    changed = recipe("esc-x2-quick").with_settings(texts)
    assert (changed.optimizer.learning_rate, changed.compile, changed.start) == (1e-3, True, None)
    assert (changed.optimizer.betas, changed.iterations) == ((0.9, 0.99), 1000)
    assert changed.with_settings(["start=runs/1/best.safetensors"]).start == "runs/1/best.safetensors"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("betas=[0.9]", "optimizer.betas"),
        ("iteration=3", "Did you mean iterations"),
        ("num_blocks=3", "Did you mean network.num_blocks"),
        ("network=3", "network should be an object, not 3"),
        ("iterations", "key=value"),
        ("iterations=many", "iterations should be a valid integer, not 'many'"),
        ("iterations=2.5", "valid integer"),
        ("iterations=true", "valid integer"),
        ("iterations=0", "iterations should be greater than or equal to 1"),
        ("schedule=linear", "schedule.type should be 'steps' or 'cosine'"),
        ("precision=float8", "should be 'auto', 'float32', 'tf32', 'bfloat16' or 'float16'"),
        ("network.dim=65", "not a multiple"),
        ("ema_decay=1", "ema.decay should be less than 1"),
        *((text, "should") for text in IMPOSSIBLE),
    ],
)
def test_wrong_settings_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe("esc-light-x2").with_settings([text])


def test_recipes_written_flat_are_read() -> None:
    """As `recipe.json` was up to version 0.1, with the names of before that too."""
    config = recipe("esc-dflip-x3")
    values = flat(config.to_dict())
    old = {key.rpartition(".")[2]: value for key, value in values.items() if not key.startswith("network.")}
    old |= {
        "optimizer": "adamw",
        "schedule": "steps",
        "ema_decay": old["decay"],
        "queries": 2304,
        "keep": 3,
    }
    old |= {"ema_decay": 0.999, "ema_ramp": False, "decay": 0.5, "network": values_of_network(config)}
    for key in ("type", "ramp", "keep_checkpoints"):
        del old[key]
    assert TrainingConfig.from_dict(old) == config.replace({"keep_checkpoints": 3})


def values_of_network(config: TrainingConfig) -> dict[str, object]:
    return dict(config.network.to_dict())


def test_the_objective_goes_with_the_scale() -> None:
    config = recipe("esc-light-x2-quick")
    any_scale = ["network.scale=none", "network.upsampler=lte", "network.shortcut=bilinear"]
    changed = config.with_settings([*any_scale, "queries=200", "objective.flat_patches=0.1"])
    assert changed.to_dict()["objective"] == {
        "type": "arbitrary_scale",
        "queries": 200,
        "flat_patches": 0.1,
    }
    assert config.with_settings(["queries=200"]) == config, "does not apply, as before"
    with pytest.raises(ConfigError, match=r"Unknown setting 'objective\.queries'"):
        config.with_settings(["objective.queries=200"])
    with pytest.raises(ConfigError, match="does not go with"):
        config.with_settings(["objective.type=arbitrary_scale"])


def test_unknown_recipe() -> None:
    with pytest.raises(ConfigError, match="Did you mean esc-light-x2"):
        recipe("esc-ligth-x2")


def test_the_papers_text() -> None:
    assert recipe("esc-x3@paper").optimizer.betas == (0.9, 0.999)
    assert recipe("esc-x3").optimizer.betas == (0.9, 0.9)
    assert source_of("esc-x3@paper", "optimizer.betas") == "paper text"
    assert "reference" in source_of("esc-x3", "optimizer.betas")
    with pytest.raises(ConfigError, match="not one of the paper's recipes"):
        recipe("esc-x2-quick@paper")


def test_queries_are_pixels_that_there_are() -> None:
    with pytest.raises(ConfigError, match="at most patch_size"):
        recipe("esc-lte").with_settings(["patch_size=40"])
    assert recipe("esc-light-x2").with_settings(["patch_size=40"]).patch_size == 40


def test_the_references_learning_rate_trace() -> None:
    config = recipe("esc-light-x2")
    trace = {1: 2.5e-8, 10_000: 2.5e-4, 19_999: 4.99975e-4, 20_000: 4.99975e-4, 250_000: 4.99975e-4}
    trace |= {250_001: 2.499875e-4, 400_001: 1.2499375e-4, 500_000: 1.5624e-5}
    for iteration, rate in trace.items():
        assert learning_rate_at(iteration, config) == pytest.approx(rate, rel=2e-5), iteration


@pytest.mark.parametrize(
    ("warmup", "held"), [(0, 1), (1, 1), (2, 1), (10, 1), (999, 1), (1000, 0.999), (20_000, 0.99995)]
)
def test_a_rate_rises_to_its_peak_however_short_the_warm_up(warmup: int, held: float) -> None:
    """All but: behind long ones the reference's quirk costs a thousandth at most."""
    config = recipe("esc-light-x2").with_settings([f"schedule.warmup={warmup}"])
    peak = config.optimizer.learning_rate
    for iteration in (max(1, warmup), warmup + 5, 250_000):
        assert learning_rate_at(iteration, config) == peak * held
    rising = [learning_rate_at(iteration, config) for iteration in range(1, warmup)]
    assert rising == [peak * iteration / warmup for iteration in range(1, warmup)]


def test_cosine() -> None:
    config = recipe("esc-light-x2-quick").with_settings(
        ["iterations=1100", "warmup=100", "final_ratio=0.1"]
    )
    peak = config.optimizer.learning_rate
    assert learning_rate_at(50, config) == pytest.approx(peak / 2)
    assert learning_rate_at(100, config) == pytest.approx(peak)
    assert learning_rate_at(600, config) == pytest.approx(peak * 0.55)
    assert learning_rate_at(1100, config) == pytest.approx(peak * 0.1)


TABLE_3 = {
    "attention-only": (737, 456.6),
    "conv-attn-only": (1210, 962.4),
    "large-kernel-9": (924, 462.2),
    "large-kernel-17": (977, 768.9),
    "unshared": (1985, 592.0),
    "unshared-static": (1950, 591.1),
    "window-16": (1054, 603.6),
    "window-24": (995, 583.5),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ABLATIONS)
def test_ablations_are_those_of_table_3(name: str) -> None:
    config = recipe(f"esc-x2-{name}").network
    thousands, giga = TABLE_3[name]
    assert math.floor(count_parameters(config) / 1e3 + 0.5) == thousands
    assert round(count_macs(config, 360, 640) / 1e9, 1) == giga


@pytest.mark.slow
@pytest.mark.parametrize("name", ABLATIONS)
def test_ablations_are_whole_networks(name: str, tmp_path: Path) -> None:
    small = {"dim": 24, "attended_dim": 8, "num_heads": 3, "num_blocks": 2, "window_size": 8}
    kernel = min(ABLATIONS[name].large_kernel_size, 9)
    config = ABLATIONS[name].replace(**small, large_kernel_size=kernel)
    config = config.replace(num_conv_attn=min(config.num_conv_attn, 2))
    network = lively(ESC(config).double())
    lr = torch.rand(2, 3, 21, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole, tiled = network(lr), streaming.run(network, lr, tile_size=8)
    torch.testing.assert_close(tiled, whole, atol=1e-12, rtol=0)
    torch.autograd.backward([network(lr).square().mean()])
    assert all(weight.grad is not None and weight.grad.any() for weight in network.parameters())
    save_network(network.float(), tmp_path / "a.safetensors")
    loaded = load_network(tmp_path / "a.safetensors")
    assert loaded.config == config
    with torch.no_grad():
        assert torch.equal(loaded(lr.float()), network(lr.float()))


def test_names_of_the_user_are_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'base = "esc-real-light-gan-x4"\n'
        "objective.perceptual.layers = {conv3_4 = 1.0}\n"
        '[objective.degradation.parts.only.degradation]\nkind = "bicubic"\n'
    )
    objective = recipe(str(file)).objective
    assert isinstance(objective, RealSettings)
    assert objective.perceptual.layers == {"conv3_4": 1.0}
    assert list(objective.degradation.parts) == ["only"]
    assert objective.colour == 0.5, "what the file does not name stays"
    file.write_text('base = "esc-real-light-x4"\n[objective.degradation.parts.gentle]\nweight = 0.5\n')
    objective = recipe(str(file)).objective
    assert isinstance(objective, RealSettings)
    assert objective.degradation.parts["gentle"].weight == 0.5
    assert len(objective.degradation.parts) > 1
    file.write_text('base = "esc-real-light-x4"\nobjective.perceptual.layers = {conv3_4 = 1.0}\n')
    objective = recipe(str(file)).objective
    assert isinstance(objective, RealSettings)
    assert objective.perceptual.layers == {"conv3_4": 1.0}


def test_a_presets_name_and_single_numbers_in_any_order() -> None:
    name, number = "objective.degradation=gentle", "objective.degradation.parts.gentle.weight=0.25"
    for settings in ([name, number], [number, name]):
        objective = recipe("esc-real-light-x2").with_settings(settings).objective
        assert isinstance(objective, RealSettings)
        assert objective.degradation.parts["gentle"].weight == 0.25
        assert list(objective.degradation.parts) == list(PRESETS["gentle"].parts)
    whole = recipe("esc-real-light-x2").to_dict()
    whole["objective"]["degradation"] = "gentle"
    objective = TrainingConfig.from_dict(whole).objective
    assert isinstance(objective, RealSettings)
    assert objective.degradation == PRESETS["gentle"]


def test_another_objective_leaves_behind_what_it_lacks() -> None:
    config = recipe("esc-real-light-x2").with_settings(["objective.type=pixel"])
    assert config.objective == PixelSettings(flat_patches=0.03)
    with pytest.raises(ConfigError, match=r"Unknown setting 'objective\.ldl'"):
        recipe("esc-real-light-x2").with_settings(["objective.type=pixel", "objective.ldl=1"])


def test_where_psnr_does_not_tell_the_best() -> None:
    newest = {name for name in RECIPES if recipe(name).newest_is_best}
    assert {"esc-real-gan", "esc-real-light-gan-x4", "esc-real-light-features-x2"} <= newest
    assert not newest & {"esc-light-x2", "esc-real", "esc-real-light-x4", "esc-real-light-psnr-x2"}


def test_a_discriminator_has_no_muon() -> None:
    with pytest.raises(ConfigError, match="a discriminator's optimizer"):
        recipe("esc-real-light-gan-x4").with_settings(["objective.adversarial.optimizer.type=muon"])
