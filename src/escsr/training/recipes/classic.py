"""The paper's recipes, with the values of its reference implementation; @paper is for its text's.

Sources: ESC, ICCV 2025, section 4 and supplementary; the reference configuration files; for ESC+LTE the
recipe of LTE (CVPR 2022), which the paper follows.
"""

from __future__ import annotations

from escsr.networks import variant_config
from escsr.training import config
from escsr.training.config import TrainingConfig

__all__ = ["SOURCES", "esc", "esc_dflip", "esc_fp", "esc_light", "esc_lte", "esc_rib", "esc_xl"]

_EPOCH = 500
"""Steps of one epoch of LTE's recipe: 800 pictures, 20 times each, in batches of 32."""

SOURCES = {
    "iterations": "paper text and reference configuration",
    "batch_size": "paper text and reference configuration",
    "patch_size": "paper text and reference configuration",
    "objective.resizer": "paper text: MATLAB's bicubic (DFLIP: Pillow's, by the reference)",
    "optimizer.type": "paper text and reference configuration",
    "optimizer.learning_rate": "paper text and reference configuration",
    "optimizer.betas": "reference configuration; the paper's text has (0.9, 0.999)",
    "optimizer.weight_decay": "reference configuration",
    "schedule.warmup": "reference configuration",
    "schedule.type": "paper text and reference configuration",
    "schedule.milestones": "paper text and reference configuration",
    "schedule.decay": "paper text and reference configuration",
    "optimizer.clip_norm": "reference configuration: none",
    "ema.decay": "reference configuration",
    "ema.ramp": "reference configuration: none",
    "precision": "reference configuration: float32 with TF32 convolutions",
    "validate_every": "reference configuration",
    "objective.queries": "LTE's recipe",
}
"""Where the values of the classic recipes are from; others are ours."""


def esc(scale: int) -> TrainingConfig:
    """ESC on DIV2K as the authors' code trains it; ×3 and ×4 start from ×2.

    Command: `escsr train --recipe esc-x2 --data DIV2K_train_HR_sub --output RUN`; for ×3 and ×4 with
    `--start RUN_X2/best.safetensors`.
    Hardware: large GPUs for days. Expected on Set5 (paper): 38.35, 34.84, 32.68 dB at ×2, ×3, ×4.
    Reached here: not run.
    """
    return _classic("esc", scale)


def esc_light(scale: int) -> TrainingConfig:
    """ESC-light on DIV2K as the authors' code trains it; ×3 and ×4 start from ×2.

    Command: `escsr train --recipe esc-light-x2 --data DIV2K_train_HR_sub --output RUN`; for ×3 and ×4
    with `--start RUN_X2/best.safetensors`.
    Hardware: large GPUs for days. Expected on Set5 (paper): 38.24, 34.61, 32.52 dB at ×2, ×3, ×4.
    Reached here: not run.
    """
    return _classic("esc-light", scale)


def esc_fp(scale: int) -> TrainingConfig:
    """ESC-FP on DIV2K as the authors' code trains it; ×3 and ×4 start from ×2.

    Command: `escsr train --recipe esc-fp-x2 --data DIV2K_train_HR_sub --output RUN`; for ×3 and ×4 with
    `--start RUN_X2/best.safetensors`.
    Hardware: large GPUs for days. Expected on Set5 at ×4 (paper): 32.56 dB. Reached here: not run.
    """
    return _classic("esc-fp", scale)


def esc_dflip(scale: int) -> TrainingConfig:
    """ESC on DIV2K, Flickr2K, LSDIR and DiverSeg-IP together, LR by Pillow's bicubic.

    Command: `escsr train --recipe esc-dflip-x2 --data DIV2K --data Flickr2K --data LSDIR --data
    DiverSeg-IP --output RUN`; for ×3 and ×4 with `--start RUN_X2/best.safetensors`.
    Hardware: large GPUs for days. Expected on Set5 (paper): 38.34, 34.85, 32.79 dB at ×2, ×3, ×4.
    Reached here: not run.

    Differs from the reference: LR is made of the whole picture, not of each crop.
    """
    return _classic("esc", scale).replace(
        {"name": f"esc-dflip-x{scale}", "objective.resizer": "pil-bicubic"}
    )


def esc_rib(scale: int) -> TrainingConfig:
    """ESC-RIB, the authors' successor of 2026, by the recipe of ESC on their four sets together.

    Command: `escsr train --recipe esc-rib-x2 --data DIV2K --data Flickr2K --data LSDIR --data
    DiverSeg-IP --output RUN`; for ×3 and ×4 with `--start RUN_X2/best.safetensors`.
    Hardware: large GPUs for days. Expected on Urban100 (authors' figures): 34.09 and 27.59 dB at ×2 and
    ×4. Reached here: not run.

    The authors published weights, not their recipe; that of their other networks on the same sets has
    ESC's values (arXiv 2603.06738 and its code).
    """
    return _classic("esc-rib", scale).replace({"objective.resizer": "pil-bicubic"})


def esc_xl(scale: int) -> TrainingConfig:
    """ESC-XL by the recipe of ESC; the authors published its weights, no recipe.

    Command: `escsr train --recipe esc-xl-x2 --data DF2K --output RUN`.
    Hardware: large GPUs for weeks. Reached here: not run.
    """
    return _classic("esc-xl", scale)


def esc_lte() -> TrainingConfig:
    """ESC+LTE for any scale on DIV2K, by LTE's recipe.

    Command: `escsr train --recipe esc-lte --data DIV2K_train_HR --output RUN`.
    Hardware: a large GPU for days. Expected on Set5 (paper): 38.29, 34.79, 32.72 dB at ×2, ×3, ×4.
    Reached here: not run.
    """
    return TrainingConfig(
        name="esc-lte",
        network=variant_config("esc-lte"),
        iterations=1000 * _EPOCH,
        batch_size=32,
        patch_size=64,
        objective=config.ArbitraryScaleSettings(),
        optimizer=config.OptimizerSettings(type="adam", learning_rate=2e-4, betas=(0.9, 0.999)),
        schedule=config.ScheduleSettings(
            milestones=tuple(epoch * _EPOCH for epoch in (500, 800, 900, 950))
        ),
        ema=config.EmaSettings(decay=0.0),
        precision="tf32",
    )


def _classic(variant: str, scale: int) -> TrainingConfig:
    return TrainingConfig(
        name=f"{variant}-x{scale}",
        network=variant_config(variant, scale=scale),
        iterations=500_000,
        batch_size=64,
        patch_size=64,
        objective=config.PixelSettings(),
        schedule=config.ScheduleSettings(
            warmup=20_000, milestones=(250_000, 400_000, 450_000, 475_000, 490_000)
        ),
        precision="tf32",
    )
