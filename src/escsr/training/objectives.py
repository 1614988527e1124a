"""What a step makes better: images at one scale, or single pixels at any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from escsr.data.arbitrary_scale_sampler import ArbitraryScaleSampler
from escsr.data.patch_sampler import PatchSampler, shard_of_batch
from escsr.errors import ConfigError
from escsr.training.config import PixelSettings, TrainingConfig
from escsr.training.losses import psnr_loss

if TYPE_CHECKING:
    from escsr.training.state import TrainingState

__all__ = [
    "ArbitraryScaleObjective",
    "Batch",
    "Objective",
    "PixelObjective",
    "check_shape",
    "flat_patches",
]

Batch = dict[str, Tensor]
"""Tensors by name; "lr" is (B, 3, p, p) in [0, 1]."""

_STREAM = 1
"""Third word of the random counter, which keeps these numbers apart from the samplers'."""


class Objective(Protocol):
    """Draws batches, and makes a step by them."""

    def prepare(self, state: TrainingState) -> None:  # noqa: ARG002
        """Adds what the objective trains beside the network, as a discriminator: by default nothing."""
        return

    def draw(self, iteration: int, shard: int = 0, num_shards: int = 1) -> Batch:
        """A shard of the batch of a step: a pure function of its arguments."""

    def step(self, state: TrainingState, micro_batches: Sequence[Batch]) -> Mapping[str, float]:
        """Updates the state's modules (`TrainingState.update`).

        Args:
            state: What is trained.
            micro_batches: This process's share of the batch, to be computed one after the other.

        Returns:
            Figures of the step by name, of the whole batch; "loss" is the one that is watched.
        """


@dataclass(frozen=True)
class PixelObjective(Objective):
    """Result against HR patch, (B, 3, rp, rp), both in [0, 1], by the recipe's loss or that of a subclass.

    Example:
        >>> class MeanSquare(PixelObjective):
        ...     def loss(self, sr, hr):
        ...         return F.mse_loss(sr, hr)
        >>> escsr.train("esc-light-x2-quick", "photos", "run", objective=MeanSquare)  # doctest: +SKIP

    Raises:
        ConfigError: The recipe, and so the sampler, is for another type of objective.
    """

    sampler: PatchSampler
    config: TrainingConfig

    def __post_init__(self) -> None:
        if not isinstance(self.sampler, PatchSampler):
            raise ConfigError(
                f"{type(self).__name__} is a PixelObjective, which is for recipes with objective.type "
                f"'pixel', not {self.config.objective.type!r}."
            )

    def loss(self, sr: Tensor, hr: Tensor) -> Tensor:
        """What is made small: a scalar from result and HR patch, (B, 3, rp, rp), float32."""
        settings = self.config.objective
        is_psnr = isinstance(settings, PixelSettings) and settings.loss == "psnr"
        return psnr_loss(sr, hr) if is_psnr else F.l1_loss(sr, hr)

    def draw(self, iteration: int, shard: int = 0, num_shards: int = 1) -> Batch:
        """See `Objective`."""
        config = self.config
        asked = (config.seed, iteration, config.batch_size, config.patch_size)
        lr, hr = self.sampler.batch(*asked, shard=shard, num_shards=num_shards)
        for index, colour in flat_patches(config, iteration, shard, num_shards):
            lr[index] = hr[index] = colour[:, None, None]
        return {"lr": lr, "hr": hr}

    def step(self, state: TrainingState, micro_batches: Sequence[Batch]) -> Mapping[str, float]:
        """See `Objective`."""

        def loss(batch: Batch) -> dict[str, Tensor]:
            sr = state.network(batch["lr"]).float()
            check_shape(state.network, batch["lr"], sr, batch["hr"])
            return {"loss": self.loss(sr, batch["hr"])}

        return state.update("network", loss, micro_batches)


@dataclass(frozen=True)
class ArbitraryScaleObjective(Objective):
    """L1 in [−1, 1] at Q pixels of each sample, which has a scale of its own (LTE, CVPR 2022)."""

    sampler: ArbitraryScaleSampler
    config: TrainingConfig
    queries: int

    def prepare(self, state: TrainingState) -> None:
        """See `Objective`."""
        if not hasattr(state.network, "sample"):
            raise ConfigError(
                f"{type(state.network).__name__} has no method `sample(lr, sizes, rows, columns)`, as "
                f"recipes for any scale need; choose one with a scale."
            )

    def draw(self, iteration: int, shard: int = 0, num_shards: int = 1) -> Batch:
        """See `Objective`."""
        config = self.config
        asked = (config.seed, iteration, config.batch_size, config.patch_size)
        drawn = self.sampler.batch(*asked, queries=self.queries, shard=shard, num_shards=num_shards)
        batch = dict(vars(drawn))
        for index, colour in flat_patches(config, iteration, shard, num_shards):
            batch["lr"][index] = colour[:, None, None]
            batch["targets"][index] = colour[:, None]
        return batch

    def step(self, state: TrainingState, micro_batches: Sequence[Batch]) -> Mapping[str, float]:
        """See `Objective`."""

        def loss(batch: Batch) -> dict[str, Tensor]:
            sizes = batch["sizes"][:, None].expand(-1, 2)
            sr = state.network.sample(batch["lr"], sizes, batch["rows"], batch["columns"]).float()
            check_shape(state.network, batch["lr"], sr, batch["targets"])
            return {"loss": 2 * F.l1_loss(sr, batch["targets"])}

        return state.update("network", loss, micro_batches)


def check_shape(network: nn.Module, lr: Tensor, sr: Tensor, target: Tensor) -> None:
    """Refuses a result that a loss would stretch to its target's shape, or fail at.

    Args:
        network: What made it, which the error names.
        lr: Its input.
        sr: Its result.
        target: What the result is compared with.

    Raises:
        ConfigError: The shapes of result and target differ.
    """
    if sr.shape != target.shape:
        name, given, made = type(network).__name__, tuple(lr.shape), tuple(sr.shape)
        raise ConfigError(f"{name} gives {made} for {given}, not {tuple(target.shape)}.")


def flat_patches(
    config: TrainingConfig, iteration: int, shard: int, num_shards: int
) -> Iterator[tuple[int, Tensor]]:
    """Which samples of a shard of a batch are flat, and their colours.

    A third each are grey, of any colour, and corners of the colour cube, which networks that know
    photographs only find hardest to keep flat at the border.

    Args:
        config: The recipe.
        iteration: Counter of the step.
        shard: Which of the shards of the batch.
        num_shards: How many there are.

    Yields:
        Index within the shard, and colour, (3,) in [0, 1].
    """
    share = shard_of_batch(config.batch_size, shard, num_shards)
    for index in range(share.start, share.stop) if config.objective.flat_patches else ():
        key = np.array([config.seed, iteration], np.uint64)
        generator = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, _STREAM, index]))
        if generator.random() < config.objective.flat_patches:
            colour, level, corner = generator.random(3), generator.random(), generator.integers(2, size=3)
            chosen = (np.full(3, level), colour, corner)[generator.integers(3)]
            yield index - share.start, torch.from_numpy(chosen).float()
