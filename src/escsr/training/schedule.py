"""The learning rate as a pure function of the iteration."""

from __future__ import annotations

import math

from escsr.training.config import TrainingConfig

__all__ = ["learning_rate_at"]

_LONG_WARMUP = 1000
"""Steps of warm-up from which the reference's quirk is kept: it costs a thousandth of the rate at most."""


def learning_rate_at(iteration: int, config: TrainingConfig, peak: float | None = None) -> float:
    """The rate of a step.

    Linear warm-up, then either ×`decay` behind each milestone (the reference's trace: the step after
    milestone m, number m + 1, is the first with the lower rate) or half a cosine down to
    `final_ratio`.

    Between warm-up and milestones the reference holds peak · (1 − 1 / warmup), a quirk of its scheduler:
    4.99975e-4 of 5e-4 at its 20,000 steps. It is kept for warm-ups of 1,000 steps and more. Behind
    shorter ones, where it would cost much (all, for a single step), the peak is held.

    Args:
        iteration: Number of the step, from 1.
        config: The recipe.
        peak: Highest rate; None for that of the recipe's network.

    Returns:
        The learning rate.
    """
    schedule = config.schedule
    peak = config.optimizer.learning_rate if peak is None else peak
    if iteration < schedule.warmup:
        return peak * iteration / schedule.warmup
    if schedule.type == "cosine":
        span = max(1, config.iterations - schedule.warmup)
        done = min(1.0, (iteration - schedule.warmup) / span)
        ratio = schedule.final_ratio + (1 - schedule.final_ratio) * (1 + math.cos(math.pi * done)) / 2
        return peak * ratio
    held = peak * (1 - 1 / schedule.warmup) if schedule.warmup >= _LONG_WARMUP else peak
    passed = sum(iteration > milestone for milestone in schedule.milestones)
    return held * schedule.decay**passed
