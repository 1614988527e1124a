"""Centered kernel alignment: how similar the features of two layers are over a set of pictures.

Kornblith et al., ICML 2019 (biased); Nguyen et al., ICLR 2021 (unbiased, over minibatches); ESC, ICCV 2025,
Figs. 2 and 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from escsr.analysis.differentiable import DifferentiableModel
from escsr.analysis.observing import matching, observing
from escsr.errors import ConfigError
from escsr.runtime.choices import CkaEstimator, check_choice
from escsr.runtime.progress import OnProgress

__all__ = [
    "LayerGrams",
    "Similarity",
    "check_estimator",
    "cosine_similarity",
    "floor",
    "gram",
    "hsic",
    "layer_grams",
    "linear_cka",
    "similarity",
]

_LEAST = {"biased": 2, "unbiased": 4}
_COLUMNS = 1 << 16
"""Features that are in float64 at a time."""


def gram(features: Tensor) -> Tensor:
    """K = XXᵀ, in float64: sums of a million products lose three digits in float32.

    Args:
        features: (n, ...), one row for each picture.

    Returns:
        (n, n), float64.
    """
    rows = features.detach().flatten(1)
    total = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    for part in torch.split(rows, _COLUMNS, dim=1):
        columns = part.cpu().double()
        total += columns @ columns.T
    return total


def hsic(k: Tensor, l: Tensor, estimator: CkaEstimator = "biased") -> Tensor:  # noqa: E741
    """Hilbert–Schmidt independence criterion of two Gram matrices, up to a constant factor.

    Args:
        k: (..., n, n).
        l: (..., n, n).
        estimator: See `CkaEstimator`; unbiased for n ≥ 4.

    Returns:
        (...): Σ (HKH) ⊙ (HLH) with H = I − 11ᵀ/n, or HSIC₁ of Nguyen et al., Eq. 3.
    """
    n = k.shape[-1]
    if estimator == "biased":
        return (_centered(k) * _centered(l)).sum((-2, -1))
    off = 1 - torch.eye(n, dtype=k.dtype, device=k.device)
    k, l = k * off, l * off  # noqa: E741
    trace = (k * l.transpose(-2, -1)).sum((-2, -1))
    sums = k.sum((-2, -1)) * l.sum((-2, -1)) / ((n - 1) * (n - 2))
    cross = (k.sum(-2) * l.sum(-1)).sum(-1) * 2 / (n - 2)
    return (trace + sums - cross) / (n * (n - 3))


def linear_cka(k: Tensor, l: Tensor, estimator: CkaEstimator = "biased") -> Tensor:  # noqa: E741
    """CKA = HSIC(K, L) / √(HSIC(K, K) · HSIC(L, L)), each term a mean over minibatches.

    Args:
        k: (batches, n, n), from `gram`.
        l: The same of other features of the same pictures.
        estimator: See `CkaEstimator`.

    Returns:
        A number, 1 for features that are equal up to rotation and scale.
    """
    cross, own, other = (hsic(*pair, estimator).mean(0) for pair in ((k, l), (k, k), (l, l)))
    return cross / (own * other).sqrt()


def floor(k: Tensor, l: Tensor) -> Tensor:  # noqa: E741
    """What biased CKA comes to, on average, for features that have nothing to do with each other.

    The mean over all ways to shuffle the pictures of one side: tr(HKH)·tr(HLH) / ((n − 1)·|HKH|·|HLH|). For
    n pictures with p independent features of equal variance it is p / (n + p).

    Args:
        k: (batches, n, n), from `gram`.
        l: The same of other features.

    Returns:
        A number.
    """
    k, l = _centered(k), _centered(l)  # noqa: E741
    traces = (k.diagonal(dim1=-2, dim2=-1).sum(-1) * l.diagonal(dim1=-2, dim2=-1).sum(-1)).mean(0)
    norms = (k.square().sum((-2, -1)).mean(0) * l.square().sum((-2, -1)).mean(0)).sqrt()
    return traces / ((k.shape[-1] - 1) * norms)


def _centered(k: Tensor) -> Tensor:
    k = k - k.mean(-1, keepdim=True)
    return k - k.mean(-2, keepdim=True)


@dataclass(frozen=True)
class LayerGrams:
    """Gram matrices of the layers of a model.

    Attributes:
        model: What figures call it.
        layers: Names of the modules, in the order in which they compute.
        grams: (layers, batches, n, n), float64.
    """

    model: str
    layers: tuple[str, ...]
    grams: Tensor


@torch.no_grad()
def layer_grams(
    model: DifferentiableModel,
    inputs: Tensor,
    layers: str,
    *,
    batch_size: int | None = None,
    on_progress: OnProgress | None = None,
) -> LayerGrams:
    """Runs a model and keeps of its features their Gram matrices alone.

    Args:
        model: The model.
        inputs: (N, 3, H, W) in [0, 1].
        layers: See `observing`.
        batch_size: Pictures of a Gram matrix, which are computed at once; None for all. Those that do not
            fill the last batch are left out.
        on_progress: Called with the share of the work done, in [0, 1].

    Returns:
        The matrices.

    Raises:
        ConfigError: There is no such layer, or fewer pictures than a batch.
    """
    size = len(inputs) if batch_size is None else batch_size
    if not 2 <= size <= len(inputs):
        raise ConfigError(
            f"CKA over batches of {size} needs as many pictures, 2 at least; it got {len(inputs)}."
        )
    batches = list(torch.split(inputs[: len(inputs) // size * size], size))
    found: list[tuple[str, Tensor]] = []
    expected = len(batches) * (1 if layers == "attention-maps" else len(matching(model.module, layers)))

    def observe(name: str, features: Tensor) -> None:
        found.append((name, gram(features)))
        if on_progress is not None:
            on_progress(min(1.0, len(found) / expected))

    with model.evaluating(), observing(model.module, layers, observe):
        for batch in batches:
            model(batch)
    count = len(found) // len(batches)
    grams = torch.stack([each for _, each in found]).reshape(len(batches), count, size, size)
    return LayerGrams(model.name, tuple(name for name, _ in found[:count]), grams.transpose(0, 1))


@dataclass(frozen=True)
class Similarity:
    """How similar layers are.

    Attributes:
        rows: Model and layer of each row.
        columns: Model and layer of each column.
        cka: (rows, columns).
        floor: (rows, columns), see `floor`; zero for the unbiased estimator.
        estimator: See `CkaEstimator`.
        pictures: Pictures used.
        batch_size: Pictures at once.
        cosine: (rows, columns), see `cosine_similarity`; None where it was not asked for.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cka: Tensor
    floor: Tensor
    estimator: CkaEstimator
    pictures: int
    batch_size: int
    cosine: Tensor | None = None

    @property
    def is_within(self) -> bool:
        """Whether rows and columns are the same layers."""
        return self.rows == self.columns

    def mean(self, values: Tensor) -> float:
        """Mean of a matrix, without the diagonal where rows and columns are the same layers."""
        kept = ~torch.eye(len(values), dtype=torch.bool) if self.is_within else torch.ones_like(values) > 0
        return float(values[kept].nanmean()) if kept.any() else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        cosine = {} if self.cosine is None else {"mean_cosine": self.mean(self.cosine)}
        return {
            "estimator": self.estimator,
            "pictures": self.pictures,
            "batch_size": self.batch_size,
            "mean_cka": self.mean(self.cka),
            "mean_floor": self.mean(self.floor),
            **cosine,
            "rows": self.rows,
            "columns": self.columns,
            "cka": [[round(value, 4) for value in row] for row in self.cka.tolist()],
        }


