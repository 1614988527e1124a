"""Whatever a program calls an image: arrays, tensors, PIL images, files, their bytes, lists of these."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from escsr import images
from escsr.errors import ConfigError
from escsr.files import named_in_errors
from escsr.images import Picture
from escsr.runtime.progress import OnProgress, part_of
from escsr.upscaling.channels import Run, upscale_pil, upscale_pixels

__all__ = ["Kept", "upscale_any"]

_OVERSHOOT = 0.01
"""How far beyond [0, 1] opacity may be, as resizers leave it; it is clamped."""

Kept = Callable[[int, int], tuple[slice, slice]]
"""From rows and columns of an image to those of its upscaled form that are kept."""


def upscale_any(image: Any, run: Run, kept: Kept, on_progress: OnProgress | None = None) -> Any:
    """Upscales an image of any kind to the same kind; see `Upscaler` for the kinds.

    Args:
        image: The image, or a list of images.
        run: The network.
        kept: Which part of the result is wanted.
        on_progress: Takes the share of the work that is done.

    Returns:
        The larger image: for a file or its bytes an array in sRGB, of EXR and HDR of light as in
        the file; for a list a list.

    Raises:
        ConfigError: The image is of another kind, shape or type.
        ImageError: A file cannot be read.
    """
    if isinstance(image, (list, tuple)):
        reports = [part_of(on_progress, index, len(image)) for index in range(len(image))]
        return [upscale_any(each, run, kept, report) for each, report in zip(image, reports, strict=True)]
    if isinstance(image, (str, os.PathLike)):
        return _picture(images.read(image, to_srgb=True), run, kept, on_progress)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _picture(_decoded(image), run, kept, on_progress)
    if isinstance(image, Tensor):
        return _tensor(image, run, kept, on_progress)
    if isinstance(image, np.ndarray):
        _check_alpha(image)
        return _array(image, run, kept, on_progress)
    if _is_of_pil(image):
        larger = upscale_pil(image, run, on_progress=on_progress)
        rows, columns = kept(image.height, image.width)
        return larger.crop((columns.start, rows.start, columns.stop, rows.stop))
    raise ConfigError(
        "An image must be a numpy array, PIL image, tensor, path, bytes of a file, or a list of these, not "
        f"{type(image).__name__}."
    )


def _is_of_pil(image: object) -> bool:
    """Whether it is an image of PIL, or of a class derived from it; who has one has imported PIL."""
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(image, pil.Image)


def _check_alpha(image: NDArray[Any]) -> None:
    """Refuses an array whose opacity is no share, as in 0 ... 255; files may be as they like."""
    if image.ndim < 3 or image.shape[-1] not in (2, 4) or image.dtype.kind != "f" or not image.size:
        return
    alpha = image[..., -1]
    if not (alpha.min() >= -_OVERSHOOT and alpha.max() <= 1 + _OVERSHOOT):  # NaN is neither
        raise ConfigError(
            f"The alpha of floating pixels must be in [0, 1], not {alpha.min():g} to {alpha.max():g}: "
            "divide values up to 255 by 255."
        )


def _picture(picture: Picture, run: Run, kept: Kept, on_progress: OnProgress | None) -> NDArray[Any]:
    """The larger pixels of a decoded file, as `Upscaler.upscale_file` writes them."""
    values = {"linear": picture.linear, "premultiplied": picture.premultiplied}
    return _array(picture.pixels, run, kept, on_progress, **values)


def _array(
    image: NDArray[Any], run: Run, kept: Kept, on_progress: OnProgress | None, **values: bool
) -> NDArray[Any]:
    """(H, W), (H, W, C) or (N, H, W, C); float64 is computed in float32.

    Args:
        image: The pixels.
        run: The network.
        kept: Which part of the result is wanted.
        on_progress: Takes the share of the work that is done.
        values: Whether floating ones are `linear` and `premultiplied`, see `Picture`.
    """
    pixels = np.asarray(image)  # a matrix has no third dimension
    if pixels.ndim == 4 and len(pixels):
        frames = [
            _array(frame, run, kept, part_of(on_progress, index, len(pixels)))
            for index, frame in enumerate(pixels)
        ]
        return np.stack(frames)
    exact = pixels.astype(np.float32) if pixels.dtype.name == "float64" else pixels  # of any byte order
    larger = upscale_pixels(exact, run, **values, on_progress=on_progress)
    rows, columns = kept(*pixels.shape[:2])
    return larger[rows, columns].astype(pixels.dtype, copy=False)


def _tensor(image: Tensor, run: Run, kept: Kept, on_progress: OnProgress | None) -> Tensor:
    """(3, H, W) or (B, 3, H, W), floating in [0, 1] or uint8."""
    is_image = image.dim() in (3, 4) and image.shape[-3] == 3 and image.numel() > 0
    if not (is_image and (image.is_floating_point() or image.dtype == torch.uint8)):
        raise ConfigError(
            "A tensor must be (3, H, W) or (B, 3, H, W), floating in [0, 1] or uint8, not "
            f"{str(image.dtype).removeprefix('torch.')} {tuple(image.shape)}."
        )
    lr = image.detach().to("cpu", torch.float32)
    lr = lr if image.is_floating_point() else lr / 255
    low, high = (value.item() for value in lr.aminmax())
    if -math.inf < low < -1 or 2 < high < math.inf:
        raise ConfigError(
            f"A floating tensor must be in [0, 1], not {low:g} to {high:g}: divide values up to 255 by 255."
        )
    sr = run(lr if lr.dim() == 4 else lr[None], on_progress)
    rows, columns = kept(*image.shape[-2:])
    sr = sr[..., rows, columns]
    sr = sr if image.is_floating_point() else (sr * 255).round()
    return (sr if image.dim() == 4 else sr[0]).to(image.device, image.dtype)


def _decoded(content: bytes | bytearray | memoryview) -> Picture:
    with TemporaryDirectory(prefix="escsr-") as folder:
        path = Path(folder) / "image"
        path.write_bytes(content)
        with named_in_errors({str(path): "the bytes given"}):
            return images.read(path, to_srgb=True)
