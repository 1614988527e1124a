"""What a step makes better: pictures at one scale, or single pixels at any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from escsr.data.arbitrary_scale_sampler import ArbitraryScaleSampler
from escsr.data.patch_sampler import PatchSampler, shard_of_batch
from escsr.errors import ConfigError
from escsr.networks import ESC
from escsr.training.config import TrainingConfig

__all__ = ["ArbitraryScaleObjective", "Batch", "Objective", "PixelObjective", "Sampler", "objective_for"]

Batch = dict[str, Tensor]
"""Tensors by name; "lr" is (B, 3, p, p) in [0, 1]."""

Sampler = PatchSampler | ArbitraryScaleSampler

_STREAM = 1
"""Third word of the random counter, which keeps these numbers apart from the samplers'."""


class Objective(Protocol):
    """Draws batches, and says how far a network is from them."""

    def draw(self, iteration: int, part: int = 0, parts: int = 1) -> Batch:
        """Part `part` of `parts` of the batch of a step: a pure function of its arguments."""

    def loss(self, network: ESC, batch: Batch) -> Tensor:
        """The mean over the batch's pixels, a differentiable scalar, float32."""


@dataclass(frozen=True)
class PixelObjective:
    """L1 between result and HR patch, (B, 3, rp, rp), both in [0, 1]."""

    sampler: PatchSampler
    config: TrainingConfig

    def draw(self, iteration: int, part: int = 0, parts: int = 1) -> Batch:
        """See `Objective`."""
        config = self.config
        lr, hr = self.sampler.batch(
            config.seed, iteration, config.batch_size, config.patch_size, shard=part, num_shards=parts
        )
        for index, colour in _flat_patches(config, iteration, part, parts):
            lr[index] = hr[index] = colour[:, None, None]
        return {"lr": lr, "hr": hr}

    def loss(self, network: ESC, batch: Batch) -> Tensor:
        """See `Objective`."""
        return F.l1_loss(network(batch["lr"]).float(), batch["hr"])


@dataclass(frozen=True)
class ArbitraryScaleObjective:
    """L1 in [−1, 1] at Q pixels of each sample, which has a scale of its own (LTE, CVPR 2022)."""

    sampler: ArbitraryScaleSampler
    config: TrainingConfig

    def draw(self, iteration: int, part: int = 0, parts: int = 1) -> Batch:
        """See `Objective`."""
        config = self.config
        drawn = self.sampler.batch(
            config.seed,
            iteration,
            config.batch_size,
            config.patch_size,
            queries=config.queries,
            shard=part,
            num_shards=parts,
        )
        batch = dict(vars(drawn))
        for index, colour in _flat_patches(config, iteration, part, parts):
            batch["lr"][index] = colour[:, None, None]
            batch["targets"][index] = colour[:, None]
        return batch

    def loss(self, network: ESC, batch: Batch) -> Tensor:
        """See `Objective`."""
        sizes = batch["sizes"][:, None].expand(-1, 2)
        sr = network.sample(batch["lr"], sizes, batch["rows"], batch["columns"])
        return 2 * F.l1_loss(sr.float(), batch["targets"])


def _flat_patches(
    config: TrainingConfig, iteration: int, part: int, parts: int
) -> Iterator[tuple[int, Tensor]]:
    """Which samples of a part of the batch are flat, and their colours, (3,) in [0, 1].

    A third each are grey, of any colour, and corners of the colour cube, which networks that know
    photographs only find hardest to keep flat at the border.
    """
    if not config.flat_patches:
        return
    share = shard_of_batch(config.batch_size, part, parts)
    for index in range(share.start, share.stop):
        key = np.array([config.seed, iteration], np.uint64)
        generator = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, _STREAM, index]))
        if generator.random() < config.flat_patches:
            colour, level, corner = generator.random(3), generator.random(), generator.integers(2, size=3)
            chosen = (np.full(3, level), colour, corner)[generator.integers(3)]
            yield index - share.start, torch.from_numpy(chosen).float()


def objective_for(config: TrainingConfig, sampler: Sampler) -> Objective:
    """The objective of a recipe.

    Args:
        config: The recipe.
        sampler: Where its patches come from.

    Returns:
        `ArbitraryScaleObjective` for networks of any scale, else `PixelObjective`.

    Raises:
        ConfigError: The sampler is of another kind or scale.
    """
    scale = config.network.scale
    if scale is None:
        if not isinstance(sampler, ArbitraryScaleSampler):
            raise ConfigError(
                "The recipe is for any scale; its pictures come from an ArbitraryScaleSampler."
            )
        return ArbitraryScaleObjective(sampler, config)
    if not isinstance(sampler, PatchSampler) or sampler.scale != scale:
        other = f"×{sampler.scale}" if isinstance(sampler, PatchSampler) else "any scale"
        raise ConfigError(f"The recipe is for ×{scale}, the pictures are prepared for {other}.")
    return PixelObjective(sampler, config)