def similarity(first: LayerGrams, second: LayerGrams, estimator: CkaEstimator = "biased") -> Similarity:
    """CKA of every layer of a model with every layer of it or of another.

    Args:
        first: From `layer_grams`: the rows.
        second: The same pictures in the same batches: the columns.
        estimator: See `CkaEstimator`.

    Returns:
        The matrix.

    Raises:
        ConfigError: There is no such estimator, or it needs more pictures at once.
    """
    batches, size = first.grams.shape[1:3]
    check_estimator(estimator, size)
    cka = _table(first, second, lambda k, l: linear_cka(k, l, estimator))  # noqa: E741
    floors = _table(first, second, floor) if estimator == "biased" else torch.zeros_like(cka)
    rows, columns = ([f"{each.model}: {name}" for name in each.layers] for each in (first, second))
    return Similarity(tuple(rows), tuple(columns), cka, floors, estimator, batches * size, size)


def check_estimator(estimator: CkaEstimator, batch_size: int) -> None:
    """Refuses what `similarity` would, before the work on the pictures.

    Args:
        estimator: See `CkaEstimator`.
        batch_size: Pictures at once.

    Raises:
        ConfigError: There is no such estimator, or it needs more pictures at once.
    """
    check_choice("estimator", estimator, CkaEstimator)
    least = _LEAST[estimator]
    if batch_size < least:
        raise ConfigError(
            f"The {estimator} estimator needs {least} pictures or more at once, not {batch_size}."
        )


def _table(first: LayerGrams, second: LayerGrams, measure: Any) -> Tensor:
    return torch.stack([torch.stack([measure(k, l) for l in second.grams]) for k in first.grams])  # noqa: E741


@torch.no_grad()
def cosine_similarity(model: DifferentiableModel, inputs: Tensor, layers: str) -> Tensor:
    """Cosine of the angle between the features of two layers, a mean over pictures.

    Args:
        model: The model.
        inputs: (N, 3, H, W) in [0, 1].
        layers: See `observing`.

    Returns:
        (layers, layers); nan for layers whose features have different shapes.

    Raises:
        ConfigError: There is no such layer.
    """
    total: Tensor | float = 0.0
    for lr in torch.split(inputs, 1):
        found: list[Tensor] = []
        with model.evaluating(), observing(model.module, layers, lambda _, x: found.append(x.flatten())):  # noqa: B023
            model(lr)
        total = total + torch.tensor([[_cosine(a, b) for b in found] for a in found], dtype=torch.float64)
    return torch.as_tensor(total) / len(inputs)


def _cosine(a: Tensor, b: Tensor) -> float:
    return float(F.cosine_similarity(a, b, dim=0)) if a.shape == b.shape else float("nan")
