"""Evaluation protocols: how a number in a table is made, step by step, by name."""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from escsr.data.degradations.config import Mixture
from escsr.data.degradations.presets import named_mixture, preset_name
from escsr.data.resize import imresize
from escsr.errors import ConfigError, DataError
from escsr.evaluation.any_scale import DIV2K_BORDER, MATLAB_SCALES, lte_psnr
from escsr.evaluation.bicubic import Bicubic, Interpolation
from escsr.evaluation.metrics import psnr, rgb_to_y, ssim
from escsr.evaluation.opening import Model, fitting_scale, open_model
from escsr.evaluation.pairs import Pair, check_sizes, degraded, read_pairs, to_tensor
from escsr.evaluation.perceptual import FeatureNetwork, load_feature_network, perceptual_distance
from escsr.networks.layers import reflect_pad
from escsr.runtime.choices import Protocol
from escsr.upscaling.super_resolver import SuperResolver, super_resolve

__all__ = ["Evaluation", "Score", "evaluate", "least_side", "measure", "scores_until"]

_SSIM_WINDOW = 11


@dataclass(frozen=True)
class Score:
    """Figures of one picture.

    Attributes:
        name: The picture's.
        figures: psnr_y or psnr_rgb in dB, ssim_y, a distance under its network's name, or those of
            `evaluate_real`; whichever are measured.
    """

    name: str
    figures: Mapping[str, float]

    @property
    def psnr_y(self) -> float:
        """Y-PSNR, dB."""
        return _figure(self.figures, "psnr_y")

    @property
    def ssim_y(self) -> float:
        """SSIM of luma."""
        return _figure(self.figures, "ssim_y")


