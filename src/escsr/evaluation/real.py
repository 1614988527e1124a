"""Protocol `real`: models on real photos, of which no HR picture exists."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from escsr import images
from escsr.data.pictures import read_photo, read_sizes
from escsr.errors import ConfigError, DataError
from escsr.evaluation.bicubic import Bicubic
from escsr.evaluation.contenders import as_several
from escsr.evaluation.learnt import open_learnt
from escsr.evaluation.metrics import psnr, rgb_to_y
from escsr.evaluation.no_reference import NIQE_BLOCK, niqe, piqe
from escsr.evaluation.opening import Model, fitting_scale, open_model
from escsr.evaluation.pairs import to_tensor
from escsr.evaluation.protocols import Evaluation, Score, scores_until
from escsr.upscaling.super_resolver import SuperResolver, super_resolve
from escsr.upscaling.target_size import TargetSize

__all__ = ["colour_shift", "downscaled_psnr", "evaluate_real"]

_OWN = ("niqe", "piqe", "downscaled_psnr", "colour_shift")
_LOWER_IS_BETTER = ("niqe", "piqe", "colour_shift")


def evaluate_real(
    model: Model,
    folder: str | os.PathLike[str],
    *,
    scale: float | None = None,
    strength: float | None = None,
    device: str = "auto",
    metrics: str | Sequence[str] = (),
    stop: threading.Event | None = None,
    on_score: Callable[[Score], None] | None = None,
) -> Evaluation:
    """Measures a model on photos without HR: how natural the results look, and how faithful they are.

    Each photo is upscaled as it is, without padding, and its result rounded to 8 bits. Figures are niqe,
    piqe, downscaled_psnr and colour_shift, and those of `metrics`. None of them alone tells a good result:
    NIQE takes ringing for detail, and a model that invents nothing is the most faithful.

    Args:
        model: See `escsr.evaluation.opening.Model`.
        folder: Folder of photos, of any depth, with its subfolders; grey counts as R = G = B, opacity is
            dropped.
        scale: Scale r; None for the model's own.
        strength: Of model "real", see `UpscaleOptions`.
        device: Where to run a model given by name or file, and `metrics`.
        metrics: Measures of pyiqa beside these, one or several, as "musiq" or "maniqa"; they need the extra
            `pyiqa`.
        stop: See `evaluate`.
        on_score: Called after each photo.

    Returns:
        Figures by photo, named by its place in the folder, and their means.

    Raises:
        ConfigError: Scale or strength do not fit the model, or there is no such metric.
        DataError: The folder holds no photos, one cannot be read, is too small or nearly all flat.
        CheckpointError: The model cannot be loaded.
        DeviceError: There is no such device.

    Example:
        >>> evaluate_real("bicubic", "photos", scale=4).means["niqe"]  # doctest: +SKIP
        6.1
    """
    metrics = as_several(metrics)
    if repeated := {name for name in (*_OWN, *metrics) if (*_OWN, *metrics).count(name) > 1}:
        raise ConfigError(f"Metric {', '.join(sorted(repeated))}: measured already; leave it out.")
    resolver = open_model(model, scale=scale, strength=strength, device=device)
    scale = fitting_scale(resolver, scale)
    if isinstance(resolver, Bicubic):
        resolver = Bicubic("pillow")  # the only one for any pair of sizes
    paths = _large_enough(images.find_images(folder), scale)
    learnt = open_learnt(metrics, device=device)

    def measured() -> Iterator[Score]:
        for path in paths:
            photo = to_tensor(read_photo(path))
            try:
                result = _upscaled(resolver, photo, scale)
                figures = _figures(result, photo) | {measure.name: measure(result) for measure in learnt}
            except DataError as error:
                raise DataError(f"{path}: {error}") from error
            yield Score(path.relative_to(folder).as_posix(), figures)

    scores = scores_until(stop, measured(), on_score)
    lower = (*_LOWER_IS_BETTER, *(measure.name for measure in learnt if measure.lower_is_better))
    left = len(paths) - len(scores)
    return Evaluation("real", resolver.name, str(folder), scale, False, scores, lower, left)


def downscaled_psnr(result: Tensor, photo: Tensor) -> float:
    """Y-PSNR of a result, shrunk again, against what it was made of; dB, higher is more faithful.

    Shrunk by bicubic interpolation with antialiasing (Pillow's), not rounded.

    Args:
        result: (3, rH, rW), in [0, 255].
        photo: (3, H, W), in [0, 255].

    Example:
        >>> downscaled_psnr(torch.full((3, 8, 12), 40.0), torch.full((3, 4, 6), 41.0)) > 48
        True
    """
    size = photo.shape[-2:]
    luma = rgb_to_y(result)[None]
    return psnr(F.interpolate(luma, size=size, mode="bicubic", antialias=True)[0], rgb_to_y(photo))


def colour_shift(result: Tensor, photo: Tensor) -> float:
    """How far the mean colour moved: the largest of |mean(result) − mean(photo)| over R, G and B.

    Args:
        result: (3, rH, rW), in [0, 255].
        photo: (3, H, W), in [0, 255].

    Returns:
        In 255ths; 0 is best.

    Example:
        >>> colour_shift(torch.full((3, 8, 8), 40.0), torch.full((3, 4, 4), 42.0))
        2.0
    """
    means = (image.double().mean((-2, -1)) for image in (result, photo))
    return torch.sub(*means).abs().max().item()


def _large_enough(paths: Sequence[Path], scale: float) -> Sequence[Path]:
    """The photos as they are, none too small for NIQE, which is told before the first is upscaled."""
    for path, sides in zip(paths, read_sizes(paths).tolist(), strict=True):
        height, width = TargetSize(scale=scale).upscaled(*sides)
        if (height // NIQE_BLOCK) * (width // NIQE_BLOCK) < 2:
            raise DataError(
                f"{path}: too small to measure; {width}×{height} pixels at ×{scale:g}, and NIQE needs at "
                f"least {NIQE_BLOCK}×{2 * NIQE_BLOCK}. Take it out, or measure at a larger scale."
            )
    return paths


def _upscaled(model: SuperResolver, photo: Tensor, scale: float) -> Tensor:
    """uint8 (3, H, W) → (3, rH, rW), whole numbers in [0, 255]."""
    with torch.no_grad():
        size = TargetSize(scale=scale).upscaled(*photo.shape[-2:])
        return (super_resolve(model, photo[None].float() / 255, size)[0].clamp(0, 1) * 255).round()


def _figures(result: Tensor, photo: Tensor) -> dict[str, float]:
    return {
        "niqe": niqe(result),
        "piqe": piqe(result),
        "downscaled_psnr": downscaled_psnr(result, photo),
        "colour_shift": colour_shift(result, photo),
    }
