"""Pixels of a picture through a network: grey as R = G = B, opacity on its own, any depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from escsr.errors import ConfigError
from escsr.images.value_range import ValueRange
from escsr.runtime.progress import OnProgress, part_of
from escsr.upscaling import alpha as transparency

__all__ = ["Run", "upscale_frames", "upscale_pil", "upscale_pixels"]

_RINGS_REACH = 4
"""How far from an edge rings can be seen, LR pixels."""

Run = Callable[[Tensor, OnProgress | None], Tensor]
"""A network: (1, 3, H, W) in [0, 1] → (1, 3, R, S) in [0, 1], both in host memory."""


def upscale_pixels(
    pixels: NDArray[Any],
    run: Run,
    *,
    linear: bool = False,
    premultiplied: bool = False,
    on_progress: OnProgress | None = None,
) -> NDArray[Any]:
    """Enlarges pixels of any depth and number of channels.

    Colours are bled under what is transparent before the network sees them; opacity is enlarged as a
    grey picture and stays within that of its neighbourhood; one of a single value stays one.

    Args:
        pixels: (H, W, C), of a type in `levels.DEPTHS`; C is 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.
        run: The network.
        linear: Whether floating values are proportional to light; see `ValueRange`.
        premultiplied: Whether colours are multiplied by alpha; they are then enlarged as they are.
        on_progress: Told the share of the work done.

    Returns:
        (R, S, C) of the same type.

    Raises:
        ConfigError: Shape, type or values are others.
    """
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or 0 in pixels.shape:
        raise ConfigError(f"An array must be (H, W) or (H, W, 1 to 4), not {pixels.shape}.")
    has_alpha = pixels.shape[2] in (2, 4)
    colour = pixels[..., :-1] if has_alpha else pixels
    levels = ValueRange.of(colour, linear=linear)
    lr = _planes(levels.encode(colour))
    if not has_alpha:
        return levels.decode(_interleaved(_without_rings(_through(lr, run, on_progress), lr, levels)))
    opacity = ValueRange.of(pixels[..., :0])
    alpha = _planes(opacity.encode(pixels[..., -1:])).clamp_(0, 1)
    varies = bool((alpha != alpha[0, 0, 0]).any())
    bled = lr if premultiplied or not varies else transparency.bleed(lr, alpha)
    sr = _without_rings(_through(bled, run, part_of(on_progress, 0, 1 + varies)), bled, levels)
    if not varies:
        sr_alpha = alpha[:, :1, :1].expand(1, *sr.shape[1:])
    else:
        sr_alpha = _through(alpha, run, part_of(on_progress, 1, 2))
        sr_alpha = transparency.within_neighbourhood(sr_alpha, alpha)
        alpha_levels = opacity.decode(_interleaved(sr_alpha))
        if not premultiplied:
            sr = transparency.keep_hidden(sr, _planes(opacity.encode(alpha_levels)), lr)
    return np.concatenate([levels.decode(_interleaved(sr)), opacity.decode(_interleaved(sr_alpha))], axis=2)


def upscale_frames(
    frames: NDArray[Any], run: Run, *, on_progress: OnProgress | None = None
) -> NDArray[Any]:
    """Enlarges frames of an animation; one that equals that before it is taken from it.

    Args:
        frames: (N, H, W, C), see `upscale_pixels`.
        run: The network.
        on_progress: Told the share of the work done.

    Returns:
        (N, R, S, C).
    """
    larger: list[NDArray[Any]] = []
    for index, frame in enumerate(frames):
        if index and np.array_equal(frame, frames[index - 1]):
            larger.append(larger[-1])
        else:
            larger.append(upscale_pixels(frame, run, on_progress=part_of(on_progress, index, len(frames))))
    return np.stack(larger)


def upscale_pil(image: Any, run: Run, *, on_progress: OnProgress | None = None) -> Any:
    """Enlarges a PIL image; modes other than L, LA, RGB and RGBA become RGB or, with alpha, RGBA.

    Args:
        image: The image.
        run: The network.
        on_progress: Told the share of the work done.

    Returns:
        The larger image, with what its `info` holds.
    """
    from PIL import Image

    plain = {"L", "LA", "RGB", "RGBA"}
    has_alpha = image.mode in ("PA", "RGBa") or "transparency" in image.info
    source = image if image.mode in plain else image.convert("RGBA" if has_alpha else "RGB")
    pixels = np.asarray(source)
    result = upscale_pixels(pixels[..., None] if pixels.ndim == 2 else pixels, run, on_progress=on_progress)
    larger = Image.fromarray(result[..., 0] if source.mode == "L" else result)
    larger.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return larger


def _through(lr: Tensor, run: Run, on_progress: OnProgress | None) -> Tensor:
    """(1 or 3, H, W) → (1 or 3, R, S)."""
    sr = run(lr.expand(3, -1, -1)[None], on_progress)[0]
    if len(lr) == 3:
        return sr
    red, green, blue = sr[:1], sr[1:2], sr[2:]
    return red + ((green - red) + (blue - red)) / 3  # the mean; of three equal values exactly the value


def _without_rings(sr: Tensor, lr: Tensor, levels: ValueRange) -> Tensor:
    """Holds results near floating values above white between those of the 3×3 pixels they come from.

    A network rings by some percent of an edge's height: beside a sun, that is black or as bright as lamps.
    """
    white = 1 / levels.peak
    if not levels.depth.startswith("float") or lr.max() <= white:
        return sr
    radius = _RINGS_REACH
    bright = functional.max_pool2d(lr.amax(0)[None, None], 2 * radius + 1, stride=1, padding=radius)
    near = functional.interpolate(bright, size=tuple(sr.shape[-2:]), mode="nearest-exact")[0] > white
    return torch.where(near, transparency.within_neighbourhood(sr, lr), sr)


def _planes(values: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


def _interleaved(planes: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(planes.permute(1, 2, 0).numpy())
