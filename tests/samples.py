"""Small networks of every variant, and where pictures for tests are."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode

from escsr import images
from escsr.images import Animation, Picture
from escsr.models.checkpoints import DEGRADATION
from escsr.models.saving import save_network
from escsr.networks import ESC, VARIANTS, NetworkConfig

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


@cache
def _flowers() -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = images.read(EXAMPLES / "flowers.png").pixels
    return pixels


def flowers() -> NDArray[np.uint8]:
    """The pixels of a photograph, (576, 576, 3), whose file is read once."""
    return _flowers().copy()


def small_config(variant: str, *, bias_rank: int | None = None) -> NetworkConfig:
    """A variant with its traits but few and narrow layers, and windows of 8."""
    config = VARIANTS[variant]
    return config.replace(
        dim=24,
        attended_dim=8,
        num_heads=3,
        num_blocks=2,
        num_conv_attn=2,
        window_size=8,
        bias_rank=bias_rank or config.bias_rank,
    )


def lively(network: ESC) -> ESC:
    """Makes every parameter matter: those that start at zero or one are moved away from it."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


def small_network(variant: str, *, bias_rank: int | None = None) -> ESC:
    """A lively network of `small_config`."""
    torch.manual_seed(0)
    return lively(ESC(small_config(variant, bias_rank=bias_rank)))


def save_form(path: Path, scale: int, *, seed: int) -> None:
    """One form of a model of real photographs: a small network with weights of its own."""
    torch.manual_seed(seed)
    network = lively(ESC(small_config("esc-light").replace(scale=scale)))
    save_network(network, path, metadata={DEGRADATION: "mixed"})


def call_options(network: ESC) -> dict[str, float]:
    """What a network needs to be called: a scale, where it has none of its own."""
    return {} if network.config.scale else {"scale": 2.6}


def nearest_network() -> ESC:
    """A network that repeats every pixel 2×2: all parameters are 0, the shortcut remains."""
    network = small_network("esc")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    return network


class NearestResolver:
    """A super-resolver as a user may write it: repeats pixels, at one scale or at any."""

    def __init__(self, scale: int | None = None, pad_multiple: int = 1) -> None:
        self.name, self.scale, self.pad_multiple = "nearest", scale, pad_multiple
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, lr: torch.Tensor, *, size: tuple[int, int] | None = None) -> torch.Tensor:
        assert (size is None) == (self.scale is not None)
        self.shapes.append(tuple(lr.shape))
        return torch.nn.functional.interpolate(lr, size=size, scale_factor=self.scale)


class Float64OnTheCpu(TorchFunctionMode):
    """Refuses float64 of what `Tensor.cpu` was not called for, as devices do that have no such numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.taken_there: list[torch.Tensor] = []

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if function is torch.Tensor.cpu:
            self.taken_there.append(result)
        if function is torch.Tensor.double:
            assert any(args[0] is each for each in self.taken_there)
        return result


BROKEN = ("cut.png", "empty.png", "noise.tif", "noise.webp", "text.jpg")
"""Names of what cannot be read in a `mixed_folder`."""


def mixed_folder(folder: Path) -> None:
    """30 files of five formats, several depths and modes, one of them moving, five of them `BROKEN`."""
    random = np.random.default_rng(0)
    suffixes = (".png", ".jpg", ".webp", ".tif", ".gif")
    for index in range(25):
        suffix = suffixes[index % 5]
        depth = np.uint16 if suffix in (".png", ".tif") and index % 2 else np.uint8
        channels = (1, 3, 4)[index % 3] if suffix in (".png", ".tif") else 3
        pixels = random.integers(0, np.iinfo(depth).max, (9 + index, 12, channels)).astype(depth)
        images.write(Picture(pixels), folder / f"{index % 3}" / f"picture {index:02d}{suffix}")
    moving = Animation(random.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8), (50, 70))
    images.write(moving, folder / "1" / "picture 04.gif")
    whole = (folder / "0" / "picture 00.png").read_bytes()
    contents = (whole[: len(whole) // 2], b"", random.bytes(500), random.bytes(500), b"not a picture")
    for name, content in zip(BROKEN, contents, strict=True):
        (folder / "1" / name).write_bytes(content)
