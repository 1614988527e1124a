"""The learning rate as a pure function of the iteration."""

from __future__ import annotations

import math

from escsr.training.config import TrainingConfig

__all__ = ["learning_rate_at"]


def learning_rate_at(iteration: int, config: TrainingConfig) -> float:
    """The rate of a step.

    Linear warm-up, then either ×`decay` behind each milestone (the reference's trace: the step after
    milestone m, number m + 1, is the first with the lower rate) or half a cosine down to
    `final_ratio`.

    Args:
        iteration: Number of the step, from 1.
        config: The recipe.

    Returns:
        The learning rate.
    """
    peak = config.learning_rate
    if iteration < config.warmup:
        return peak * iteration / config.warmup
    if config.schedule == "cosine":
        span = max(1, config.iterations - config.warmup)
        done = min(1.0, (iteration - config.warmup) / span)
        ratio = config.final_ratio + (1 - config.final_ratio) * (1 + math.cos(math.pi * done)) / 2
        return peak * ratio
    held = peak if config.warmup == 0 else peak * (1 - 1 / config.warmup)
    passed = sum(iteration > milestone for milestone in config.milestones)
    return held * config.decay**passed
