"""`train`: from a recipe's name and a folder of images to a trained model."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from escsr.data.pictures import Folders, find_training_images
from escsr.errors import ConfigError
from escsr.models.bundled import find_model
from escsr.models.checkpoints import Checkpoint, read_checkpoint
from escsr.runtime.devices import choose_device
from escsr.runtime.memory import out_of_memory_told
from escsr.training.config import TrainingConfig
from escsr.training.distributed import join_process_group
from escsr.training.hints import hints_for
from escsr.training.limits import check_batch
from escsr.training.objective_table import check_objective, sampler_for
from escsr.training.objectives import Objective
from escsr.training.recipes import recipe as named_recipe
from escsr.training.records import RunFolder, latest_checkpoint
from escsr.training.resumable import SavedTraining, read_training_checkpoint
from escsr.training.starting import NetworkFactory
from escsr.training.state import TrainingState
from escsr.training.trainer import Progress, Trainer
from escsr.training.validation import Validation

__all__ = ["train"]

_LOG = logging.getLogger(__name__)


def train(
    recipe: str,
    data: Folders,
    output: str | os.PathLike[str],
    *,
    settings: Sequence[str] = (),
    lr: Folders | None = None,
    validate: Mapping[str, str | os.PathLike[str]] | None = None,
    start: str | os.PathLike[str] | None = None,
    device: str = "auto",
    storage: str = "auto",
    tensorboard: bool = False,
    wandb: bool = False,
    network: NetworkFactory | None = None,
    objective: Callable[[Any, TrainingConfig], Objective] | None = None,
    stop: threading.Event | None = None,
    on_load: Callable[[int, int], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Trains a network; called again with the same output folder, it continues where it stopped.

    Started by `torchrun` or `srun` several times, the processes share every batch and the validation.

    Args:
        recipe: Name of a recipe, or a file (.json, .toml).
        data: Folder of HR images, or several.
        output: Folder of the run.
        settings: Changes to the recipe, "key=value".
        lr: Folder of LR images for each folder of HR; None to make them.
        validate: Names and folders of HR images to measure on, protocol `classic` (`lte` for networks
            of any scale).
        start: Model to start from (bundled name or file), instead of the recipe's `start`.
        device: As for `Upscaler`.
        storage: Where the images are kept, see `PatchSampler.from_folder`.
        tensorboard: Also write TensorBoard's files.
        wandb: Also log to Weights & Biases, which uploads figures and sample pictures.
        network: Makes a network of your own in place of the recipe's, see `NetworkFactory`; its
            checkpoints hold its state dict.
        objective: Makes what a step makes better, from sampler and recipe, in place of the recipe's: a
            subclass of `PixelObjective` with a loss of its own, or any `Objective`.
        stop: Once set, the step at hand is finished, a checkpoint written and the run left.
        on_load: Called with (images read, images in all).
        on_progress: Called after every step, in the first process.

    Returns:
        The last checkpoint, which is a model for `upscale`.

    Raises:
        DeviceError: There is no such device, or its memory runs out.
        EscError: Recipe, settings, data or a checkpoint are not as they should be, the output lies within
            a folder of pictures that are read, or the loss is not finite any more.

    Example:
        >>> train("esc-light-x2-quick", "photos", "runs/mine")  # doctest: +SKIP
        >>> def tiny(config):
        ...     r = config.network.scale
        ...     return nn.Sequential(nn.Conv2d(3, 3 * r * r, 5, padding=2), nn.PixelShuffle(r))
        >>> train("esc-light-x2-quick", "photos", "runs/tiny", network=tiny)  # doctest: +SKIP
    """
    _keep_apart(output, data, () if lr is None else lr, list((validate or {}).values()))
    config = named_recipe(recipe).with_settings(settings)
    if start is not None:
        config = config.replace({"start": os.fspath(start)})
    chosen = choose_device(device)
    gpus = range(torch.cuda.device_count()) if chosen.type == "cuda" else ()
    callers_generators = torch.random.fork_rng(gpus)  # every step seeds those of the process
    with callers_generators, join_process_group(chosen.type) as distributed:
        if chosen.type == "cuda" and distributed.world_size > 1:
            chosen = choose_device(f"cuda:{distributed.local_rank}")
        newest = latest_checkpoint(output)
        own_path = None if newest is None else newest.path
        path = distributed.broadcast(own_path)
        with distributed.patiently():  # what one of them refuses, all do
            if path != own_path:  # a shared disk may not show all of them the same
                newest = None if path is None else read_training_checkpoint(path)
            source = config.start if network is None else start
            model = find_model(source, scale=config.network.scale) if source and newest is None else None
            logs = {"tensorboard": tensorboard, "wandb": wandb} if distributed.is_first else {}
            # What takes little time comes first, so that mistakes are told before all pictures are read.
            folder, begun = RunFolder(output, **logs), None if model is None else read_checkpoint(model)
            check_batch(config, chosen, distributed.world_size, own_network=network is not None)
            if distributed.is_first:
                folder.check(config)
            if objective is None:
                check_objective(config)
            validation = Validation.checked(config, validate or {})
            if begun is not None or newest is not None or network is not None:
                _check_network(config, begun, newest, network, validation)
            told = on_load if distributed.is_first else None
            if distributed.is_first and newest is None:
                files = [each.path for each in find_training_images(data)] if validate else []
                for hint in hints_for(config, files, validate or {}):
                    _LOG.warning(hint)
            sampler = sampler_for(config, data, lr=lr, storage=storage, on_load=told)
        trainer = Trainer(
            config,
            sampler,
            folder,
            device=str(chosen),
            validation=validation,
            start=begun,
            objective=None if objective is None else objective(sampler, config),
            distributed=distributed,
            network=network,
        )
        if newest is not None:
            trainer.state.load(newest)
            del newest  # its tensors are in the state
        with out_of_memory_told("choose a smaller batch_size or patch_size, or a larger accumulation"):
            trainer.train(on_progress if distributed.is_first else None, stop=stop)
        return folder.checkpoint(trainer.state.iteration)


def _check_network(
    config: TrainingConfig,
    start: Checkpoint | None,
    newest: SavedTraining | None,
    network: NetworkFactory | None,
    validation: Validation,
) -> None:
    """Makes the network as the run will, to see whether it can be, fits weights, and can be measured."""
    state = TrainingState(config, torch.device("cpu"), start=start, network=network)
    if newest is not None:
        state.load_network(newest)
    if validation.folders:
        validation.opened(state.ema)


def _keep_apart(output: str | os.PathLike[str], *sources: Folders) -> None:
    """Refuses a run among its own pictures, which its samples would be taken for when it goes on."""
    for source in sources:
        for folder in [source] if isinstance(source, (str, os.PathLike)) else source:
            if Path(output).resolve().is_relative_to(Path(folder).resolve()):
                raise ConfigError(
                    f"{output} lies within {folder}, whose pictures the run reads, and its sample pictures "
                    f"would become some of them; choose a folder outside of it."
                )
