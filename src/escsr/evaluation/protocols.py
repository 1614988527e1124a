"""Evaluation protocols: how a number in a table is made, step by step, by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from escsr import images
from escsr.checkpoints import find_model, load_network
from escsr.data.resize import imresize
from escsr.devices import choose_device
from escsr.errors import ConfigError, DataError
from escsr.evaluation.metrics import psnr, rgb_to_y, ssim
from escsr.inference import Inference
from escsr.networks import ESC
from escsr.networks.attention import window_padding
from escsr.networks.layers import reflect_pad

__all__ = ["BICUBIC", "Evaluation", "Protocol", "Score", "evaluate", "lr_name"]

BICUBIC = "bicubic"
"""Name of the pseudo-model: interpolation by `imresize`."""

Protocol = Literal["classic", "bicubic-as-published"]
"""`classic`: the paper's Tables 2–4. `bicubic-as-published`: the recipe behind the bicubic rows of
the literature (Y of HR rounded, down and up in double, one final rounding); for "bicubic" only."""


@dataclass(frozen=True)
class Score:
    """Figures of one picture: Y-PSNR in dB and SSIM."""

    name: str
    psnr_y: float
    ssim_y: float


@dataclass(frozen=True)
class Evaluation:
    """Figures of a folder, with the conditions they were measured under."""

    protocol: str
    model: str
    data: str
    scale: int
    padded_to_window: bool
    scores: tuple[Score, ...]

    @property
    def psnr_y(self) -> float:
        """Mean over the pictures, dB."""
        return float(np.mean([score.psnr_y for score in self.scores]))

    @property
    def ssim_y(self) -> float:
        """Mean over the pictures."""
        return float(np.mean([score.ssim_y for score in self.scores]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, means first."""
        return {"psnr_y": self.psnr_y, "ssim_y": self.ssim_y, **asdict(self)}


def evaluate(
    model: ESC | str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    scale: int | None = None,
    lr: str | os.PathLike[str] | None = None,
    protocol: Protocol = "classic",
    device: str = "auto",
    on_score: Callable[[Score], None] | None = None,
) -> Evaluation:
    """Measures a model on a folder of HR pictures.

    Args:
        model: Bundled name, file of weights, a network (used where it is, in eval mode), or
            "bicubic" for MATLAB's bicubic interpolation.
        data: Folder of HR pictures.
        scale: Enlargement r; None for the model's own.
        lr: Folder of LR pictures named as the HR ones, or with x2, x3, ... behind; None to make them
            with `imresize` (`matlab-uint8`).
        protocol: See `Protocol`.
        device: Where to run a model given by name or file.
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
    if network is not None and network.config.scale not in (None, scale):
        raise ConfigError(f"{name} enlarges by {network.config.scale}, not by {scale}.")
    if protocol not in get_args(Protocol):
        raise ConfigError(f"Unknown protocol {protocol!r}; known are {', '.join(get_args(Protocol))}.")
    if protocol == "bicubic-as-published" and (network is not None or lr is not None):
        raise ConfigError("Protocol bicubic-as-published is for the model 'bicubic' and makes its own LR.")
    scores = []
    for picture, hr, given in _pairs(Path(data), None if lr is None else Path(lr), scale):
        if protocol == "classic":
            truth, result = _classic(network, hr, given, scale)
        else:
            truth, result = _bicubic_as_published(hr, scale)
        truth, result = (y[..., scale:-scale, scale:-scale] for y in (truth, result))
        scores.append(Score(picture, psnr(result, truth), ssim(result, truth)))
        if on_score is not None:
            on_score(scores[-1])
    return Evaluation(
        protocol=protocol,
        model=name,
        data=str(data),
        scale=scale,
        padded_to_window=network is not None,
        scores=tuple(scores),
    )


def _network(model: ESC | str | os.PathLike[str], scale: int | None, device: str) -> ESC | None:
    if isinstance(model, ESC):
        return model
    if os.fspath(model) == BICUBIC:
        return None
    return load_network(find_model(model, scale=scale), device=choose_device(device))


def lr_name(name: str, scale: int) -> str:
    """The usual name of an LR picture: "baby" at ×2 is "babyx2"."""
    return f"{name}x{scale}"


def _pairs(
    data: Path, lr: Path | None, scale: int
) -> Iterator[tuple[str, NDArray[Any], NDArray[Any] | None]]:
    """(name, HR cropped to what the LR covers, LR or None), uint8 (H, W, C)."""
    found = {path.stem: path for path in images.find_images(lr)} if lr else {}
    for path in images.find_images(data):
        hr = _read_uint8(path)
        if lr is None:
            height, width = (side // scale * scale for side in hr.shape[:2])
            if min(height, width) < 1:
                raise DataError(f"{path}: too small for ×{scale}.")
            yield path.stem, hr[:height, :width], None
            continue
        source = found.get(path.stem) or found.get(lr_name(path.stem, scale))
        if source is None:
            raise DataError(f"{lr}: no LR picture for {path.name} ({lr_name(path.stem, scale)}.png).")
        small = _read_uint8(source)
        height, width = (side * scale for side in small.shape[:2])
        if not 0 <= hr.shape[0] - height < scale or not 0 <= hr.shape[1] - width < scale:
            raise DataError(f"{source}: {small.shape[:2]} times {scale} does not fit {hr.shape[:2]}.")
        yield path.stem, hr[:height, :width], small


def _read_uint8(path: Path) -> NDArray[Any]:
    colour = images.read(path).colour
    if colour.dtype != np.uint8:
        raise DataError(f"{path}: evaluation pictures must have 8 bits.")
    return colour


def _classic(
    network: ESC | None, hr: NDArray[Any], lr: NDArray[Any] | None, scale: int
) -> tuple[Tensor, Tensor]:
    """Y of HR and of the result, (1, H, W)."""
    small = imresize(hr, 1 / scale) if lr is None else lr
    if network is None:
        result = _to_tensor(imresize(small, scale))
    else:
        result = _super_resolve(network, _to_tensor(small), scale)
    return rgb_to_y(_to_tensor(hr)), rgb_to_y(result)


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


def _bicubic_as_published(hr: NDArray[Any], scale: int) -> tuple[Tensor, Tensor]:
    truth = rgb_to_y(_to_tensor(hr)).round()
    small = imresize(truth, 1 / scale)
    return truth, imresize(small, scale).round().clamp(0, 255)


def _to_tensor(pixels: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
