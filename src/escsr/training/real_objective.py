"""What a step of ESC-Real makes better: damaged photographs, alone or against a discriminator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from escsr.data.degraded_sampler import DegradedSampler
from escsr.errors import ConfigError
from escsr.evaluation.perceptual import load_feature_network
from escsr.networks.discriminator import LEAST_SIDE, FeatureDiscriminator, UNetDiscriminator
from escsr.training import losses
from escsr.training.config import RealSettings, TrainingConfig
from escsr.training.objectives import Batch, Objective, check_shape, flat_patches

if TYPE_CHECKING:
    from escsr.training.state import TrainingState

__all__ = ["RealObjective", "check_real"]

_DISCRIMINATOR = "discriminator"
_IMAGE = "image"
"""Key of what a U-Net sees, beside the names of layers."""

_LATTICE = 8
"""HR sides must be multiples of it for the U-Net, which halves them three times."""

_STRIDE = 37
"""From one step's offset to the next; odd, so that all of them come."""


class RealObjective(Objective):
    """A weighted sum of losses of the network and, where they ask for it, a step of a discriminator.

    L1, PSNR, perceptual and LDL compare with the target, which the degradation may have sharpened;
    discriminator and colours see HR as it is (Real-ESRGAN, ICCVW 2021; ESC, supplement 6.3). The
    discriminator learns from the results of the same step, made before the network's update.

    Args:
        sampler: Where patches come from.
        config: The recipe, its objective of type "real".

    Raises:
        ConfigError: Patches are of other sides than a loss takes, or there is no network whose features a
            discriminator could see.
        CheckpointError: The perceptual network cannot be read.
    """

    def __init__(self, sampler: DegradedSampler, config: TrainingConfig) -> None:
        assert isinstance(config.objective, RealSettings)
        self.sampler, self.config, self.settings = sampler, config, config.objective
        _check(config.patch_size, sampler.scale, self.settings)
        perceptual = self.settings.perceptual
        self._features, self._layers = None, dict(perceptual.layers or {})
        if perceptual.network is not None:
            self._features = load_feature_network(perceptual.network).requires_grad_(False)
            self._layers = self._layers or self._features.usual_layers

    def prepare(self, state: TrainingState) -> None:
        """See `Objective`."""
        seen: _Seen = {}
        if self._features is not None:
            side = self.config.patch_size * self.sampler.scale
            patch = torch.zeros(1, 3, side, side, device=state.device)
            seen = self._features.to(state.device)(self._shifted(patch, 0), self._layers)
        adversarial = self.settings.adversarial
        if adversarial.weight:
            discriminator = (
                UNetDiscriminator(adversarial.features)
                if adversarial.discriminator == "unet"
                else FeatureDiscriminator(_channels(seen), adversarial.features)
            )
            state.add(_DISCRIMINATOR, discriminator, adversarial.optimizer)

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
        pairs: list[_Pair] = []

        def loss(batch: Batch) -> dict[str, Tensor]:
            sr = state.network(batch["lr"]).float()
            check_shape(state.network, batch["lr"], sr, batch["hr"])
            pair = self._pair(sr, batch, state.iteration)
            pairs.append(pair.only(self._judged))
            terms = dict(self._terms(state, sr, batch, pair))
            return {"loss": torch.stack(list(terms.values())).sum(), **terms}

        self._let_norms_follow(state)
        figures = state.update("network", loss, micro_batches)
        if _DISCRIMINATOR not in state.modules:
            return figures
        for _ in range(self.settings.adversarial.steps):
            self._let_norms_follow(state)
            judged = state.update(_DISCRIMINATOR, lambda pair: self._judge(state, pair), pairs)
        return {**figures, **{f"discriminator_{name}": value for name, value in judged.items()}}

    def _let_norms_follow(self, state: TrainingState) -> None:
        """Spectral norms make one power iteration an update: in its first pass, however many there are."""
        if _DISCRIMINATOR in state.modules:
            state.modules[_DISCRIMINATOR].train()

    def _terms(
        self, state: TrainingState, sr: Tensor, batch: Batch, pair: _Pair
    ) -> Iterator[tuple[str, Tensor]]:
        """Losses of the network by name, with their weights."""
        settings, target = self.settings, batch.get("target", batch["hr"])
        if settings.l1:
            yield "l1", settings.l1 * F.l1_loss(sr, target)
        if settings.psnr:
            yield "psnr", settings.psnr * losses.psnr_loss(sr, target)
        if self._features is not None and settings.perceptual.weight:
            wanted = self._seen(target, state.iteration) if "target" in batch else pair.real
            loss = losses.perceptual_loss(settings.perceptual.type, pair.fake, wanted, self._layers)
            yield "perceptual", settings.perceptual.weight * loss
        if settings.adversarial.weight:
            compared = pair if settings.adversarial.type == "relativistic" else pair[1:]
            with _frozen(state.modules[_DISCRIMINATOR]):
                judged = self._logits(state, *compared)
            each = [losses.generator_loss(settings.adversarial.type, *logits) for logits in judged]
            yield "adversarial", settings.adversarial.weight * torch.stack(each).mean()
        if settings.ldl:
            with torch.no_grad():
                averaged = state.ema(batch["lr"]).float()
            weights = losses.artefact_weights(sr, averaged, target)
            yield "ldl", settings.ldl * F.l1_loss(weights * sr, weights * target)
        if settings.colour:
            yield "colour", settings.colour * losses.colour_loss(sr, batch["hr"], self.sampler.scale)
        if settings.grid:
            yield "grid", settings.grid * losses.grid_loss(sr, batch["hr"], self.sampler.scale)

    def _pair(self, sr: Tensor, batch: Batch, iteration: int) -> _Pair:
        """What discriminator and perceptual loss see; the latter not of HR where it has another target."""
        unneeded = "target" in batch and self.settings.adversarial.discriminator == "unet"
        real = self._seen(batch["hr"], iteration, features=not unneeded)
        return _Pair(real, self._seen(sr, iteration))

    def _seen(self, images: Tensor, iteration: int, *, features: bool = True) -> _Seen:
        """What is seen of images: features by layer, and an image for the U-Net."""
        adversarial, seen = self.settings.adversarial, {}
        if features and self._features is not None:
            seen = self._features(self._shifted(images, iteration), self._layers)
        if adversarial.weight and adversarial.discriminator == "unet":
            seen[_IMAGE] = self._shifted(images, iteration)
        return seen

    def _shifted(self, images: Tensor, iteration: int) -> Tensor:
        """Without 8 rows and columns of the border, step by step at each of the 64 offsets."""
        if not self.settings.shift:
            return images
        top, left = divmod(iteration * _STRIDE % _LATTICE**2, _LATTICE)
        rows, columns = (side - _LATTICE for side in images.shape[-2:])
        return images[..., top : top + rows, left : left + columns]

    def _judge(self, state: TrainingState, pair: _Pair) -> dict[str, Tensor]:
        """Loss of the discriminator, and its mean logits."""
        judged = self._logits(state, *pair)
        each = [losses.discriminator_loss(self.settings.adversarial.type, *logits) for logits in judged]
        real, fake = [
            torch.stack([part.mean() for part in parts]).mean() for parts in zip(*judged, strict=True)
        ]
        return {"loss": torch.stack(each).mean(), "real": real, "fake": fake}

    def _logits(self, state: TrainingState, *seen: _Seen) -> list[tuple[Tensor, ...]]:
        """Logits of each of what is seen, by each head of the discriminator; one pass for all."""
        discriminator = state.modules[_DISCRIMINATOR]
        together = {name: torch.cat([each[name] for each in seen]) for name in self._judged}
        unet = isinstance(discriminator, UNetDiscriminator)
        judged = [discriminator(together[_IMAGE])] if unet else discriminator(together)
        discriminator.eval()  # the next micro-batch sees the same weights, so let it see the same norms
        return [logits.float().chunk(len(seen)) for logits in judged]

    @property
    def _judged(self) -> list[str]:
        """Names of what the discriminator looks at, of all that is seen."""
        if not self.settings.adversarial.weight:
            return []
        return [_IMAGE] if self.settings.adversarial.discriminator == "unet" else list(self._layers)


