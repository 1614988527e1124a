"""`escsr analyse`: from pictures and models to figures and arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from escsr.analysis import figures
from escsr.analysis.cka import Similarity, check_estimator, cosine_similarity, layer_grams, similarity
from escsr.analysis.differentiable import DEFAULT_SCALE, AnyModel, DifferentiableModel, open_models
from escsr.analysis.erf import ReceptiveField, receptive_field
from escsr.analysis.features import FeatureMaps, feature_maps
from escsr.analysis.inputs import read_batch, read_input
from escsr.analysis.lam import Attribution, area_of_contribution, attribute
from escsr.analysis.outputs import Outputs, check_outputs, write_outputs
from escsr.errors import ConfigError
from escsr.evaluation.contenders import as_several
from escsr.evaluation.crops import Crop, parse_crop
from escsr.runtime.choices import CkaEstimator, LamRule, Resizer
from escsr.runtime.memory import out_of_memory_told
from escsr.runtime.progress import OnProgress, part_of

__all__ = ["analyse_cka", "analyse_erf", "analyse_features", "analyse_lam"]

_WINDOW = 16
_BATCH_SIZE = 10


@out_of_memory_told("give a smaller side, or fewer pictures at once")
def analyse_cka(
    pictures: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: Outputs = (),
    *,
    model: AnyModel | Sequence[AnyModel] = (),
    layers: str = "conv-attn",
    estimator: CkaEstimator = "biased",
    batch_size: int | None = None,
    cosine: bool = False,
    shrink: Resizer | None = None,
    side: int | None = None,
    max_images: int | None = None,
    scale: float | None = None,
    device: str = "auto",
    on_progress: OnProgress | None = None,
) -> Similarity:
    """Measures how similar the layers of a model are to each other, or to those of another model.

    Args:
        pictures: Files, and folders with all in them; they are cut to one size, see `read_batch`.
        output: Files to write, ending in .png, .svg or .npz.
        model: One model, or two to compare, see `AnyModel`; none for that of "auto".
        layers: "attention-maps", "attention", "conv-attn", or a pattern of module names, see `observing`.
        estimator: "biased" takes all pictures at once, whose features must fit into memory; "unbiased" is
            averaged over minibatches. See `CkaEstimator`.
        batch_size: Pictures at once for "unbiased", 4 or more; None for 10.
        cosine: Measure the cosine of features as well, of one model only: the work a second time.
        shrink: The pictures are originals, and are made smaller by this resizer; None for inputs.
        side: Of the squares taken from the middle, input pixels; None for all that the pictures share.
        max_images: Take at most so many pictures, spread over all.
        scale: See `as_differentiable`.
        device: Where models that are loaded compute.
        on_progress: Called with the share of the work done.

    Returns:
        The matrix of similarities.

    Raises:
        ConfigError: A setting is impossible, a layer does not exist, or matplotlib is missing.
        DataError: There is no such folder, or no picture in it.
        ImageError: A picture cannot be read.
        ModelNotFoundError: There is no such model.
        CheckpointError: A model cannot be loaded.
        OutputError: A file cannot be written.
        DeviceError: There is no such device.

    Example:
        >>> analyse_cka(["Set5/HR"], "cka.png", shrink="matlab-bicubic")  # doctest: +SKIP
    """
    pictures = as_several(pictures)
    paths = check_outputs(output, *pictures)
    models = open_models(model, scale=scale, device=device)
    if estimator == "biased" and batch_size is not None:
        raise ConfigError("batch_size is for the unbiased estimator; the biased one takes all at once.")
    if len(models) > 2:
        raise ConfigError(f"CKA is measured within a model or between two, not {len(models)}.")
    if cosine and len(models) > 1:
        raise ConfigError("cosine is measured within one model: layers of others have other axes.")
    inputs = _batch(models, pictures, shrink=shrink, side=side, max_images=max_images)
    size = None if estimator == "biased" else _BATCH_SIZE if batch_size is None else batch_size
    check_estimator(estimator, len(inputs) if size is None else size)
    grams = [
        layer_grams(
            each, inputs, layers, batch_size=size, on_progress=part_of(on_progress, index, len(models))
        )
        for index, each in enumerate(models)
    ]
    result = similarity(grams[0], grams[-1], estimator)
    if cosine:
        result = replace(result, cosine=cosine_similarity(models[0], inputs, layers))
    arrays: dict[str, Any] = {
        "rows": np.array(result.rows),
        "columns": np.array(result.columns),
        "cka": result.cka,
    }
    arrays |= {"floor": result.floor, "row_grams": grams[0].grams, "column_grams": grams[-1].grams}
    arrays |= {} if result.cosine is None else {"cosine": result.cosine}
    write_outputs(paths, lambda: figures.draw_similarity(result), arrays)
    return result


@out_of_memory_told("choose a part of the picture by crop")
def analyse_lam(
    picture: str | os.PathLike[str],
    output: Outputs = (),
    *,
    model: AnyModel | Sequence[AnyModel] = (),
    window: str | None = None,
    rule: LamRule = "midpoint",
    steps: int | None = None,
    shrink: Resizer | None = None,
    crop: str | None = None,
    scale: float | None = None,
    device: str = "auto",
    on_progress: OnProgress | None = None,
) -> dict[str, Attribution]:
    """Shows which input pixels several models use for one part of their results.

    Args:
        picture: The file.
        output: Files to write, ending in .png, .svg or .npz.
        model: The models, see `AnyModel`, all of one scale; none for that of "auto".
        window: The part of the result to explain, "X,Y,W,H" in its pixels; None for the middle 16×16.
        rule: See `LamRule`.
        steps: Of the path; None for 10 with "midpoint" and 50 with "right".
        shrink: The picture is an original, and is made smaller by this resizer; None for an input.
        crop: Part of the input to take, "X,Y,W,H"; None for all of it.
        scale: See `as_differentiable`.
        device: Where models that are loaded compute.
        on_progress: Called with the share of the work done.

    Returns:
        By name of the model, what it used, with the diffusion index.

    Raises:
        ConfigError: A setting is impossible, results have no gradient, or matplotlib is missing.
        ImageError: The picture cannot be read.
        ModelNotFoundError: There is no such model.
        CheckpointError: A model cannot be loaded.
        OutputError: A file cannot be written.
        DeviceError: There is no such device.

    Example:
        >>> analyse_lam("photo.png", "lam.png", model=["esc-light-x2", "esc-x2"])  # doctest: +SKIP
    """
    paths = check_outputs(output, picture)
    models = open_models(model, scale=scale, device=device)
    lr = read_input(picture, scale=_common_scale(models, shrink), shrink=shrink, crop=crop)
    found: dict[str, Attribution] = {}
    for index, each in enumerate(models):
        rows, columns = each.result_size(lr)
        place = (
            _middle_window(rows, columns)
            if window is None
            else parse_crop(window, rows, columns, name="window")
        )
        report = part_of(on_progress, index, len(models))
        found[each.name] = attribute(each, lr, place, rule=rule, steps=steps, on_progress=report)
    arrays: dict[str, Any] = {"input": lr[0], "models": np.array(list(found))}
    for index, attribution in enumerate(found.values()):
        arrays |= {f"attribution_{index}": attribution.values, f"map_{index}": attribution.map}
        arrays[f"area_{index}"] = area_of_contribution(attribution.map)
    arrays["diffusion_index"] = np.array([each.diffusion_index for each in found.values()])
    write_outputs(paths, lambda: figures.draw_attributions(lr, list(found.items())), arrays)
    return found


@out_of_memory_told("give a smaller side")
def analyse_erf(
    pictures: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: Outputs = (),
    *,
    model: AnyModel | Sequence[AnyModel] = (),
    shrink: Resizer | None = None,
    side: int | None = None,
    max_images: int | None = None,
    scale: float | None = None,
    device: str = "auto",
    on_progress: OnProgress | None = None,
) -> dict[str, ReceptiveField]:
    """Measures how far around a pixel the input changes the results of several models.

    Args:
        pictures: Files, and folders with all in them; they are cut to one size, see `read_batch`.
        output: Files to write, ending in .png, .svg or .npz.
        model: The models, see `AnyModel`; none for that of "auto".
        shrink: The pictures are originals, and are made smaller by this resizer; None for inputs.
        side: Of the squares taken from the middle, input pixels; None for all that the pictures share.
        max_images: Take at most so many pictures, spread over all.
        scale: See `as_differentiable`.
        device: Where models that are loaded compute.
        on_progress: Called with the share of the work done.

    Returns:
        By name of the model, its field.

    Raises:
        ConfigError: A setting is impossible, results have no gradient, or matplotlib is missing.
        DataError: There is no such folder, or no picture in it.
        ImageError: A picture cannot be read.
        ModelNotFoundError: There is no such model.
        CheckpointError: A model cannot be loaded.
        OutputError: A file cannot be written.
        DeviceError: There is no such device.
    """
    pictures = as_several(pictures)
    paths = check_outputs(output, *pictures)
    models = open_models(model, scale=scale, device=device)
    inputs = _batch(models, pictures, shrink=shrink, side=side, max_images=max_images)
    fields = {
        each.name: receptive_field(each, inputs, on_progress=part_of(on_progress, index, len(models)))
        for index, each in enumerate(models)
    }
    arrays: dict[str, Any] = {"models": np.array(list(fields))}
    arrays |= {f"map_{index}": field.map for index, field in enumerate(fields.values())}
    write_outputs(paths, lambda: figures.draw_receptive_fields(list(fields.values())), arrays)
    return fields


@out_of_memory_told("choose a part of the picture by crop")
def analyse_features(
    picture: str | os.PathLike[str],
    output: Outputs = (),
    *,
    model: AnyModel | Sequence[AnyModel] = (),
    shrink: Resizer | None = None,
    crop: str | None = None,
    scale: float | None = None,
    device: str = "auto",
) -> dict[str, FeatureMaps]:
    """Shows what the kernels of ConvAttn make of a picture in several models.

    Args:
        picture: The file.
        output: Files to write, ending in .png, .svg or .npz.
        model: Models of this family, see `AnyModel`; none for that of "auto".
        shrink: The picture is an original, and is made smaller by this resizer; None for an input.
        crop: Part of the input to take, "X,Y,W,H"; None for all of it.
        scale: See `as_differentiable`.
        device: Where models that are loaded compute.

    Returns:
        By name of the model, its feature maps.

    Raises:
        ConfigError: A setting is impossible, a model has no ConvAttn, or matplotlib is missing.
        ImageError: The picture cannot be read.
        ModelNotFoundError: There is no such model.
        CheckpointError: A model cannot be loaded.
        OutputError: A file cannot be written.
        DeviceError: There is no such device.
    """
    paths = check_outputs(output, picture)
    models = open_models(model, scale=scale, device=device)
    lr = read_input(picture, scale=_common_scale(models, shrink), shrink=shrink, crop=crop)
    found = {each.name: feature_maps(each, lr) for each in models}
    arrays: dict[str, Any] = {"input": lr[0], "models": np.array(list(found))}
    for index, maps in enumerate(found.values()):
        arrays[f"layers_{index}"] = np.array(maps.layers)
        arrays |= {f"{kind.replace(' + ', '_')}_{index}": value for kind, value in maps.maps.items()}
    write_outputs(paths, lambda: figures.draw_feature_maps(lr, list(found.values())), arrays)
    return found


def _common_scale(models: Sequence[DifferentiableModel], shrink: Resizer | None) -> float:
    """That of all models; it matters for originals alone."""
    scales = {each.scale for each in models if each.scale is not None}
    if shrink is not None and len(scales) != 1:
        found = "; ".join(f"{each.name}: {each.scale or 'unknown'}" for each in models)
        raise ConfigError(f"Originals are shrunk by the scale that all models have; they have {found}.")
    return scales.pop() if scales else DEFAULT_SCALE


def _batch(
    models: Sequence[DifferentiableModel],
    pictures: Sequence[str | os.PathLike[str]],
    *,
    shrink: Resizer | None,
    side: int | None,
    max_images: int | None,
) -> Tensor:
    scale = _common_scale(models, shrink)
    return read_batch(
        [Path(each) for each in pictures], scale=scale, shrink=shrink, side=side, max_images=max_images
    )


def _middle_window(rows: int, columns: int) -> Crop:
    height, width = min(_WINDOW, rows - 1), min(_WINDOW, columns - 1)
    return Crop((columns - width) // 2, (rows - height) // 2, width, height)
