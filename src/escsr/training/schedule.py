"""The learning rate as a pure function of the iteration."""

from __future__ import annotations

import math

from escsr.training.config import TrainingConfig

__all__ = ["learning_rate_at"]


def learning_rate_at(iteration: int, config: TrainingConfig, peak: float | None = None) -> float:
    """The rate of a step.

    Linear warm-up, then either ×`decay` behind each milestone (the reference's trace: the step after
    milestone m, number m + 1, is the first with the lower rate) or half a cosine down to
    `final_ratio`.

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
    held = peak if schedule.warmup == 0 else peak * (1 - 1 / schedule.warmup)
    passed = sum(iteration > milestone for milestone in schedule.milestones)
    return held * schedule.decay**passed
