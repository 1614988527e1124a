"""Recipes for little hardware: an hour or so on a few CPU cores, or on one GPU. Ours, not the paper's."""

from __future__ import annotations

from typing import Any

from escsr.networks import variant_config
from escsr.training import config
from escsr.training.config import TrainingConfig

__all__ = [
    "esc_fp_quick",
    "esc_light_x2_gpu_hour",
    "esc_light_x2_quick",
    "esc_light_x3_quick",
    "esc_light_x4_quick",
    "esc_lte_quick",
    "esc_quick",
    "finetune",
    "flat",
    "quick",
]

_CONTINUED: dict[str, Any] = {"start": "esc-light-x2", "learning_rate": 1.5e-3, "warmup": 200}
"""From a trained model: a lower peak rate, a longer warm-up of what is new."""


def esc_light_x2_quick() -> TrainingConfig:
    """ESC-light ×2, from random weights.

    Small patches of one attention window, Muon for the matrices, bfloat16 products where there are.
    Command: `escsr train --recipe esc-light-x2-quick --data PICTURES --output runs/esc-light-x2`.
    Hardware: three cores with avx512_bf16, 85 minutes (2.3 steps a second). Reached, Y-PSNR on Set5 /
    Set14 / B100: 37.63 / 33.33 / 31.93 dB; 36.4 / 32.3 after 8 minutes, 37.15 / 32.85 after 20
    (`models/weights/esc-light-x2.json`).
    """
    return quick("esc-light", 2, iterations=11_000)


def esc_light_x3_quick() -> TrainingConfig:
    """ESC-light ×3, starting from the bundled ESC-light ×2.

    Command: `escsr train --recipe esc-light-x3-quick --data PICTURES --output RUN`.
    Hardware: two cores with avx512_bf16, 54 minutes (1.7 steps a second). Reached, Y-PSNR on Set5 /
    Set14 / B100: 34.10 / 30.08 / 28.92 dB (`results/training/esc-light-x3.json`).
    """
    return quick("esc-light", 3, iterations=5500, **_CONTINUED)


def esc_light_x4_quick() -> TrainingConfig:
    """ESC-light ×4, starting from the bundled ESC-light ×2.

    Command: `escsr train --recipe esc-light-x4-quick --data PICTURES --output RUN`.
    Hardware: two cores with avx512_bf16, 66 minutes (1.8 steps a second). Reached, Y-PSNR on Set5 /
    Set14: 31.84 / 28.38 dB (`results/training/esc-light-x4.json`).
    """
    return quick("esc-light", 4, iterations=7000, **_CONTINUED)


def esc_quick(scale: int) -> TrainingConfig:
    """ESC, starting from the bundled ESC-light of the same scale.

    Batches of 8, a high rate over the whole run: what it loses at first it more than wins back.
    Command: `escsr train --recipe esc-x4-quick --data PICTURES --output RUN`.
    Hardware: two cores with avx512_bf16 (1.7 steps a second). Reached, Y-PSNR on Set5 / Set14 / B100: ×4
    31.92 / 28.41 / 27.42 dB in 64 minutes, ×3 34.15 / 30.14 / 28.95 in as many; in a second run of 87
    minutes, with `--start` from the first and `--set iterations=9000`, ×3 34.23 / 30.19 / 28.98 and ×2
    37.71 / 33.44 / 32.00 (`results/training/`). Where activations leave the range of float16, as those
    of ×3 did: on with `--set optimizer.weight_decay=0.5 --set optimizer.learning_rate=4e-4 --set
    iterations=1500`.
    """
    changes = {"start": f"esc-light-x{scale}", "learning_rate": 1.2e-3, "flat_patches": 0.03}
    return quick("esc", scale, iterations=6500, batch_size=8, **{**_CONTINUED, **changes})


def esc_fp_quick(scale: int) -> TrainingConfig:
    """ESC-FP; ×2 from random weights, ×3 and ×4 starting from the bundled ×2.

    Batches of 8: a step costs half as much, and there are twice as many.
    Command: `escsr train --recipe esc-fp-x2-quick --data PICTURES --output RUN`.
    Hardware: two cores with avx512_bf16 (1.6 steps a second). Reached, Y-PSNR on Set5 / Set14 / B100: ×2
    37.46 / 33.11 / 31.80 dB, ×3 33.70 / 29.86 / 28.76, ×4 31.46 / 28.10 / 27.22
    (`models/weights/esc-fp-x2.json` and its like).
    """
    if scale == 2:
        return quick("esc-fp", 2, iterations=8000, batch_size=8)
    changes = {"start": "esc-fp-x2", "flat_patches": 0.1}
    return quick("esc-fp", scale, iterations=1800, batch_size=8, **{**_CONTINUED, **changes})


