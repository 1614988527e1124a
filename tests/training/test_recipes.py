from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from escsr import streaming
from escsr.errors import ConfigError
from escsr.evaluation.cost import count_macs, count_parameters
from escsr.models.checkpoints import load_network, save_network
from escsr.networks import ESC
from escsr.training.config import TrainingConfig
from escsr.training.recipes import RECIPES, about, recipe, source_of
from escsr.training.recipes.ablations import ABLATIONS
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
    assert {source_of(name, field.name) for field in dataclasses.fields(config)} - {"ours"}


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
    assert (changed.iterations, changed.learning_rate, changed.betas) == (70, 1.0, (0.8, 0.9))
    assert (changed.clip_norm, changed.schedule, changed.name) == (0.5, "cosine", "mine")
    assert (changed.network.num_blocks, changed.network.bias_rank) == (2, 4)
    assert changed.with_settings(["clip_norm=none"]).clip_norm is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("iteration=3", "Did you mean iterations"),
        ("num_blocks=3", "Did you mean network.num_blocks"),
        ("network=3", "Unknown setting"),
        ("iterations", "key=value"),
        ("iterations=many", "expected int"),
        ("iterations=2.5", "expected int"),
        ("iterations=true", "expected int"),
        ("iterations=0", "at least 1"),
        ("schedule=linear", "expected steps or cosine"),
        ("precision=float8", "expected float32 or tf32 or bfloat16 or float16"),
        ("network.dim=65", "not a multiple"),
        ("ema_decay=1", r"\[0, 1\)"),
    ],
)
def test_wrong_settings_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe("esc-light-x2").with_settings([text])


def test_unknown_recipe() -> None:
    with pytest.raises(ConfigError, match="Did you mean esc-light-x2"):
        recipe("esc-ligth-x2")


def test_the_papers_text() -> None:
    assert recipe("esc-x3@paper").betas == (0.9, 0.999)
    assert recipe("esc-x3").betas == (0.9, 0.9)
    assert source_of("esc-x3@paper", "betas") == "paper text"
    assert "reference" in source_of("esc-x3", "betas")
    with pytest.raises(ConfigError, match="not a recipe of the paper"):
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


def test_cosine() -> None:
    config = recipe("esc-light-x2-quick").with_settings(
        ["iterations=1100", "warmup=100", "final_ratio=0.1"]
    )
    peak = config.learning_rate
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


@pytest.mark.parametrize("name", ABLATIONS)
def test_ablations_are_those_of_table_3(name: str) -> None:
    config = recipe(f"esc-x2-{name}").network
    thousands, giga = TABLE_3[name]
    assert math.floor(count_parameters(config) / 1e3 + 0.5) == thousands
    assert round(count_macs(config, 360, 640) / 1e9, 1) == giga


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
