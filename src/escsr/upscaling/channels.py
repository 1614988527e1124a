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
from escsr.images.colour import cmyk_as_srgb
from escsr.images.value_range import ValueRange
from escsr.runtime.progress import OnProgress, part_of
from escsr.upscaling import alpha as transparency

__all__ = ["Run", "upscale_frames", "upscale_pil", "upscale_pixels"]

_NUMBERS = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
"""Modes of PIL that hold one channel deeper than 8 bits."""

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
    """Upscales pixels of any depth and number of channels.

    Colours are bled under what is transparent before the network sees them; opacity is upscaled as a
    grey picture and stays within that of its neighbourhood; one of a single value stays one. A picture
    whose channels are equal is grey, and stays so.

    Args:
        pixels: (H, W), or (H, W, C) with C 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; of a type in
            `value_range.DEPTHS`.
        run: The network.
        linear: Whether floating values are proportional to light; see `ValueRange`.
        premultiplied: Whether colours are multiplied by alpha; they are then upscaled as they are.
        on_progress: Takes the share of the work that is done.

    Returns:
        (R, S) or (R, S, C) of the same type.

    Raises:
        ConfigError: Shape, type or values are others.
    """
    pixels = np.asarray(pixels)  # a matrix has no third dimension
    if pixels.ndim == 2:
        return upscale_pixels(pixels[..., None], run, linear=linear, on_progress=on_progress)[..., 0]
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or 0 in pixels.shape:
        raise ConfigError(f"An array must be (H, W) or (H, W, 1 to 4), not {pixels.shape}.")
    has_alpha = pixels.shape[2] in (2, 4)
    colour = pixels[..., :-1] if has_alpha else pixels
    if colour.shape[2] == 3 and (colour[..., :1] == colour[..., 1:]).all():  # NaN is unlike itself
        grey = np.concatenate((colour[..., :1], pixels[..., 3:]), axis=2)
        result = upscale_pixels(
            grey, run, linear=linear, premultiplied=premultiplied, on_progress=on_progress
        )
        return np.concatenate((np.repeat(result[..., :1], 3, axis=2), result[..., 1:]), axis=2)
    value_range = ValueRange.of(colour, linear=linear)
    lr = _planes(value_range.encode(colour))
    if not has_alpha:
        return _decoded(_without_rings(_through(lr, run, on_progress), lr, value_range), value_range)
    alpha_range = ValueRange.of(pixels[..., :0])
    lr_alpha = _planes(alpha_range.encode(pixels[..., -1:])).clamp_(0, 1)
    if (lr_alpha == lr_alpha[0, 0, 0]).all():
        sr = _without_rings(_through(lr, run, on_progress), lr, value_range)
        alpha = _decoded(lr_alpha[:, :1, :1].expand(1, *sr.shape[1:]), alpha_range)
    else:
        shown = lr if premultiplied else transparency.bleed(lr, lr_alpha)
        sr = _without_rings(_through(shown, run, part_of(on_progress, 0, 2)), shown, value_range)
        sr_alpha = _through(lr_alpha, run, part_of(on_progress, 1, 2))
        alpha = _decoded(transparency.within_neighbourhood(sr_alpha, lr_alpha), alpha_range)
        if not premultiplied:
            sr = transparency.keep_hidden(sr, _planes(alpha.astype(np.float32)), lr)
    return np.concatenate([_decoded(sr, value_range), alpha], axis=2)


def upscale_frames(
    frames: NDArray[Any], run: Run, *, on_progress: OnProgress | None = None
) -> NDArray[Any]:
    """Upscales frames of an animation; one that equals that before it is taken from it.

    Args:
        frames: (N, H, W, C), see `upscale_pixels`.
        run: The network.
        on_progress: Takes the share of the work that is done.

    Returns:
        (N, R, S, C).
    """
    larger: list[NDArray[Any]] = []
    for index, frame in enumerate(frames):
        is_same = index > 0 and np.array_equal(frame, frames[index - 1])
        report = part_of(on_progress, index, len(frames))
        larger.append(larger[-1] if is_same else upscale_pixels(frame, run, on_progress=report))
    return np.stack(larger)


def upscale_pil(image: Any, run: Run, *, on_progress: OnProgress | None = None) -> Any:
    """Upscales a PIL image; of a mode without a counterpart among arrays, in RGB or RGBA.

    Args:
        image: L, LA, RGB and RGBA stay so; so do I;16, I of values from 0 to 65535, and F. Premultiplied
            modes become LA and RGBA, and so does a colour declared transparent. CMYK becomes sRGB
            through its profile, or a usual one. All others become RGB or, with alpha, RGBA.
        run: The network.
        on_progress: Takes the share of the work that is done.

    Returns:
        The larger image, with what its `info` holds.

    Raises:
        ConfigError: It is empty, or holds values that would be lost.
    """
    from PIL import Image

    if 0 in image.size:
        raise ConfigError("The picture has no pixels.")
    info = dict(image.info)
    keyed = info.pop("transparency", None) is not None
    if image.mode == "CMYK":
        pixels, info["icc_profile"] = cmyk_as_srgb(np.asarray(image), info.get("icc_profile"))
    elif image.mode in _NUMBERS:
        pixels = np.asarray(image)
        if keyed or (image.mode == "I" and not 0 <= pixels.min() <= pixels.max() <= 65535):
            raise ConfigError(
                f"A PIL image of mode {image.mode} may have values from 0 to 65535 and no transparent one; "
                "pass an array of float32, or convert it to LA or RGBA."
            )
        pixels = pixels if image.mode == "F" else pixels.astype(np.uint16)
    else:
        has_alpha = keyed or image.mode in ("La", "LA", "PA", "RGBa", "RGBA")
        plain = "L" if image.mode in ("L", "La", "LA") else "RGB"
        pixels = np.asarray(image.convert(plain + "A" * has_alpha))
    result = upscale_pixels(pixels, run, on_progress=on_progress)
    larger = Image.fromarray(result.astype(np.int32) if image.mode == "I" else result)
    larger.info = info
    return larger


def _through(lr: Tensor, run: Run, on_progress: OnProgress | None) -> Tensor:
    """(1 or 3, H, W) → (1 or 3, R, S)."""
    sr = run(lr.expand(3, -1, -1)[None], on_progress)[0]
    if len(lr) == 3:
        return sr
    red, green, blue = sr[:1], sr[1:2], sr[2:]
    return red + ((green - red) + (blue - red)) / 3  # the mean; of three equal values exactly the value


def _without_rings(sr: Tensor, lr: Tensor, value_range: ValueRange) -> Tensor:
    """Holds results near floating values above white between those of the 3×3 pixels they come from.

    A network rings by some percent of an edge's height: beside a sun, that is black or as bright as lamps.
    """
    white = 1 / value_range.peak
    if not value_range.depth.startswith("float") or lr.max() <= white:
        return sr
    radius = _RINGS_REACH
    bright = functional.max_pool2d(lr.amax(0)[None, None], 2 * radius + 1, stride=1, padding=radius)
    near = functional.interpolate(bright, size=tuple(sr.shape[-2:]), mode="nearest-exact")[0] > white
    return torch.where(near, transparency.within_neighbourhood(sr, lr), sr)


def _planes(values: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


def _decoded(planes: Tensor, value_range: ValueRange) -> NDArray[Any]:
    return value_range.decode(np.ascontiguousarray(planes.permute(1, 2, 0).numpy()))
