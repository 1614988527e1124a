"""Losses beside L1 that photographs are trained with; each a mean over the batch, float32."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from escsr.evaluation.perceptual import normalized_difference
from escsr.runtime.choices import AdversarialType, PerceptualType

__all__ = [
    "NEIGHBOURS",
    "artefact_weights",
    "colour_loss",
    "discriminator_loss",
    "generator_loss",
    "grid_loss",
    "perceptual_loss",
    "psnr_loss",
]

_WINDOW = 7
"""Side of the windows that LDL takes local variances in."""

_DRIFT = 1e-3
"""Weight of the square of what a relativistic discriminator says of HR and results alike."""

_PSNR_FLOOR = 1e-4
"""Mean squared error, 40 dB, below which samples count little: flat patches would outweigh all others."""

NEIGHBOURS = 5
"""Side of the squares of LR pixels that the local means of `grid_loss` are over."""


def psnr_loss(result: Tensor, target: Tensor) -> Tensor:
    """The negative PSNR, a mean over samples: the mean of what may be there, where L1 asks for the median.

    Source: the loss of NAFNet (Chen et al., ECCV 2022), with a larger floor.

    Args:
        result: (B, 3, H, W), in [0, 1].
        target: The same shape.

    Returns:
        A scalar, dB.
    """
    error = (result - target).square().mean((1, 2, 3))  # (B,)
    return 10 * (error + _PSNR_FLOOR).log10().mean()


def perceptual_loss(
    kind: PerceptualType,
    result: Mapping[str, Tensor],
    target: Mapping[str, Tensor],
    weights: Mapping[str, float],
) -> Tensor:
    """How far features are apart, weighted by layer.

    Args:
        kind: "l1" (Johnson et al., ECCV 2016; layers as in Real-ESRGAN) or "normalized": squared
            differences of features of unit length, see `normalized_difference`.
        result: (B, C, h, w) by layer, see `FeatureNetwork`.
        target: The same of the target.
        weights: By layer.

    Returns:
        A scalar.
    """
    difference = F.l1_loss if kind == "l1" else normalized_difference
    each = [w * difference(result[name].float(), target[name].float()) for name, w in weights.items()]
    return torch.stack(each).sum()


def generator_loss(kind: AdversarialType, *logits: Tensor) -> Tensor:
    """How little the discriminator takes the results for real.

    Args:
        kind: "vanilla" (binary cross-entropy), "hinge" (the negative mean) or "relativistic" (each result
            against its HR: Jolicoeur-Martineau, ICLR 2019, in pairs).
        logits: Of results, (B, 1, H, W); for "relativistic" those of HR before them.

    Returns:
        A scalar.
    """
    if kind == "relativistic":
        real, fake = logits
        return F.softplus(real - fake).mean()
    (fake,) = logits
    return F.softplus(-fake).mean() if kind == "vanilla" else -fake.mean()


def discriminator_loss(kind: AdversarialType, real: Tensor, fake: Tensor) -> Tensor:
    """How badly the discriminator tells HR from results: of "vanilla" and "hinge" the sum of both parts.

    "relativistic" leaves the mean of both logits free; a small weight on its square keeps it near 0, as in
    Karras et al. (ICLR 2018), appendix A.1.

    Args:
        kind: As of `generator_loss`.
        real: Logits of HR, (B, 1, H, W).
        fake: Logits of results, the same shape.

    Returns:
        A scalar.
    """
    if kind == "relativistic":
        return F.softplus(fake - real).mean() + _DRIFT * ((real + fake) / 2).square().mean()
    if kind == "vanilla":
        return F.softplus(-real).mean() + F.softplus(fake).mean()
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


@torch.no_grad()
def artefact_weights(result: Tensor, averaged: Tensor, target: Tensor) -> Tensor:
    """Where a result has artefacts: locally restless errors, larger than those of the averaged weights.

    Source: "Details or Artifacts" (LDL; Liang et al., CVPR 2022), Eqs 2 to 5.

    Args:
        result: (B, 3, H, W), of the network in training.
        averaged: The same by its averaged weights.
        target: The same of HR.

    Returns:
        (B, 1, H, W): weights of L1, 0 where the averaged weights do worse.
    """
    error = (target - result).abs().sum(1, keepdim=True)
    steady = (target - averaged).abs().sum(1, keepdim=True)
    whole = error.flatten(1).var(1)[:, None, None, None] ** 0.2
    radius = _WINDOW // 2
    padded = F.pad(error, [radius] * 4, mode="reflect")
    mean = F.avg_pool2d(padded, _WINDOW, 1)
    variance = (F.avg_pool2d(padded.square(), _WINDOW, 1) - mean.square()).clamp_min(0)
    unbiased = variance * (_WINDOW**2 / (_WINDOW**2 - 1))
    return torch.where(error < steady, torch.zeros_like(error), whole * unbiased)


def colour_loss(result: Tensor, target: Tensor, scale: int) -> Tensor:
    """L1 between box means of scale × scale pixels: low frequencies, and so colours, stay.

    Args:
        result: (B, 3, rH, rW).
        target: The same shape: HR as it is.
        scale: Side of the boxes r.

    Returns:
        A scalar.
    """
    return F.l1_loss(F.avg_pool2d(result, scale), F.avg_pool2d(target, scale))


def grid_loss(result: Tensor, target: Tensor, scale: int) -> Tensor:
    """L1 between local means of the pixels at each of the r×r places within an LR pixel.

    A grid of period r, the cheapest detail that a network can invent, changes these means; texture hardly
    does.

    Args:
        result: (B, 3, rH, rW), of at least 5×5 LR pixels.
        target: The same shape: HR as it is.
        scale: r.

    Returns:
        A scalar.
    """
    own, wanted = (
        F.avg_pool2d(F.pixel_unshuffle(image, scale), NEIGHBOURS, 1)  # (B, 3r², H - 4, W - 4)
        for image in (result, target)
    )
    return F.l1_loss(own, wanted)
