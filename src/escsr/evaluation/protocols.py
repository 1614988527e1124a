"""Evaluation protocols: how a number in a table is made, step by step, by name."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from escsr.data.resize import imresize
from escsr.errors import ConfigError
from escsr.evaluation.any_scale import benchmark_psnr, div2k_psnr
from escsr.evaluation.metrics import psnr, rgb_to_y, ssim
from escsr.evaluation.pairs import Pair, read_pairs, to_tensor
from escsr.models.checkpoints import find_model, load_network
from escsr.networks import ESC
from escsr.networks.attention import window_padding
from escsr.networks.layers import reflect_pad
from escsr.runtime.choices import Protocol
from escsr.runtime.devices import choose_device
from escsr.upscaling.inference import Inference

__all__ = ["BICUBIC", "Evaluation", "Score", "evaluate"]

BICUBIC = "bicubic"
"""Name of the pseudo-model: bicubic interpolation."""


@dataclass(frozen=True)
class Score:
    """Figures of one picture.

    Attributes:
        name: The picture's.
        figures: psnr_y or psnr_rgb in dB, and ssim_y, whichever the protocol measures.
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
    """Figures of a folder, with the conditions they were measured under."""

    protocol: str
    model: str
    data: str
    scale: float
    padded_to_window: bool
    scores: tuple[Score, ...]

    @property
    def means(self) -> dict[str, float]:
        """The mean over the pictures of every figure that the protocol measures."""
        return {
            name: float(np.mean([score.figures[name] for score in self.scores]))
            for name in self.scores[0].figures
        }

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
    model: ESC | str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    scale: float | None = None,
    lr: str | os.PathLike[str] | None = None,
    protocol: Protocol = "classic",
    device: str = "auto",
    shard: tuple[int, int] = (0, 1),
    on_score: Callable[[Score], None] | None = None,
) -> Evaluation:
    """Measures a model on a folder of HR pictures.

    Args:
        model: Bundled name, file of weights, a network (used where it is, in eval mode), or
            "bicubic" for bicubic interpolation.
        data: Folder of HR pictures.
        scale: Enlargement r; None for the model's own. Whole numbers, except for `lte`.
        lr: Folder of LR pictures named as the HR ones, or with x2, x3, ... behind; None to make them
            as the protocol says.
        protocol: See `Protocol`.
        device: Where to run a model given by name or file.
        shard: (k, N) to measure every N-th picture only, beginning with number k, for N processes that
            share the work.
        on_score: Called after each picture.

    Returns:
        Figures by picture and their means.

    Raises:
        ConfigError: Scale or protocol do not fit the model.
        DataError: Pictures are missing, or LR and HR do not fit.
        CheckpointError: The model cannot be loaded.
    """
    name = "network" if isinstance(model, ESC) else os.fspath(model)
    network = _network(model, scale, device)
    scale = scale if scale is not None or network is None else network.config.scale
    if scale is None:
        raise ConfigError(f"Which scale? {name} has none of its own.")
    scale = int(scale) if scale == int(scale) else scale
    if network is not None and network.config.scale not in (None, scale):
        raise ConfigError(f"{name} enlarges by {network.config.scale}, not by {scale}.")
    _check(protocol, scale, makes_lr=lr is None, is_bicubic=network is None)
    scores = []
    pairs = read_pairs(Path(data), None if lr is None else Path(lr), scale)
    for pair in itertools.islice(pairs, shard[0], None, shard[1]):
        scores.append(Score(pair.name, _MEASURES[protocol](network, pair, scale)))
        if on_score is not None:
            on_score(scores[-1])
    return Evaluation(
        protocol=protocol,
        model=name,
        data=str(data),
        scale=scale,
        padded_to_window=network is not None and protocol == "classic",
        scores=tuple(scores),
    )


def _check(protocol: Protocol, scale: float, *, makes_lr: bool, is_bicubic: bool) -> None:
    if protocol not in get_args(Protocol):
        raise ConfigError(f"Unknown protocol {protocol!r}; known are {', '.join(get_args(Protocol))}.")
    if protocol == "bicubic-as-published" and not (is_bicubic and makes_lr):
        raise ConfigError("Protocol bicubic-as-published is for the model 'bicubic' and makes its own LR.")
    if not 1 <= scale < float("inf"):
        raise ConfigError(f"scale must be at least 1, not {scale}.")
    if isinstance(scale, float) and protocol not in ("lte", "lte-div2k"):
        raise ConfigError(f"Protocol {protocol} is for whole scales, not {scale}; protocol lte is for any.")


def _network(model: ESC | str | os.PathLike[str], scale: float | None, device: str) -> ESC | None:
    if isinstance(model, ESC):
        return model
    if os.fspath(model) == BICUBIC:
        return None
    return load_network(find_model(model, scale=scale), device=choose_device(device))


def _figure(figures: Mapping[str, float], name: str) -> float:
    if name not in figures:
        raise ConfigError(f"This protocol does not measure {name}; it measures {', '.join(figures)}.")
    return figures[name]


def _classic(network: ESC | None, pair: Pair, scale: float) -> dict[str, float]:
    small = imresize(pair.hr, 1 / scale) if pair.lr is None else pair.lr
    if network is None:
        sr = to_tensor(imresize(small, scale))
    else:
        sr = _super_resolve(network, to_tensor(small), int(scale))
    return _luma_figures(rgb_to_y(sr), rgb_to_y(to_tensor(pair.hr)), int(scale))


@torch.no_grad()
def _super_resolve(network: ESC, lr: Tensor, scale: int) -> Tensor:
    """Pads to the window, runs, crops, clamps and rounds: (C, H, W) in [0, 255] → (3, rH, rW)."""
    height, width = lr.shape[-2:]
    window = network.config.window_size
    picture = (lr.float() / 255).expand(3, -1, -1)[None]
    padded = reflect_pad(
        picture, right=window_padding(width, window), bottom=window_padding(height, window)
    )
    wanted = None if network.config.scale else scale
    sr = Inference(network, precision="float32").run(padded, scale=wanted)
    sr = sr[0, :, : height * scale, : width * scale].clamp(0, 1)
    return (sr * 255).round()


def _bicubic_as_published(_: ESC | None, pair: Pair, scale: float) -> dict[str, float]:
    truth = rgb_to_y(to_tensor(pair.hr)).round()
    sr = imresize(imresize(truth, 1 / scale), scale).round().clamp(0, 255)
    return _luma_figures(sr, truth, int(scale))


def _luma_figures(sr: Tensor, truth: Tensor, border: int) -> dict[str, float]:
    sr, truth = (y[..., border:-border, border:-border] for y in (sr, truth))
    return {"psnr_y": psnr(sr, truth), "ssim_y": ssim(sr, truth)}


_MEASURES: dict[str, Callable[[ESC | None, Pair, float], dict[str, float]]] = {
    "classic": _classic,
    "bicubic-as-published": _bicubic_as_published,
    "lte": benchmark_psnr,
    "lte-div2k": div2k_psnr,
}
