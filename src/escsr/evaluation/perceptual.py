"""Features of networks that were trained to tell things apart, and a distance between pictures by them.

The weights are read from a file that the user has; none is bundled, and nothing but the perceptual loss
and this distance needs one.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from escsr.errors import CheckpointError, ConfigError

__all__ = [
    "ACCEPTED",
    "FeatureNetwork",
    "load_feature_network",
    "normalized_difference",
    "perceptual_distance",
]

ACCEPTED = (
    "VGG16 or VGG19 under torchvision's names (.pth or .safetensors; the first convolutions suffice), or "
    "SqueezeNet 1.0 (.npz of its compressed release)"
)

_DAMAGED = (OSError, EOFError, ValueError, LookupError, RuntimeError, AttributeError)

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_CAFFE_MEAN = (104.0, 117.0, 123.0)
"""Of blue, green and red, levels of 255."""
_CAFFE_SCALE = 58.0
"""About the standard deviation of ImageNet's pixels, levels of 255."""

_VGG_BLOCKS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_USUAL_LAYERS = {
    "vgg16": {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_3": 1.0, "conv4_3": 1.0, "conv5_3": 1.0},
    "vgg19": {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0},
    "squeezenet": {"conv1": 0.1, "fire3": 1.0, "fire5": 1.0, "fire8": 1.0},
}


class _Layer(NamedTuple):
    """A convolution, or SqueezeNet's pair of two side by side, and whether a pool comes before it."""

    name: str
    pool: bool


class FeatureNetwork(nn.Module):
    """The layers of a classifier up to its last convolution; VGG's features are those before ReLU.

    Args:
        kind: "vgg16", "vgg19" or "squeezenet".
        weights: "NAME.weight" and "NAME.bias" for pictures with ImageNet's normalisation. NAME is that of
            a layer; of SqueezeNet's fire modules "fireN.squeeze", "fireN.one" and "fireN.three".

    Attributes:
        kind: As given.
        layers: Names, in order.
    """

    def __init__(self, kind: str, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.kind = kind
        self.mean: Tensor
        self.std: Tensor
        self._plan = [
            layer for layer in _plan(kind) if any(k.startswith(f"{layer.name}.") for k in weights)
        ]
        for name, value in weights.items():
            self.register_buffer(name.replace(".", "_"), value.float(), persistent=False)
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_STD)[:, None, None], persistent=False)

    @property
    def layers(self) -> list[str]:
        """Names of the layers that there are, in order."""
        return [layer.name for layer in self._plan]

    @property
    def usual_layers(self) -> dict[str, float]:
        """Weights of the layers that losses usually take, of those that there are."""
        return {name: weight for name, weight in _USUAL_LAYERS[self.kind].items() if name in self.layers}

    def forward(self, image: Tensor, wanted: Mapping[str, float] | None = None) -> dict[str, Tensor]:
        """Computes features.

        Args:
            image: (B, 3, H, W) in [0, 1].
            wanted: Names of layers; None for the usual.

        Returns:
            (B, C, h, w) by name.

        Raises:
            ConfigError: There is no such layer.
        """
        left = set(self.usual_layers if wanted is None else wanted)
        if unknown := left - set(self.layers):
            raise ConfigError(
                f"{self.kind} has no layer {', '.join(sorted(unknown))}; it has {', '.join(self.layers)}."
            )
        features: dict[str, Tensor] = {}
        x = (image - self.mean) / self.std
        for name, pool in self._plan:
            if not left:
                break
            if pool:
                x = self._pooled(x)
            x = self._layer(name, x)
            if name in left:
                features[name] = x
                left.remove(name)
            if self.kind != "squeezenet":
                x = F.relu(x)
        return features

    def _pooled(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, 2, ceil_mode=True) if self.kind == "squeezenet" else F.max_pool2d(x, 2)

    def _layer(self, name: str, x: Tensor) -> Tensor:
        if self.kind != "squeezenet":
            return self._conv(name, x, padding=1)
        if name == "conv1":
            return F.relu(self._conv(name, x, stride=2))
        squeezed = F.relu(self._conv(f"{name}.squeeze", x))
        one, three = self._conv(f"{name}.one", squeezed), self._conv(f"{name}.three", squeezed, padding=1)
        return F.relu(torch.cat((one, three), 1))

    def _conv(self, name: str, x: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
        weight, bias = (getattr(self, f"{name}_{kind}".replace(".", "_")) for kind in ("weight", "bias"))
        return F.conv2d(x, weight, bias, stride, padding)


def load_feature_network(path: str | os.PathLike[str]) -> FeatureNetwork:
    """Reads the weights of a feature network.

    Args:
        path: See `ACCEPTED`.

    Returns:
        The network, in eval mode.

    Raises:
        CheckpointError: The file is missing, damaged or of another kind.
    """
    path = Path(path).expanduser()
    try:
        if path.suffix == ".npz":
            with np.load(io.BytesIO(path.read_bytes())) as file:
                return FeatureNetwork("squeezenet", _from_caffe({k: file[k] for k in file.files})).eval()
        safe = path.suffix == ".safetensors"
        state = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
        kind, weights = _from_torchvision(state)
        return FeatureNetwork(kind, weights).eval()
    except (*_DAMAGED, SafetensorError, BadZipFile, UnpicklingError) as error:
        problem = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{path}: no perceptual network ({problem}); accepted are {ACCEPTED}."
        ) from error


