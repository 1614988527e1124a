"""One image or one file at a time, without an `Upscaler` of one's own."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from escsr import images
from escsr.models.selection import choose_model
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.upscaler import Upscaler

__all__ = ["upscale", "upscale_file"]


def upscale_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    *,
    options: UpscaleOptions | None = None,
    **settings: Any,
) -> Path:
    """Upscales one picture file into another; for several, use an `Upscaler` or `escsr.batch.upscale`.

    Args:
        source: The file.
        target: File to write; None for a name beside the source.
        options: See `UpscaleOptions`; None for the usual ones.
        settings: Options by name, in place of those in `options`: `scale=4`, `quality=90`.

    Returns:
        The file written; without a target "photo_x2.jpg" beside "photo.jpg".

    Raises:
        EscError: Model, device, source or target are not as they should be.
    """
    options = replace(options or UpscaleOptions(), **settings)
    scale = options.scale
    if options.target is not None:
        header = images.read_header(source)
        scale = options.target.scale_of(header.height, header.width)
    weights = choose_model(options.model, scale)
    return Upscaler(options=options, weights=weights).upscale_file(source, target)


def upscale(
    image: Any,
    *,
    scale: float | None = None,
    model: str | os.PathLike[str] | None = None,
    options: UpscaleOptions | None = None,
    **settings: Any,
) -> Any:
    """Upscales an image and returns it; for many calls, make an `Upscaler` once.

    Args:
        image: numpy array, tensor, PIL image, path, bytes of a file, or a list of these; see `Upscaler`.
        scale: Factor of both sides; None for that in `options`, or ×2, or the scale of the model named.
        model: "auto", "real" for noisy and compressed photos, a name from `list_models`, or a file of
            weights; None for that in `options`, or "auto".
        options: See `UpscaleOptions`; None for the usual ones.
        settings: Options by name, in place of those in `options`: `device="cuda"`, `size="1920x1080"`.

    Returns:
        An image of the same kind; for a path or bytes, a numpy array. Files are written by `upscale_file`.

    Raises:
        EscError: Image, model, device or an option are not as they should be.

    Example:
        >>> upscale(np.zeros((20, 30, 3), np.uint8), scale=4).shape
        (80, 120, 3)
    """
    if scale is not None:
        settings["scale"] = scale
    return Upscaler(model, options=options, **settings)(image)
