"""The ablations of the paper's Table 3, by the recipe of ESC ×2."""

from __future__ import annotations

from escsr.networks.ablations import ABLATIONS
from escsr.training.config import TrainingConfig
from escsr.training.recipes.classic import esc

__all__ = ["ablation"]


def ablation(name: str) -> TrainingConfig:
    """ESC ×2 on DIV2K with one thing changed.

    Command: `escsr train --recipe esc-x2-NAME --data DIV2K_train_HR_sub --output RUN`.
    Hardware: large GPUs for days. Expected on Set5 / Urban100 (paper): attention only 38.27 / 33.23,
    ConvAttn only 38.18 / 32.91, LK 9×9 38.33 / 33.42, LK 17×17 38.32 / 33.40, LK not shared 38.32 / 33.43
    and also without DK 38.32 / 33.37, windows of 16 38.24 / 33.05, of 24 38.33 / 33.28 dB (ESC 38.35 /
    33.46). Reached here: not run.
    """
    return esc(2).replace({"name": f"esc-x2-{name}", "network": ABLATIONS[name]})
