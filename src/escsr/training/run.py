"""`train`: from a recipe's name and a folder of pictures to a trained model."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from escsr.checkpoints import find_model, read_checkpoint
from escsr.data.datasets import PatchPool
from escsr.devices import choose_device
from escsr.errors import ConfigError
from escsr.training.recipes import recipe as named_recipe
from escsr.training.trainer import Progress, Trainer, latest_checkpoint

__all__ = ["train"]


def train(
    recipe: str,
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    settings: Sequence[str] = (),
    validate: Mapping[str, str | os.PathLike[str]] | None = None,
    start: str | os.PathLike[str] | None = None,
    device: str = "auto",
    on_load: Callable[[int, int], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Trains a network; called again with the same output folder, it goes on where it stopped.

    Args:
        recipe: Name of a recipe.
        data: Folder of HR pictures.
        output: Folder of the run.
        settings: Changes to the recipe, "key=value".
        validate: Names and folders of HR pictures to measure on, protocol `classic`.
        start: Model to start from (bundled name or file), instead of the recipe's `start`.
        device: As for `Upscaler`.
        on_load: Called with (pictures read, pictures in all).
        on_progress: Called after every step.

    Returns:
        The last checkpoint, which is a model for `upscale`.

    Raises:
        EscError: Recipe, settings, data or a checkpoint are not as they should be.
    """
    config = named_recipe(recipe).with_settings(settings)
    scale = config.network.scale
    assert scale is not None
    chosen = choose_device(device)
    newest = latest_checkpoint(output)
    start = config.start if start is None else start
    beginning = read_checkpoint(find_model(start, scale=scale)) if start and newest is None else None
    pool = PatchPool.from_folder(data, scale=scale, patch_size=config.patch_size, on_progress=on_load)
    trainer = Trainer(config, pool, output, device=str(chosen), validation=validate, start=beginning)
    if newest is not None:
        trainer.resume(newest)
    trainer.train(on_progress)
    last = latest_checkpoint(output)
    if last is None:
        raise ConfigError(f"{output}: the checkpoint just written cannot be read.")
    return last