@dataclass(frozen=True)
class Evaluation:
    """Figures of a folder, with the conditions they were measured under, and which are better if lower.

    Where the run was stopped, `left` pictures were not measured, and the means are those of the others.
    """

    protocol: str
    model: str
    data: str
    scale: float
    padded_to_window: bool
    scores: tuple[Score, ...]
    lower_is_better: tuple[str, ...] = ()
    left: int = 0

    @property
    def means(self) -> dict[str, float]:
        """The mean over the pictures of every figure that the protocol measures.

        Raises:
            DataError: No picture was measured.
        """
        if not self.scores:
            raise DataError(f"{self.data}: no picture was measured, so there are no means.")
        names = self.scores[0].figures
        return {name: float(np.mean([score.figures[name] for score in self.scores])) for name in names}

    @property
    def psnr_y(self) -> float:
        """Mean Y-PSNR, dB."""
        return _figure(self.means, "psnr_y")

    @property
    def ssim_y(self) -> float:
        """Mean SSIM of luma."""
        return _figure(self.means, "ssim_y")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, means first."""
        scores = [{"name": score.name, **score.figures} for score in self.scores]
        return {**self.means, **asdict(self), "scores": scores}


def evaluate(
    model: Model,
    data: str | os.PathLike[str],
    *,
    scale: float | None = None,
    strength: float | None = None,
    lr: str | os.PathLike[str] | None = None,
    protocol: Protocol = "classic",
    degradation: str | Mixture | None = None,
    seed: int = 0,
    perceptual: str | os.PathLike[str] | None = None,
    device: str = "auto",
    stop: threading.Event | None = None,
    on_score: Callable[[Score], None] | None = None,
) -> Evaluation:
    """Measures a model on a folder of HR pictures.

    Args:
        model: See `Model`.
        data: Folder of HR pictures.
        scale: Scale r; None for the model's own. Whole numbers, except for `lte`.
        strength: Of model "real", see `UpscaleOptions`.
        lr: Folder of LR pictures named as the HR ones, or with x2, x3, ... behind; None to make them
            as the protocol says.
        protocol: See `Protocol`.
        degradation: What makes LR instead, a preset's name or settings (`degrade`); protocol `classic`.
        seed: Of the degradation; picture number i of the folder is sample i.
        perceptual: File of a feature network (`load_feature_network`): also measure the distance by it.
        device: Where to run a model given by name or file.
        stop: Once set, the picture at hand is finished and no other begun; an interrupt after that leaves
            it, too.
        on_score: Called after each picture.

    Returns:
        Figures by picture and their means.

    Raises:
        ConfigError: Scale, strength or protocol do not fit the model.
        DataError: Pictures are missing, too small, of other than 8 bits, lie among others, or LR and HR do
            not fit.
        CheckpointError: The model cannot be loaded.

    Example:
        >>> evaluate("esc-light-x2", "Set5/HR").psnr_y  # doctest: +SKIP
        37.6
        >>> evaluate(my_module, "Set5/HR", scale=2).psnr_y  # any nn.Module  # doctest: +SKIP
        36.9
    """
    resolver = open_model(model, scale=scale, strength=strength, device=device)
    scale = fitting_scale(resolver, scale)
    pictures = check_sizes(Path(data), scale, least_side(scale, protocol))
    chain = named_mixture(degradation) if isinstance(degradation, str) else degradation
    features = None if perceptual is None else load_feature_network(perceptual)
    how: dict[str, Any] = {"degradation": chain, "seed": seed, "features": features}
    measured = measure(resolver, data, scale=scale, lr=lr, protocol=protocol, **how)
    scores = scores_until(stop, measured, on_score)
    padded = resolver.pad_multiple > 1 and protocol == "classic"
    damage = "" if chain is None else f", {preset_name(chain) or 'own'} degradation, seed {seed}"
    lower = () if features is None else (f"{features.kind}_distance",)
    name, left = protocol + damage, pictures - len(scores)
    return Evaluation(name, resolver.name, str(data), scale, padded, scores, lower, left)


def measure(
    model: SuperResolver,
    data: str | os.PathLike[str],
    *,
    scale: float,
    lr: str | os.PathLike[str] | None = None,
    protocol: Protocol = "classic",
    degradation: Mixture | None = None,
    seed: int = 0,
    features: FeatureNetwork | None = None,
    shard: int = 0,
    num_shards: int = 1,
) -> Iterator[Score]:
    """`evaluate`, picture by picture, for processes that share the work.

    Args:
        model: The model.
        data: Folder of HR pictures.
        scale: Scale r.
        lr: Folder of LR pictures, or None, see `evaluate`.
        protocol: See `Protocol`.
        degradation: What makes LR instead, see `evaluate`.
        seed: Of the degradation.
        features: Network to measure the distance by, or None.
        shard: Which of the shards to measure, from 0.
        num_shards: How many there are; each has every N-th picture.

    Yields:
        Figures of each picture of the shard.

    Raises:
        ConfigError: Scale or protocol do not fit the model.
        DataError: Pictures are missing, lie among others, or LR and HR do not fit.
    """
    scale = fitting_scale(model, scale)
    if protocol not in _MEASURES:
        raise ConfigError(f"Unknown protocol {protocol!r}; known are {', '.join(_MEASURES)}.")
    if protocol == "bicubic-as-published" and (lr is not None or not isinstance(model, Bicubic)):
        raise ConfigError("Protocol bicubic-as-published is for the model 'bicubic' and makes its own LR.")
    if isinstance(scale, float) and not protocol.startswith("lte"):
        raise ConfigError(f"Protocol {protocol} is for whole scales, not {scale}; protocol lte is for any.")
    if degradation is not None and (lr is not None or protocol != "classic"):
        raise ConfigError(
            "A degradation makes its own LR, by protocol classic; do not give lr or protocol."
        )
    if isinstance(model, Bicubic):  # the interpolation that undoes how the protocol makes LR
        exact: Interpolation = "matlab-double" if scale in MATLAB_SCALES else "pillow"
        model = Bicubic("matlab-uint8" if protocol == "classic" else exact)
    if features is not None and protocol != "classic":
        raise ConfigError("A perceptual distance is measured by protocol classic; do not give another.")
    measures = _MEASURES[protocol] if features is None else partial(_classic, features=features)
    pairs = read_pairs(Path(data), None if lr is None else Path(lr), scale)
    for index, pair in itertools.islice(enumerate(pairs), shard, None, num_shards):
        if degradation is not None:
            damaged = degraded(pair.hr, degradation, int(scale), seed=seed, index=index)
            pair = replace(pair, lr=damaged)  # noqa: PLW2901
        with torch.no_grad():
            score = Score(pair.name, measures(model, pair, scale))
        yield score


def scores_until(
    stop: threading.Event | None, scores: Iterable[Score], on_score: Callable[[Score], None] | None
) -> tuple[Score, ...]:
    """Takes scores as they are measured.

    Args:
        stop: Once set, no other is measured, and a KeyboardInterrupt leaves the one at hand.
        scores: Measures them.
        on_score: Called with each.
    """
    found: list[Score] = []
    try:
        for score in scores:
            found.append(score)
            if on_score is not None:
                on_score(score)
            if stop is not None and stop.is_set():
                break
    except KeyboardInterrupt:
        if stop is None or not stop.is_set():
            raise
    return tuple(found)


def least_side(scale: float, protocol: Protocol) -> int:
    """HR pixels that a protocol needs of a side: a border is cropped, and SSIM takes windows of 11."""
    border = math.ceil(scale) + (DIV2K_BORDER if protocol == "lte-div2k" else 0)
    return 2 * border + (1 if protocol.startswith("lte") else _SSIM_WINDOW)


def _figure(figures: Mapping[str, float], name: str) -> float:
    if name not in figures:
        raise ConfigError(f"This protocol does not measure {name}; it measures {', '.join(figures)}.")
    return figures[name]


def _classic(
    model: SuperResolver, pair: Pair, scale: float, features: FeatureNetwork | None = None
) -> dict[str, float]:
    """Pads LR, runs, crops, clamps and rounds."""
    r, lr = int(scale), to_tensor(imresize(pair.hr, 1 / scale) if pair.lr is None else pair.lr)
    height, width = lr.shape[-2:]
    bottom, right = (-side % model.pad_multiple for side in (height, width))
    padded = reflect_pad((lr.float() / 255).expand(3, -1, -1)[None], right=right, bottom=bottom)
    sr = super_resolve(model, padded, (r * (height + bottom), r * (width + right)))
    sr = (sr[0, :, : height * r, : width * r].clamp(0, 1) * 255).round()
    hr = to_tensor(pair.hr)
    figures = _luma_figures(rgb_to_y(sr), rgb_to_y(hr), r)
    if features is None:
        return figures
    distance = perceptual_distance(features, sr / 255, hr.expand(3, -1, -1).float() / 255)
    return figures | {f"{features.kind}_distance": distance}


def _bicubic_as_published(_: SuperResolver, pair: Pair, scale: float) -> dict[str, float]:
    truth = rgb_to_y(to_tensor(pair.hr)).round()
    sr = imresize(imresize(truth, 1 / scale), scale).round().clamp(0, 255)
    return _luma_figures(sr, truth, int(scale))


def _luma_figures(sr: Tensor, truth: Tensor, border: int) -> dict[str, float]:
    sr, truth = (y[..., border:-border, border:-border] for y in (sr, truth))
    return {"psnr_y": psnr(sr, truth), "ssim_y": ssim(sr, truth)}


_MEASURES: dict[str, Callable[[SuperResolver, Pair, float], dict[str, float]]] = {
    "classic": _classic,
    "bicubic-as-published": _bicubic_as_published,
    "lte": lte_psnr,
    "lte-div2k": partial(lte_psnr, div2k=True),
}
