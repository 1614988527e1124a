"""What a step of ESC-Real makes better: damaged photographs, alone or against a discriminator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from escsr.data.degraded_sampler import DegradedSampler
from escsr.errors import ConfigError
from escsr.evaluation.perceptual import FeatureNetwork, load_feature_network
from escsr.networks.discriminator import UNetDiscriminator
from escsr.training import losses
from escsr.training.config import RealSettings, TrainingConfig
from escsr.training.objectives import Batch, Objective, flat_patches

if TYPE_CHECKING:
    from escsr.training.state import TrainingState

__all__ = ["RealObjective"]

_DISCRIMINATOR = "discriminator"
_LATTICE = 8
"""HR sides must be multiples of it for the discriminator, which halves them three times."""

_STRIDE = 37
"""From one step's offset to the next; odd, so that all of them come."""


class RealObjective(Objective):
    """A weighted sum of losses of the network and, where they ask for it, a step of a discriminator.

    L1, perceptual and LDL compare with the target, which the degradation may have sharpened; discriminator
    and colours see HR as it is (Real-ESRGAN, ICCVW 2021; ESC, supplement 6.3). The discriminator learns
    from the results of the same step, made before the network's update.

    Args:
        sampler: Where patches come from.
        config: The recipe, its objective of type "real".

    Raises:
        ConfigError: Patches are of other sides than the discriminator takes.
        CheckpointError: The perceptual network cannot be read.
    """

    def __init__(self, sampler: DegradedSampler, config: TrainingConfig) -> None:
        assert isinstance(config.objective, RealSettings)
        self.sampler, self.config, self.settings = sampler, config, config.objective
        _check_patches(config.patch_size, sampler.scale, self.settings)
        path = self.settings.perceptual.network
        self._features = None if path is None else load_feature_network(path).requires_grad_(False)

    def prepare(self, state: TrainingState) -> None:
        """See `Objective`."""
        if self._features is not None:
            self._features.to(state.device)
            self._features(torch.zeros(1, 3, 64, 64, device=state.device), self.settings.perceptual.layers)
        adversarial = self.settings.adversarial
        if adversarial.weight:
            state.add(_DISCRIMINATOR, UNetDiscriminator(adversarial.features), adversarial.optimizer)

    def draw(self, iteration: int, shard: int = 0, num_shards: int = 1) -> Batch:
        """See `Objective`; "hr" is HR as it is, "target" is there where it differs."""
        config = self.config
        asked = (config.seed, iteration, config.batch_size, config.patch_size)
        drawn = self.sampler.batch(*asked, shard=shard, num_shards=num_shards)
        batch = {"lr": drawn.lr, "hr": drawn.hr}
        if self.sampler.degradation.sharpen_target:
            batch["target"] = drawn.target
        for index, colour in flat_patches(config, iteration, shard, num_shards):
            for tensor in batch.values():
                tensor[index] = colour[:, None, None]
        return batch

    def step(self, state: TrainingState, micro_batches: Sequence[Batch]) -> Mapping[str, float]:
        """See `Objective`; each loss by its name, with its weight."""
        results: list[Tensor] = []

        def loss(batch: Batch) -> dict[str, Tensor]:
            sr = state.network(batch["lr"]).float()
            results.append(sr.detach())
            terms = dict(self._terms(state, sr, batch))
            return {"loss": torch.stack(list(terms.values())).sum(), **terms}

        figures = state.update("network", loss, micro_batches)
        if _DISCRIMINATOR not in state.modules:
            return figures
        pairs = [
            {"real": batch["hr"], "fake": sr} for batch, sr in zip(micro_batches, results, strict=True)
        ]
        judged = state.update(_DISCRIMINATOR, lambda pair: self._judge(state, pair), pairs)
        return {**figures, **{f"discriminator_{name}": value for name, value in judged.items()}}

    def _terms(self, state: TrainingState, sr: Tensor, batch: Batch) -> Iterator[tuple[str, Tensor]]:
        """Losses of the network by name, with their weights."""
        settings, target = self.settings, batch.get("target", batch["hr"])
        yield "l1", settings.l1 * F.l1_loss(sr, target)
        if self._features is not None and settings.perceptual.weight:
            seen = (self._shifted(image, state.iteration) for image in (sr, target))
            yield "perceptual", settings.perceptual.weight * self._perceptual(self._features, *seen)
        if settings.adversarial.weight:
            discriminator = state.modules[_DISCRIMINATOR]
            with _frozen(discriminator):
                logits = discriminator(self._judged(sr, state.iteration))
            wanted = losses.generator_loss(logits, settings.adversarial.type)
            yield "adversarial", settings.adversarial.weight * wanted
        if settings.ldl:
            with torch.no_grad():
                averaged = state.ema(batch["lr"]).float()
            weights = losses.artefact_weights(sr, averaged, target)
            yield "ldl", settings.ldl * F.l1_loss(weights * sr, weights * target)
        if settings.colour:
            yield "colour", settings.colour * losses.colour_loss(sr, batch["hr"], self.sampler.scale)
        if settings.grid:
            yield "grid", settings.grid * losses.grid_loss(sr, batch["hr"], self.sampler.scale)

    def _perceptual(self, network: FeatureNetwork, sr: Tensor, target: Tensor) -> Tensor:
        layers = self.settings.perceptual.layers or network.usual_layers
        with torch.no_grad():
            wanted = network(target, layers)
        return losses.perceptual_loss(network(sr, layers), wanted, layers)

    def _judged(self, images: Tensor, iteration: int) -> Tensor:
        """What the discriminator sees of images."""
        if self.settings.adversarial.high_frequencies:
            images = losses.high_frequencies(images, self.sampler.scale)
        return self._shifted(images, iteration)

    def _shifted(self, images: Tensor, iteration: int) -> Tensor:
        """Without 8 rows and columns of the border, step by step at each of the 64 offsets."""
        if not self.settings.shift:
            return images
        top, left = divmod(iteration * _STRIDE % _LATTICE**2, _LATTICE)
        rows, columns = (side - _LATTICE for side in images.shape[-2:])
        return images[..., top : top + rows, left : left + columns]

    def _judge(self, state: TrainingState, pair: Batch) -> dict[str, Tensor]:
        both = torch.cat((pair["real"], pair["fake"]))
        logits = state.modules[_DISCRIMINATOR](self._judged(both, state.iteration))
        real, fake = logits.float().chunk(2)
        loss = losses.discriminator_loss(real, fake, self.settings.adversarial.type)
        return {"loss": loss, "real": real.mean(), "fake": fake.mean()}


def _check_patches(patch_size: int, scale: int, settings: RealSettings) -> None:
    """Refuses patches of sides that a loss cannot take."""
    side = patch_size * scale
    if settings.adversarial.weight and side % _LATTICE:
        raise ConfigError(
            f"A discriminator takes HR patches with sides that are multiples of {_LATTICE}, not {side}; "
            "choose another patch_size."
        )
    if settings.shift and side < 4 * _LATTICE:
        raise ConfigError(
            f"objective.shift takes {_LATTICE} pixels off HR patches, too many of {side}; choose a larger "
            "patch_size."
        )
    if settings.grid and patch_size < losses.NEIGHBOURS:
        raise ConfigError(
            f"objective.grid takes patches of at least {losses.NEIGHBOURS} LR pixels, not {patch_size}."
        )


@contextmanager
def _frozen(module: torch.nn.Module) -> Iterator[None]:
    """The module's weights get no gradients from what is computed within."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)
