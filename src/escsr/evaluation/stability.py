"""How a model takes images that no test set holds: range of its activations, constants, borders.

The images are synthetic, so that the figures of two models, or of two machines, are comparable.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from escsr.networks import ESC
from escsr.upscaling.inference import Inference
from escsr.upscaling.super_resolver import SuperResolver

__all__ = ["BORDER", "HALF_LIMIT", "Stability", "measure_stability", "pattern_peak", "stress_patterns"]

HALF_LIMIT = torch.finfo(torch.float16).max
"""Largest number of half precision, 65504."""

BORDER = 4
"""LR pixels at each side within which a constant picture may differ from itself: convolutions see zeros
beyond the border, and layers carry that inwards."""

_Model = ESC | SuperResolver
_PERIODS = (2, 4, 8)
_GREYS = tuple((level,) * 3 for level in (0, 3, 64, 128, 192, 255))
_PURE = tuple(colour for colour in itertools.product((0, 255), repeat=3) if len(set(colour)) > 1)
_SIDE = 32


@dataclass(frozen=True)
class Stability:
    """Figures of one model.

    Attributes:
        activations: Largest magnitude of any tensor of a forward pass, products of queries and keys
            included, by name of `stress_patterns`.
        constant_inside: Largest difference of a grey picture's result from that grey, in levels of 255,
            more than `BORDER` LR pixels from the border.
        constant_border: The same nearer the border.
        pure_border: The same for the six pure colours (red, yellow, green, ...), nearer the border.
    """

    activations: dict[str, float]
    constant_inside: float
    constant_border: float
    pure_border: float

    @property
    def overflowing(self) -> list[str]:
        """Patterns that half precision cannot compute; `Inference` then takes a higher one."""
        return [name for name, largest in self.activations.items() if largest > HALF_LIMIT]


def measure_stability(model: _Model, patterns: Mapping[str, Tensor] | None = None) -> Stability:
    """Measures a model on synthetic patterns, in float32.

    Args:
        model: A network, or any super-resolver; at ×2 where it takes any scale. Activations are seen as
            far as PyTorch computes them.
        patterns: (3, H, W) in [0, 1] by name, for the activations; None for `stress_patterns`.

    Returns:
        Its figures.
    """
    network = model.network if isinstance(model, Inference) else model
    resolver: SuperResolver = (
        Inference(network, precision="float32") if isinstance(network, ESC) else network
    )
    inside, border = _constant_errors(resolver, _GREYS)
    _, pure = _constant_errors(resolver, _PURE)
    activations = _largest_activations(network, patterns or stress_patterns())
    return Stability(activations, inside, border, pure)


def stress_patterns(side: int = _SIDE) -> dict[str, Tensor]:
    """Synthetic images that stress networks: flat, noisy, of single pixels, text-like, of pure colours.

    Args:
        side: Rows and columns, pixels.

    Returns:
        (3, side, side) in [0, 1], by name; the same every time.
    """
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(side)[:, None].expand(side, side)
    columns = rows.T
    noise, text = torch.rand(3, side, side, generator=generator), _text(rows, columns)
    patterns = {
        "black": torch.zeros(side, side),
        "white": torch.ones(side, side),
        "grey": torch.full((side, side), 0.5),
        "noise": noise,
        "black and white noise": noise[0].round(),
        "checkerboard": (rows + columns) % 2,
        "stripes": columns % 2,
        "gradient": columns / max(1, side - 1),
        "edge": columns >= side // 2,
        "dot": (rows == side // 2) & (columns == side // 2),
        "text": text,
        "red": torch.tensor([1.0, 0.0, 0.0])[:, None, None],
        "blue on yellow": torch.stack([text, text, 1 - text]),
    }
    return {name: pixels.float().expand(3, side, side).contiguous() for name, pixels in patterns.items()}


def pattern_peak(result: Tensor) -> float:
    """How much of a periodic pattern is in the result of a flat picture with noise.

    The autocorrelation of luma (the mean of the channels) at distances of 2, 4 and 8 pixels, along rows and
    along columns, above the mean of that of one pixel less and one more.

    Args:
        result: (3, R, S), without the border.

    Returns:
        The largest of them: below 0.1 there is no pattern, 2 is the most there can be; 0 of a flat result.

    Example:
        >>> pattern_peak((torch.arange(64) % 2).expand(3, 64, 64)) > 1
        True
    """
    luma = result.double().mean(0)
    spectrum = torch.fft.rfft2(luma - luma.mean()).abs().square()
    correlation = torch.fft.irfft2(spectrum, s=luma.shape)
    if correlation[0, 0] <= 0:
        return 0.0
    correlation = correlation / correlation[0, 0]
    return max(
        float(line[period] - (line[period - 1] + line[period + 1]) / 2)
        for line in (correlation[0], correlation[:, 0])
        for period in _PERIODS
    )


def _text(rows: Tensor, columns: Tensor) -> Tensor:
    """Black strokes of one and two pixels on white, in lines of letter-like cells of 6×9 pixels."""
    cell = rows // 9 * 31 + columns // 6 * 17
    row, column = rows % 9, columns % 6
    upright = (column == cell % 3) | ((column == 3) & (cell % 2 == 0))
    level = (row == 1 + cell % 5) & (column < 5)
    return 1 - ((upright | level) & (row < 7) & (column < 5)).float()


class _Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the largest magnitude of any result of any operation."""

    magnitude = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        holds_numbers = isinstance(result, Tensor) and result.is_floating_point() and result.numel()
        # What is unwritten, of `empty`, holds anything.
        if holds_numbers and not func.is_view and "empty" not in str(func):
            self.magnitude = max(self.magnitude, float(torch.linalg.vector_norm(result, math.inf)))
        return result


@torch.no_grad()
def _largest_activations(model: _Model, patterns: Mapping[str, Tensor]) -> dict[str, float]:
    if isinstance(model, ESC):  # fused attention hides its products
        model = deepcopy(model).float().set_attention_backend("plain")
    magnitudes = {}
    for name, pattern in patterns.items():
        with _Largest() as largest:  # type: ignore[no-untyped-call]
            _run(model, pattern[None])
        magnitudes[name] = largest.magnitude
    return magnitudes


@torch.no_grad()
def _constant_errors(model: _Model, colours: Iterable[tuple[int, ...]]) -> tuple[float, float]:
    """Largest error inside and near the border, levels of 255, over images of one colour each."""
    side = 2 * _SIDE
    inside = border = 0.0
    for levels in colours:
        colour = torch.tensor(levels)[None, :, None, None]
        error = (_run(model, (colour / 255).expand(1, 3, side, side)).clamp(0, 1) * 255 - colour).abs()
        edge = math.ceil(BORDER * error.shape[-1] / side)
        inner = error[..., edge:-edge, edge:-edge]
        inside = max(inside, float(inner.max()))
        inner.zero_()
        border = max(border, float(error.max()))
    return inside, border


def _run(model: _Model, lr: Tensor) -> Tensor:
    """Runs a model where it is, at ×2 where it takes any scale; (1, 3, rH, rW) in host memory."""
    lr = lr.to(next(model.parameters()).device) if isinstance(model, nn.Module) else lr
    scale = model.config.scale if isinstance(model, ESC) else model.scale
    return (model(lr) if scale else model(lr, size=(2 * lr.shape[-2], 2 * lr.shape[-1]))).cpu()
