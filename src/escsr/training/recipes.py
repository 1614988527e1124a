"""Recipes by name: each function returns a whole configuration and tells what to expect of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from escsr.errors import ConfigError
from escsr.networks import NetworkConfig, variant_config
from escsr.training.config import TrainingConfig

__all__ = [
    "RECIPES",
    "esc_light_x2",
    "esc_light_x2_quick",
    "esc_light_x3_quick",
    "esc_light_x4_quick",
    "esc_x2_quick",
    "recipe",
]


def esc_light_x2() -> TrainingConfig:
    """ESC-light ×2 as the paper's reference trains it on DIV2K.

    Command: `escsr train --recipe esc-light-x2 --data DIV2K_train_HR --output runs/esc-light-x2`.
    Hardware: a large GPU for days. Expected: 38.24 dB on Set5 (paper). Reached here: not run.
    """
    return TrainingConfig(
        name="esc-light-x2",
        network=variant_config("esc-light", scale=2),
        iterations=500_000,
        batch_size=64,
        patch_size=64,
        warmup=20_000,
        milestones=(250_000, 400_000, 450_000, 475_000, 490_000),
    )


def esc_light_x2_quick() -> TrainingConfig:
    """ESC-light ×2 in an hour and a half on a few CPU cores; ours, not the paper's.

    Small patches of one attention window, Muon for the matrices, bfloat16 products.
    Command: `escsr train --recipe esc-light-x2-quick --data PICTURES --output runs/esc-light-x2`.
    Hardware: three cores with avx512_bf16, 85 minutes (2.3 steps a second). Reached, Y-PSNR on Set5 /
    Set14 / B100: 37.63 / 33.33 / 31.93 dB; 36.4 / 32.3 after 8 minutes, 37.15 / 32.85 after 20
    (`results/quality/esc-light-x2.json`).
    """
    return TrainingConfig(
        name="esc-light-x2-quick",
        network=variant_config("esc-light", scale=2),
        iterations=11_000,
        batch_size=16,
        patch_size=32,
        optimizer="muon",
        learning_rate=2e-3,
        betas=(0.9, 0.99),
        warmup=100,
        schedule="cosine",
        final_ratio=0.01,
        clip_norm=0.5,
        ema_decay=0.997,
        ema_ramp=True,
        precision="bfloat16",
        validate_every=500,
    )


def esc_light_x3_quick() -> TrainingConfig:
    """ESC-light ×3 in an hour on two CPU cores, started from ×2; ours, not the paper's.

    Command: `escsr train --recipe esc-light-x3-quick --data PICTURES --output RUN`.
    Hardware: two cores with avx512_bf16, 54 minutes (1.7 steps a second). Reached, Y-PSNR on Set5 /
    Set14 / B100: 34.10 / 30.08 / 28.92 dB (`results/quality/esc-light-x3.json`).
    """
    return _continued(
        "esc-light-x3-quick", variant_config("esc-light", scale=3), iterations=5500, learning_rate=1.5e-3
    )


def esc_light_x4_quick() -> TrainingConfig:
    """ESC-light ×4 in an hour on two CPU cores, started from ×2; ours, not the paper's.

    Command: `escsr train --recipe esc-light-x4-quick --data PICTURES --output RUN`.
    Hardware: two cores with avx512_bf16, 66 minutes (1.8 steps a second). Reached, Y-PSNR on Set5 /
    Set14: 31.84 / 28.38 dB (`results/quality/esc-light-x4.json`).
    """
    return _continued(
        "esc-light-x4-quick", variant_config("esc-light", scale=4), iterations=7000, learning_rate=1.5e-3
    )


def esc_x2_quick() -> TrainingConfig:
    """ESC ×2 in an hour on two CPU cores, grown from ESC-light ×2; ours, not the paper's.

    Command: `escsr train --recipe esc-x2-quick --data PICTURES --output RUN`.
    Hardware: two cores with avx512_bf16, an hour (1 step a second). Reached: see
    `results/quality/esc-x2.json`.
    """
    return _continued("esc-x2-quick", variant_config("esc", scale=2), iterations=3600, learning_rate=1e-3)


def _continued(
    name: str, network: NetworkConfig, *, iterations: int, learning_rate: float
) -> TrainingConfig:
    """From the trained ESC-light ×2: a lower peak rate, a longer warm-up of what is new."""
    return dataclasses.replace(
        esc_light_x2_quick(),
        name=name,
        network=network,
        iterations=iterations,
        learning_rate=learning_rate,
        warmup=200,
        start="esc-light-x2",
    )


RECIPES: dict[str, Callable[[], TrainingConfig]] = {
    "esc-light-x2": esc_light_x2,
    "esc-light-x2-quick": esc_light_x2_quick,
    "esc-light-x3-quick": esc_light_x3_quick,
    "esc-light-x4-quick": esc_light_x4_quick,
    "esc-x2-quick": esc_x2_quick,
}


def recipe(name: str) -> TrainingConfig:
    """Returns a recipe by name.

    Raises:
        ConfigError: There is no such recipe.
    """
    if name not in RECIPES:
        raise ConfigError(f"Unknown recipe {name!r}; known are {', '.join(RECIPES)}.")
    return RECIPES[name]()
