"""What a benchmark measures, by name: our networks, files of weights, and the systems of other papers."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from escsr.errors import ConfigError, ForeignNetworkError
from escsr.evaluation.rivals import RIVALS, build_rival
from escsr.models.bundled import find_model, list_models
from escsr.models.checkpoints import network_of, read_checkpoint
from escsr.models.foreign import ForeignModel, load_foreign
from escsr.networks import ESC, VARIANTS, NetworkConfig, variant_config
from escsr.networks.ablations import ABLATIONS
from escsr.networks.attention import WindowAttention

__all__ = ["ABLATION_PREFIX", "LTE_SUFFIX", "AtScale", "Subject", "subject_of", "window_attention_name"]

ABLATION_PREFIX = "esc-x2-"
"""Before the names of `ABLATIONS`, as in the names of their recipes."""

LTE_SUFFIX = "+lte"
"""Behind the names of rivals with an upsampler for any scale, as in the paper's Table 5."""

_WINDOW_ATTENTION = re.compile(r"window-attention-(\d{1,3})-(\d{1,4})")


@dataclass(frozen=True)
class Subject:
    """A network whose cost can be measured.

    Attributes:
        name: As it is asked for.
        scale: Output side per LR side; None for a layer that does not upscale.
        weights: Whether it computes with trained weights; the cost is the same.
        build: Makes the network on a device, in eval mode; on "meta" for counting.
        channels: Of its input.
        side: Of its input, where that is fixed; None for a picture of the benchmark's size.
        path: File of trained weights.
    """

    name: str
    scale: float | None
    weights: Literal["trained", "random"]
    build: Callable[[torch.device], nn.Module]
    channels: int = 3
    side: int | None = None
    path: Path | None = None

    def input_size(self, sr_size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the input for an output of some rows and columns; rounded down, as in papers.

        Example:
            >>> subject_of("esc", scale=3).input_size((720, 1280))
            (240, 426)
        """
        if self.side is not None:
            return self.side, self.side
        rows, columns = sr_size
        scale = self.scale or 1
        return max(1, int(rows / scale)), max(1, int(columns / scale))


class AtScale(nn.Module):
    """A network for any scale, at one.

    Args:
        network: The network.
        scale: Factor of both sides.
    """

    def __init__(self, network: ESC, scale: float) -> None:
        super().__init__()
        self.network, self.scale = network, scale

    def forward(self, lr: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, 3, round(rH), round(rW))."""
        return self.network(lr, scale=self.scale)


def subject_of(name: str, *, scale: float | None = None) -> Subject:
    """Finds what a name means.

    Args:
        name: A variant ("esc", "esc-xl"): the bundled model where there is one of that scale, else random
            weights; an ablation ("esc-x2-unshared"); a system of another paper (`RIVALS`); what
            `find_model` takes, other architectures too; or "window-attention-W-S", the layer of the paper's
            Table 1 with windows of W×W on a map of 64 channels and S×S pixels.
        scale: Of the network; None for its own, or 2.

    Returns:
        The network, not built yet.

    Raises:
        ConfigError: It has no such scale.
        ModelNotFoundError: There is no such name.
        CheckpointError: The file cannot be used.
    """
    if layer := _WINDOW_ATTENTION.fullmatch(name):
        return _window_attention(name, window=int(layer[1]), side=int(layer[2]))
    if name.lower().removesuffix(LTE_SUFFIX) in RIVALS:
        return _rival(name, scale)
    if name.removeprefix(ABLATION_PREFIX) in ABLATIONS and scale in (None, 2):
        return _of_shape(name, ABLATIONS[name.removeprefix(ABLATION_PREFIX)], 2)
    if name in VARIANTS and name not in list_models():
        has_scale = VARIANTS[name].scale if scale is None else scale
        if f"{name}-x{has_scale:g}" not in list_models():
            return _variant(name, scale)
        name = f"{name}-x{has_scale:g}"
    return _of_file(name, scale)


def window_attention_name(window: int, side: int) -> str:
    """What `subject_of` calls the attention of Table 1 with a window on a square map."""
    return f"window-attention-{window}-{side}"


def _variant(name: str, scale: float | None) -> Subject:
    if VARIANTS[name].scale is None or scale is None:
        return _of_shape(name, VARIANTS[name], scale)
    return _of_shape(name, variant_config(name, scale=_whole(name, scale)), scale)


def _whole(name: str, scale: float) -> int:
    if int(scale) != scale:
        raise ConfigError(f"{name} upscales by a whole number, not by {scale:g}; esc-lte takes any scale.")
    return int(scale)


def _of_shape(name: str, config: NetworkConfig, scale: float | None) -> Subject:
    """A network of ours with random weights."""

    def build(device: torch.device) -> nn.Module:
        with torch.random.fork_rng(devices=[]), torch.device("meta" if device.type == "meta" else "cpu"):
            torch.manual_seed(0)
            network = ESC(config).eval()
        return network if device.type == "meta" else network.to(device)

    return Subject(name, *_at_scale(build, config, scale, "random"))


def _at_scale(
    build: Callable[[torch.device], nn.Module],
    config: NetworkConfig,
    scale: float | None,
    weights: Literal["trained", "random"],
) -> tuple[float, Literal["trained", "random"], Callable[[torch.device], nn.Module]]:
    if config.scale is not None:
        return config.scale, weights, build
    wanted = 2 if scale is None else scale

    def built(device: torch.device) -> nn.Module:
        network = build(device)
        assert isinstance(network, ESC)
        return AtScale(network, wanted)

    return wanted, weights, built


def _of_file(name: str, scale: float | None) -> Subject:
    path = find_model(name, scale=scale)
    try:
        checkpoint = read_checkpoint(path)
    except ForeignNetworkError as why:
        return _foreign(name, path, why, scale)
    config = checkpoint.config
    _check_scale(name, config.scale, scale)

    def build(device: torch.device) -> nn.Module:
        if device.type == "meta":
            with device:
                return ESC(config).eval()
        return network_of(checkpoint, name=name, device=device)

    own_scale, weights, built = _at_scale(build, config, scale, "trained")
    return Subject(name, own_scale, weights, built, path=path)


def _check_scale(name: str, has: float | None, wanted: float | None) -> None:
    if wanted is not None and has not in (None, wanted):
        raise ConfigError(f"{name} upscales by {has:g}, not by {wanted:g}.")


def _foreign(name: str, path: Path, why: ForeignNetworkError, scale: float | None) -> Subject:
    model = load_foreign(path, why)
    _check_scale(name, model.scale, scale)

    def build(device: torch.device) -> nn.Module:
        if device.type == "meta":
            return _Padded(copy.deepcopy(model.module).to(device), model.multiple)
        return _Foreign(load_foreign(path, why, device=device))

    return Subject(name, model.scale, "trained", build, path=path)


class _Foreign(nn.Module):
    """A model of another architecture as a module; it pads and crops by itself."""

    def __init__(self, model: ForeignModel) -> None:
        super().__init__()
        self.model, self.module = model, model.module

    def forward(self, lr: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, 3, rH, rW)."""
        return self.model(lr)


class _Padded(nn.Module):
    """The same on shapes alone: padded, not cropped."""

    def __init__(self, module: nn.Module, multiple: int) -> None:
        super().__init__()
        self.module, self.multiple = module, multiple

    def forward(self, lr: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, 3, r⌈H⌉, r⌈W⌉)."""
        rows, columns = lr.shape[-2:]
        return self.module(F.pad(lr, (0, -columns % self.multiple, 0, -rows % self.multiple)))


def _rival(name: str, scale: float | None) -> Subject:
    key = name.lower().removesuffix(LTE_SUFFIX)
    wanted = 2 if scale is None else scale
    upsampler: Literal["fixed", "lte"] = "fixed" if key == name.lower() else "lte"
    if upsampler == "fixed" and _whole(name, wanted) not in (scales := RIVALS[key].scales):
        raise ConfigError(
            f"{name} has the scales {', '.join(f'×{each}' for each in scales)}, not ×{wanted}."
        )

    def build(device: torch.device) -> nn.Module:
        where = device if device.type == "meta" else "cpu"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return build_rival(key, wanted, device=where, upsampler=upsampler).eval().to(device)

    return Subject(name, wanted, "random", build)


def _window_attention(name: str, *, window: int, side: int) -> Subject:
    config = NetworkConfig(window_size=window)

    def build(device: torch.device) -> nn.Module:
        with torch.random.fork_rng(devices=[]), torch.device("meta" if device.type == "meta" else "cpu"):
            torch.manual_seed(0)
            return WindowAttention(config).eval().to(device)

    return Subject(name, None, "random", build, channels=config.dim, side=side)