@torch.no_grad()
def perceptual_distance(network: FeatureNetwork, image: Tensor, reference: Tensor) -> float:
    """How different two pictures look: squared differences of features of unit length, over the layers.

    Built as LPIPS (Zhang et al., CVPR 2018) without its learnt weights of channels, so it is not LPIPS and
    bears the network's name in tables.

    Args:
        network: The features, of its usual layers.
        image: (3, H, W) or (1, 3, H, W) in [0, 1].
        reference: The same shape.

    Returns:
        0 for equal pictures, at most 2 for each layer.
    """
    one, two = (network(each.reshape(-1, *each.shape[-3:])) for each in (image, reference))
    return sum(float(normalized_difference(features, two[name])) for name, features in one.items())


def normalized_difference(one: Tensor, two: Tensor) -> Tensor:
    """Squared difference of features of unit length, after ReLU, as in LPIPS without its learnt weights.

    Args:
        one: (B, C, h, w), before ReLU or after it.
        two: The same shape.

    Returns:
        A scalar, the mean over pictures and places: 0 for equal ones, at most 2.
    """
    one, two = (F.normalize(F.relu(features), dim=1, eps=1e-10) for features in (one, two))
    return (one - two).square().sum(1).mean()


def _plan(kind: str) -> list[_Layer]:
    if kind == "squeezenet":
        fires = [_Layer(f"fire{index}", index in (2, 5, 9)) for index in range(2, 10)]
        return [_Layer("conv1", pool=False), *fires]
    return [
        _Layer(f"conv{block}_{index}", pool=block > 1 and index == 1)
        for block, count in enumerate(_VGG_BLOCKS[kind], 1)
        for index in range(1, count + 1)
    ]


def _from_torchvision(state: Mapping[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """Names like features.0.weight; places count ReLUs and pools too.

    Raises:
        ValueError: The convolutions that there are are not the first ones of VGG16 or VGG19.
    """
    there = {int(key.split(".")[1]) for key in state if re.fullmatch(r"features\.\d+\.weight", key)}
    kind = "vgg19" if 16 in there else "vgg16"
    weights: dict[str, Tensor] = {}
    place, before = 0, 3
    for name, pool in _plan(kind):
        place += pool
        if place in there:
            weight, bias = (state[f"features.{place}.{part}"] for part in ("weight", "bias"))
            if weight.shape != (len(bias), before, 3, 3):
                raise ValueError(f"features.{place} is not {kind}'s {name}")
            weights |= {f"{name}.weight": weight, f"{name}.bias": bias}
            there.remove(place)
            before = len(bias)
        elif there and place < max(there):
            raise ValueError(f"no tensor features.{place}.weight, {kind}'s {name}")
        place += 2
    if there or not weights:
        raise ValueError("other layers than those of VGG16 and VGG19" if there else "no features.0.weight")
    return kind, weights


def _from_caffe(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """For pictures of blue, green and red, levels of 255 minus a mean, to ImageNet's normalisation.

    All layers but the last are positively homogeneous: with every bias divided by one factor, so are the
    features, and come to the size that torchvision's networks have.
    """
    weights = {}
    for key, array in arrays.items():
        name, _, part = key.rpartition("_")
        for theirs, ours in (
            ("__conv1x1_1", ".squeeze"),
            ("__conv1x1_2", ".one"),
            ("__conv3x3_2", ".three"),
        ):
            name = name.replace(theirs, ours)
        if not name.startswith("conv_final"):
            value = torch.from_numpy(array.astype(np.float32))
            weights[f"{name}.{'weight' if part == 'w' else 'bias'}"] = value
    mean, std = (torch.tensor(values).flip(0) for values in (_MEAN, _STD))  # of blue, green, red
    shift = 255 * mean - torch.tensor(_CAFFE_MEAN)
    first = weights["conv1.weight"]
    weights["conv1.bias"] = weights["conv1.bias"] + (first * shift[:, None, None]).sum((1, 2, 3))
    weights = {
        key: value / _CAFFE_SCALE if key.endswith(".bias") else value for key, value in weights.items()
    }
    weights["conv1.weight"] = (first * (255 * std / _CAFFE_SCALE)[:, None, None]).flip(1)
    return weights
