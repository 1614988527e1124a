"""What to know before hours of training: settings without effect, and likely mistakes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from escsr import images
from escsr.files import sha256_of
from escsr.training.config import RealSettings, TrainingConfig

__all__ = ["hints_for", "without_effect"]

_LONG_WARMUP = 1 / 3
"""Share of a run beyond which its warm-up is probably meant for a longer run."""

_NAMED = 3
"""Files that a hint names."""


def without_effect(config: TrainingConfig) -> list[str]:
    """Settings that change nothing as the others are.

    Args:
        config: The recipe.

    Returns:
        Keys; one that ends with a dot stands for all below it.
    """
    schedule, objective = config.schedule, config.objective
    idle = (
        ["schedule.final_ratio"] if schedule.type == "steps" else ["schedule.milestones", "schedule.decay"]
    )
    if schedule.type == "steps" and not schedule.milestones:
        idle += ["schedule.milestones", "schedule.decay"]
    if config.network.scale is not None:
        idle.append("validation_scales")
    if config.accumulation == 1:
        idle.append("accumulation")
    if isinstance(objective, RealSettings):
        if objective.perceptual.network is None:
            idle.append("objective.perceptual.")
        if not objective.adversarial.weight:
            idle.append("objective.adversarial.")
        if objective.perceptual.network is None and not objective.adversarial.weight:
            idle.append("objective.shift")
    return idle


def hints_for(
    config: TrainingConfig,
    data: Iterable[Path],
    validation: Mapping[str, str | os.PathLike[str]],
) -> list[str]:
    """Likely mistakes of a run.

    Args:
        config: The recipe.
        data: Training pictures.
        validation: Names and folders of validation pictures.

    Returns:
        A sentence for each.
    """
    found = []
    warmup, iterations = config.schedule.warmup, config.iterations
    if warmup > max(1, _LONG_WARMUP * iterations):  # of a single step nothing is left out
        found.append(
            f"The warm-up takes {warmup:,} of {iterations:,} steps; --set schedule.warmup="
            f"{iterations // 20} would suit a run of this length."
        )
    twice = _in_both(data, validation.values())
    if twice:
        named = ", ".join(path.name for path in twice[:_NAMED])
        more = f" and {len(twice) - _NAMED} more" if len(twice) > _NAMED else ""
        what = "1 validation picture is" if len(twice) == 1 else f"{len(twice)} validation pictures are"
        found.append(f"{what} among the training pictures too ({named}{more}): figures will look too good.")
    return found


def _in_both(data: Iterable[Path], validation: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Validation pictures of which a copy is among the others; only files of equal size are read."""
    by_size: defaultdict[int, list[Path]] = defaultdict(list)
    for path in data:
        by_size[path.stat().st_size].append(path)
    checked = [path for folder in validation for path in images.find_images(folder)]
    return [path for path in checked if _is_among(path, by_size[path.stat().st_size])]


def _is_among(path: Path, others: list[Path]) -> bool:
    if any(path.samefile(other) for other in others):
        return True
    return bool(others) and sha256_of(path) in map(sha256_of, others)
