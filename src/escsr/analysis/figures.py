"""Analyses as figures, like the paper's Figs. 2, 6 and 7; requires the extra `plots`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from escsr.analysis.cka import Similarity
from escsr.analysis.erf import ReceptiveField
from escsr.analysis.features import FeatureMaps
from escsr.analysis.lam import Attribution, area_of_contribution
from escsr.errors import ConfigError
from escsr.runtime.extras import install_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "STYLE",
    "draw_attributions",
    "draw_feature_maps",
    "draw_receptive_fields",
    "draw_similarity",
    "require_matplotlib",
]

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "svg.hashsalt": "escsr",  # the same names at every drawing
    "svg.fonttype": "none",  # text stays text
}
_SIDE = 1.7
"""Of a picture in a figure, inches."""


def require_matplotlib() -> None:
    """Refuses to draw where matplotlib is missing.

    Raises:
        ConfigError: It is; with the line that installs it.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"Figures require matplotlib: {install_line('plots')} (or write .npz, arrays alone)."
        ) from error


def draw_similarity(result: Similarity) -> Figure:
    """A matrix of CKA, and that of cosines beside it where it was measured.

    Args:
        result: From `similarity`.

    Returns:
        A figure of matplotlib.
    """
    tables = {f"CKA, {result.estimator}, mean {result.mean(result.cka):.3f}": result.cka}
    if result.cosine is not None:
        tables[f"cosine, mean {result.mean(result.cosine):.3f}"] = result.cosine
    rows, columns = (_short(each) for each in (result.rows, result.columns))
    figure, axes = _grid(
        1, len(tables), max(2.8, 0.16 * len(rows) + 1.6), max(3.2, 0.16 * len(columns) + 2)
    )
    for axis, (title, values) in zip(axes[0], tables.items(), strict=True):
        shown = axis.imshow(values.numpy(), cmap="viridis", vmin=0, vmax=1)
        axis.set_title(title)
        axis.set_xticks(range(len(columns)), columns, rotation=90, fontsize=6)
        axis.set_yticks(range(len(rows)), rows, fontsize=6)
        figure.colorbar(shown, ax=axis, shrink=0.8)
        if len(rows) * len(columns) <= 64:
            for (row, column), value in np.ndenumerate(values.numpy()):
                colour = "black" if value > 0.6 else "white"
                axis.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=6)
    figure.suptitle(
        f"{result.pictures} pictures, floor for independent features {result.mean(result.floor):.3f}",
        fontsize=8,
    )
    return figure


def draw_attributions(lr: Tensor, found: Sequence[tuple[str, Attribution]]) -> Figure:
    """For each model the map of attributions and the area of contribution, over the input.

    Args:
        lr: (1, 3, H, W) in [0, 1], the input of all.
        found: Names of models and what `attribute` gave for them.

    Returns:
        A figure of matplotlib.
    """
    picture, (height, width) = _pixels(lr[0]), lr.shape[-2:]
    figure, axes = _grid(2, 1 + len(found), _SIDE * height / max(height, width) + 0.3, _SIDE)
    _, first = found[0]
    _show(axes[0, 0], picture, "input, with the window")
    _mark(axes[0, 0], first, width)
    _show(axes[1, 0], _pixels(first.result)[first.window.slices], "the window in the first result")
    grey = picture.mean(-1, keepdims=True).repeat(3, -1) * 0.5 + 0.5
    for column, (name, attribution) in enumerate(found, 1):
        _show(axes[0, column], grey, f"{name}\nDI {attribution.diffusion_index:.2f}")
        magnitude = attribution.map.numpy()
        axes[0, column].imshow(magnitude, cmap="Reds", vmin=0, vmax=1, alpha=np.minimum(1, 10 * magnitude))
        _show(axes[1, column], grey, "area of contribution")
        axes[1, column].imshow(area_of_contribution(attribution.map).numpy(), cmap="Reds", alpha=0.6)
        _mark(axes[1, column], attribution, width)
    return figure


def draw_receptive_fields(fields: Sequence[ReceptiveField]) -> Figure:
    """Effective receptive fields side by side.

    Args:
        fields: From `receptive_field`.

    Returns:
        A figure of matplotlib.
    """
    figure, axes = _grid(1, len(fields), _SIDE + 0.9, _SIDE)
    for axis, field in zip(axes[0], fields, strict=True):
        rows, columns = field.map.shape
        half, all_but = (100 * field.areas[share] for share in (0.5, 0.99))
        _show(axis, np.sqrt(field.map.numpy()), field.model)
        shares = f"50 % in {half:.1f} %, 99 % in {all_but:.1f} %"
        axis.set_xlabel(f"{shares}\nof {columns}×{rows} pixels\n(square root of the map)", fontsize=6)
    return figure


def draw_feature_maps(lr: Tensor, found: Sequence[FeatureMaps]) -> Figure:
    """For each model the input and its feature maps, means over all ConvAttns.

    Args:
        lr: (1, 3, H, W) in [0, 1], the input of all.
        found: From `feature_maps`.

    Returns:
        A figure of matplotlib.
    """
    kinds = list(found[0].maps)
    height, width = lr.shape[-2:]
    figure, axes = _grid(len(found), 1 + len(kinds), _SIDE * height / max(height, width) + 0.3, _SIDE)
    for row, maps in enumerate(found):
        _show(axes[row, 0], _pixels(lr[0]), maps.model)
        for column, kind in enumerate(kinds, 1):
            _show(axes[row, column], maps.mean(kind).numpy(), kind)
    return figure


def _grid(rows: int, columns: int, height: float, width: float) -> tuple[Figure, NDArray[Any]]:
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _show(axis: Axes, values: NDArray[Any], title: str) -> None:
    if values.ndim == 2:  # a few values, at borders for the most part, would leave the others no contrast
        low, high = np.percentile(values, (1, 99.5))
        axis.imshow(values, cmap="viridis", vmin=low, vmax=max(high, low + 1e-12), interpolation="nearest")
    else:
        axis.imshow(values, interpolation="nearest")
    axis.set_title(title, fontsize=8)
    axis.set_xticks([])
    axis.set_yticks([])


def _mark(axis: Axes, attribution: Attribution, width: int) -> None:
    """A frame where the window of the result lies in the input."""
    from matplotlib.patches import Rectangle

    window, scale = attribution.window, attribution.result.shape[-1] / width
    corner = window.x / scale - 0.5, window.y / scale - 0.5
    frame = Rectangle(corner, window.width / scale, window.height / scale, fill=False, edgecolor="#0a7d33")
    axis.add_patch(frame)


def _pixels(image: Tensor) -> NDArray[Any]:
    return image.clamp(0, 1).permute(1, 2, 0).numpy()


def _short(labels: Sequence[str]) -> list[str]:
    """Without the model's name where it is the same for all."""
    models = {label.partition(": ")[0] for label in labels}
    return [label.partition(": ")[2] if len(models) == 1 else label for label in labels]