_Seen = dict[str, Tensor]
"""Features by layer, and images for a U-Net."""


class _Pair(NamedTuple):
    """What is seen of HR and of the results."""

    real: _Seen
    fake: _Seen

    def only(self, names: Sequence[str]) -> _Pair:
        """Some of it, without gradients."""
        return _Pair(*({name: seen[name].detach() for name in names} for seen in self))


def check_real(patch_size: int, scale: int, settings: RealSettings) -> None:
    """Refuses what `RealObjective` would, before there is a sampler.

    Args:
        patch_size: LR patch side.
        scale: Of the recipe.
        settings: Of the objective.

    Raises:
        ConfigError: See `RealObjective`.
        CheckpointError: The perceptual network cannot be read.
    """
    _check(patch_size, scale, settings)
    if settings.perceptual.network is not None:
        load_feature_network(settings.perceptual.network)


def _check(patch_size: int, scale: int, settings: RealSettings) -> None:
    """Refuses patches of sides that a loss cannot take, and a discriminator that would see nothing."""
    side, adversarial = patch_size * scale, settings.adversarial
    perceptual = settings.perceptual.network and settings.perceptual.weight
    weights = (settings.l1, settings.psnr, perceptual, adversarial.weight, settings.ldl, settings.colour)
    if not any((*weights, settings.grid)):
        raise ConfigError("A recipe needs the weight of a loss above 0, such as objective.l1.")
    if adversarial.weight and adversarial.discriminator == "features" and not settings.perceptual.network:
        raise ConfigError(
            "objective.adversarial.discriminator=features sees images by the perceptual network, and there "
            "is none: set objective.perceptual.network to its file, or the discriminator to unet."
        )
    if adversarial.weight and adversarial.discriminator == "unet" and side % _LATTICE:
        raise ConfigError(
            f"A U-Net takes HR patches with sides that are multiples of {_LATTICE}, not {side}; "
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


def _channels(seen: _Seen) -> dict[str, int]:
    """Channels of each layer that a discriminator is to judge; refuses layers that are too small for it."""
    for name, features in seen.items():
        if (side := min(features.shape[-2:])) < LEAST_SIDE:
            raise ConfigError(
                f"A discriminator of features takes {LEAST_SIDE} pixels or more a side, and {name} has "
                f"{side}; choose a larger patch_size, or take it out of objective.perceptual.layers."
            )
    return {name: features.shape[1] for name, features in seen.items()}


@contextmanager
def _frozen(module: torch.nn.Module) -> Iterator[None]:
    """The module's weights get no gradients from what is computed within."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)