def esc_lte_quick() -> TrainingConfig:
    """ESC+LTE for any scale, starting from the bundled ESC ×2.

    Command: `escsr train --recipe esc-lte-quick --data PICTURES --output RUN`.
    Hardware: two cores with avx512_bf16, 53 minutes (0.8 steps a second). Reached on Set5, protocol
    `lte`: 40.96, 37.65, 33.96, 31.75, 28.41 dB at ×1.5, ×2, ×3, ×4, ×6 (`models/weights/esc-lte.json`),
    from `esc-x2` as it was after its first run (37.63 dB on Set5).
    """
    changes = {"start": "esc-x2", "learning_rate": 1e-3, "queries": 768, "validation_scales": (2.0, 4.0)}
    return quick("esc-lte", None, iterations=2400, validate_every=600, **{**_CONTINUED, **changes})


def flat(variant: str, scale: int) -> TrainingConfig:
    """A bundled model, taught to keep areas of one colour even up to the border.

    Three patches in ten are of one colour; the rate is low, so that what was learned stays.
    Command: `escsr train --recipe esc-light-x3-flat --data PICTURES --output RUN`. Where it is not enough:
    again from the result with `--start` and `--set objective.flat_patches=0.5 --set
    optimizer.learning_rate=4e-4`.
    Hardware: two cores with avx512_bf16, twelve minutes for ESC-light (2.8 steps a second). Reached:
    greys within 0.65 of 255 levels at the border at ×3, 1.6 and, again, 0.97 at ×4, where 2.1 was
    before; Set5 / Set14 34.10 / 30.10 and 31.84 / 28.35 dB (`results/training/esc-light-x4-flat.json`).
    """
    changes = {"start": f"{variant}-x{scale}", "learning_rate": 2e-4, "warmup": 50, "flat_patches": 0.3}
    return quick(variant, scale, "flat", iterations=2000, batch_size=8, **changes)


def finetune(variant: str, scale: int) -> TrainingConfig:
    """A bundled model, trained further: on your pictures, or on smaller and rotated copies of its own.

    By PSNR, at a high rate over a long run, with weight decay, which keeps activations small. Better still
    is the mean of the weights at the start and the end, see `docs/training.md`.
    Command: `escsr train --recipe esc-light-x2-finetune --data PICTURES --output RUN`.
    Hardware: two cores with avx512_bf16, 35 minutes for ESC-light (2.9 steps a second), 65 for ESC (1.6).
    Reached, mean Y-PSNR of Set5, Set14 and B100 at ×2: ESC-light 34.328 → 34.360 dB, its mean with the
    start 34.368; ESC 34.418 → 34.436 and 34.442 with `--set iterations=4500 --set
    optimizer.learning_rate=9e-4` (`results/training/esc-x2-psnr.json`).
    """
    by_psnr = {"loss": "psnr", "clip_norm": 150.0, "flat_patches": 0.05}
    longer = {"learning_rate": 1e-3, "weight_decay": 0.05, "warmup": 50, "ema_decay": 0.998}
    changes = {"start": f"{variant}-x{scale}", **by_psnr, **longer}
    return quick(variant, scale, "finetune", iterations=6000, batch_size=8, **changes)


def esc_light_x2_gpu_hour() -> TrainingConfig:
    """ESC-light ×2, from random weights, in about an hour on one GPU.

    Patches of two windows, compiled blocks, bfloat16 products where there are.
    Command: `escsr train --recipe esc-light-x2-gpu-hour --data PICTURES --output RUN --storage cuda`.
    Hardware: one GPU with bfloat16 (compute capability 8.0 on); the time and what it reaches are not
    measured yet. Fewer or more `--set iterations=N` fit the schedule to the time there is.
    """
    larger = {"batch_size": 32, "patch_size": 64, "compile": True}
    return quick(
        "esc-light",
        2,
        "gpu-hour",
        iterations=60_000,
        validate_every=2000,
        warmup=500,
        ema_decay=0.999,
        **larger,
    )


def quick(
    variant: str, scale: int | None, ending: str = "quick", *, iterations: int, **changes: Any
) -> TrainingConfig:
    """Small patches of one attention window, Muon for the matrices, bfloat16 products where there are.

    How the values were found is in `docs/training.md`, with the figures.

    Args:
        variant: The network.
        scale: Per side; None for any.
        ending: Of the recipe's name.
        iterations: Steps in all.
        changes: Other values, by the names that `--set` takes.

    Returns:
        The recipe.
    """
    pixels = config.ArbitraryScaleSettings(queries=1024) if scale is None else config.PixelSettings()
    recipe = TrainingConfig(
        name=f"{variant}-{ending}" if scale is None else f"{variant}-x{scale}-{ending}",
        network=variant_config(variant, scale=scale),
        objective=pixels,
        iterations=iterations,
        batch_size=16,
        patch_size=32,
        optimizer=config.OptimizerSettings(
            type="muon", learning_rate=2e-3, betas=(0.9, 0.99), clip_norm=0.5
        ),
        schedule=config.ScheduleSettings(type="cosine", warmup=100, final_ratio=0.01),
        ema=config.EmaSettings(decay=0.997, ramp=True),
        precision="auto",
        validate_every=500,
    )
    return recipe.replace(changes)
