"""Which sampler and which objective a recipe asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from escsr.data.arbitrary_scale_sampler import ArbitraryScaleSampler
from escsr.data.degraded_sampler import DegradedSampler
from escsr.data.patch_sampler import PatchSampler
from escsr.data.pictures import Folders
from escsr.errors import ConfigError
from escsr.training.config import ArbitraryScaleSettings, PixelSettings, RealSettings, TrainingConfig
from escsr.training.objectives import ArbitraryScaleObjective, Objective, PixelObjective
from escsr.training.real_objective import RealObjective, check_real

__all__ = ["Sampler", "check_objective", "objective_for", "sampler_for"]

Sampler = PatchSampler | ArbitraryScaleSampler | DegradedSampler


def sampler_for(
    config: TrainingConfig,
    data: Folders,
    *,
    lr: Folders | None = None,
    storage: str = "auto",
    on_load: Callable[[int, int], None] | None = None,
) -> Sampler:
    """Reads the images, as a recipe wants them.

    Args:
        config: The recipe.
        data: Folder of HR images, or several.
        lr: Folder of LR images for each folder of HR; None to make them.
        storage: See `PatchSampler.from_folder`.
        on_load: Called with (images read, images in all).

    Returns:
        The sampler.

    Raises:
        ConfigError: The recipe makes its LR itself.
        DataError: No image is large enough, or one cannot be read.
    """
    objective, scale = config.objective, config.network.scale
    common: dict[str, Any] = {"patch_size": config.patch_size, "storage": storage, "on_progress": on_load}
    if isinstance(objective, PixelSettings):
        assert scale is not None
        return PatchSampler.from_folder(data, scale=scale, lr=lr, resizer=objective.resizer, **common)
    if lr is not None:
        raise ConfigError(f"An objective of type {objective.type!r} makes its LR itself; do not give LR.")
    if isinstance(objective, RealSettings):
        assert scale is not None
        chain: dict[str, Any] = {"degradation": objective.degradation, "margin": objective.margin}
        return DegradedSampler.from_folder(data, scale=scale, **chain, **common)
    return ArbitraryScaleSampler.from_folder(data, **common)


def check_objective(config: TrainingConfig) -> None:
    """Tells what `objective_for` would, as far as it shows before the pictures are read.

    Args:
        config: The recipe.

    Raises:
        ConfigError: Patches are of other sides than a loss takes.
        CheckpointError: The perceptual network cannot be read.
    """
    if isinstance(config.objective, RealSettings):
        assert config.network.scale is not None
        check_real(config.patch_size, config.network.scale, config.objective)


def objective_for(config: TrainingConfig, sampler: Sampler) -> Objective:
    """The objective of a recipe.

    Args:
        config: The recipe.
        sampler: Where its patches come from.

    Returns:
        As its `objective.type` says.

    Raises:
        ConfigError: The sampler is of another kind or scale.
    """
    objective, scale = config.objective, config.network.scale
    if isinstance(objective, ArbitraryScaleSettings):
        if not isinstance(sampler, ArbitraryScaleSampler):
            raise ConfigError("The recipe is for any scale; its images come from an ArbitraryScaleSampler.")
        return ArbitraryScaleObjective(sampler, config, objective.queries)
    if isinstance(sampler, ArbitraryScaleSampler) or sampler.scale != scale:
        other = "any scale" if isinstance(sampler, ArbitraryScaleSampler) else f"×{sampler.scale}"
        raise ConfigError(f"The recipe is for ×{scale}, the images are prepared for {other}.")
    if isinstance(objective, RealSettings):
        if not isinstance(sampler, DegradedSampler):
            raise ConfigError("The recipe is for damaged images; they come from a DegradedSampler.")
        return RealObjective(sampler, config)
    if not isinstance(sampler, PatchSampler):
        raise ConfigError("The recipe is for pairs of LR and HR; they come from a PatchSampler.")
    return PixelObjective(sampler, config)
