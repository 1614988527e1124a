"""Local attribution maps: which input pixels a part of the result was made from.

Gu & Dong, "Interpreting Super-Resolution Networks with Local Attribution Maps", CVPR 2021; ESC, ICCV 2025,
Fig. 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from escsr.analysis.differentiable import DifferentiableModel
from escsr.errors import ConfigError
from escsr.evaluation.crops import Crop
from escsr.networks.layers import reflect_pad
from escsr.runtime.choices import LamRule, check_choice
from escsr.runtime.progress import OnProgress

__all__ = [
    "SIGMA",
    "Attribution",
    "area_of_contribution",
    "attribute",
    "blurred",
    "detail",
    "diffusion_index",
]

SIGMA = 1.2
"""Of the blur that the path begins with, input pixels."""

_STEPS = {"midpoint": 10, "right": 50}
_BLUR_SIZE = 9


@dataclass(frozen=True)
class Attribution:
    """What a part of a result was made from.

    Attributes:
        values: (3, H, W): share of each input value in the detail of the part.
        window: The part, pixels of the result.
        detail: D of the result, see `detail`.
        detail_of_blurred: D of what the model makes of the blurred input.
        result: (3, rH, rW), what the model makes of the input.
    """

    values: Tensor
    window: Crop
    detail: float
    detail_of_blurred: float
    result: Tensor

    @property
    def map(self) -> Tensor:
        """(H, W), |sum over channels| over its largest."""
        magnitude = self.values.sum(0).abs()
        return magnitude / magnitude.max().clamp_min(torch.finfo(magnitude.dtype).tiny)

    @property
    def diffusion_index(self) -> float:
        """See `diffusion_index`; larger where more of the input takes part."""
        return diffusion_index(self.map)

    def to_dict(self) -> dict[str, Any]:
        """Figures as plain values for JSON."""
        return {
            "diffusion_index": self.diffusion_index,
            "window": str(self.window),
            "detail": self.detail,
            "detail_of_blurred": self.detail_of_blurred,
            "error": self.error,
        }

    @property
    def error(self) -> float:
        """How far the sum of the values is from the change of detail that they explain, relative."""
        change = self.detail - self.detail_of_blurred
        return abs(float(self.values.double().sum()) - change) / max(abs(change), 1e-12)


def attribute(
    model: DifferentiableModel,
    lr: Tensor,
    window: Crop,
    *,
    rule: LamRule = "midpoint",
    steps: int | None = None,
    sigma: float = SIGMA,
    on_progress: OnProgress | None = None,
) -> Attribution:
    """Integrates the gradient of the detail in a window along a path from the blurred input to the input.

    Args:
        model: The model.
        lr: (1, 3, H, W) in [0, 1].
        window: The part of the result to explain, in its pixels; papers take 16×16.
        rule: See `LamRule`.
        steps: Of the path; None for 10 with "midpoint" and 50 with "right".
        sigma: See `SIGMA`.
        on_progress: Called with the share of the work done, in [0, 1].

    Returns:
        The attribution.

    Raises:
        ConfigError: A setting is impossible, the window lies outside, or results have no gradient.

    Example:
        >>> from escsr.analysis.differentiable import as_differentiable
        >>> model = as_differentiable("esc-light-x2", device="cpu")
        >>> found = attribute(model, torch.rand(1, 3, 16, 16), Crop(8, 8, 16, 16), steps=2)
        >>> found.map.shape
        torch.Size([16, 16])
    """
    check_choice("rule", rule, LamRule)
    steps = _STEPS[rule] if steps is None else steps
    if steps < 1 or sigma <= 0:
        raise ConfigError(f"steps and sigma must be positive, not {steps} and {sigma}.")
    lr = lr.to(model.device)
    sigmas = torch.linspace(sigma, 0, steps + 1, dtype=torch.float64).tolist()
    total = torch.zeros_like(lr)
    with model.evaluating():
        for index, (start, end) in enumerate(pairwise(sigmas)):
            place = end if rule == "right" else (start + end) / 2
            gradient = _gradient(model, blurred(lr, place), window)
            total += gradient * (blurred(lr, end) - blurred(lr, start))
            if on_progress is not None:
                on_progress((index + 1) / steps)
        with torch.no_grad():
            sr = model(lr)
            before = float(detail(model(blurred(lr, sigma)), window))
            after = float(detail(sr, window))
    return Attribution(total[0].cpu(), window, after, before, sr[0].cpu())


def _gradient(model: DifferentiableModel, lr: Tensor, window: Crop) -> Tensor:
    with torch.enable_grad():
        lr = lr.detach().requires_grad_()
        value = detail(model(lr), window)
        if not value.requires_grad:
            raise ConfigError(f"{model.name} gives results without a gradient; it cannot be analysed so.")
        return torch.autograd.grad(value, lr)[0]


def detail(sr: Tensor, window: Crop) -> Tensor:
    """D = Σ √(d_h² + d_w²) over a window and the channels, of differences of neighbouring pixels.

    Its gradient is zero where a picture is flat, where that of the root is not a number.

    Args:
        sr: (1, 3, rH, rW).
        window: The part that is summed; it ends a pixel before the right and lower border.

    Returns:
        A number.

    Raises:
        ConfigError: The window lies outside.
    """
    rows, columns = sr.shape[-2] - 1, sr.shape[-1] - 1
    if window.y + window.height > rows or window.x + window.width > columns:
        raise ConfigError(
            f"window {window} must lie in the result of {sr.shape[-1]}×{sr.shape[-2]} pixels, at least one "
            "pixel from its right and lower border."
        )
    down = (sr[..., 1:, :-1] - sr[..., :-1, :-1]).square()
    across = (sr[..., :-1, 1:] - sr[..., :-1, :-1]).square()
    return (down + across)[(..., *window.slices)].clamp_min(1e-24).sqrt().sum()


def blurred(lr: Tensor, sigma: float) -> Tensor:
    """An input blurred by a Gaussian of 9×9 pixels, mirrored at its border without the border pixel.

    Args:
        lr: (B, 3, H, W).
        sigma: Input pixels; 0 for none.

    Returns:
        (B, 3, H, W).
    """
    radius, channels = _BLUR_SIZE // 2, lr.shape[1]
    distance = torch.arange(-radius, radius + 1, dtype=torch.float64)
    line = (-distance.square() / (2 * (sigma + 1e-5) ** 2)).exp()
    line = (line / line.sum()).to(lr)
    padded = reflect_pad(lr, left=radius, right=radius, top=radius, bottom=radius)
    across = F.conv2d(padded, line.expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(across, line[:, None].expand(channels, 1, -1, 1), groups=channels)


def diffusion_index(attribution: Tensor) -> float:
    """DI = (1 − Gini) · 100: near 0 where one pixel counts alone, 100 where all count the same.

    Args:
        attribution: (H, W), not negative.

    Returns:
        The index.

    Example:
        >>> diffusion_index(torch.ones(8, 8))
        100.0
    """
    values = (attribution.double().flatten() + 1e-7).sort().values
    n = len(values)
    rank = 2 * torch.arange(1, n + 1, dtype=torch.float64) - n - 1
    return float(100 * (1 - (rank * values).sum() / (n * values.sum())))


def area_of_contribution(attribution: Tensor) -> Tensor:
    """Density of the pixels that contribute: a Gaussian kernel estimate with Scott's bandwidth.

    The estimate of `scipy.stats.gaussian_kde` with the map as weights, at every pixel, as a convolution.

    Args:
        attribution: (H, W), not negative.

    Returns:
        (H, W), float64, over its largest; the map itself where it is all zero or a single pixel.
    """
    height, width = attribution.shape
    if not attribution.any() or attribution.numel() == 1:
        return attribution.double()
    weights = attribution.double() / attribution.double().sum()
    rows = torch.arange(height, dtype=torch.float64)[:, None].expand(height, width)
    columns = torch.arange(width, dtype=torch.float64).expand(height, width)
    places = torch.stack((rows.flatten(), columns.flatten()))
    covariance = torch.cov(places, aweights=weights.flatten())
    effective = 1 / float(weights.square().sum())
    precision = torch.linalg.pinv(covariance * effective ** (-2 / 6))
    down = torch.arange(1 - height, height, dtype=torch.float64)[:, None]
    across = torch.arange(1 - width, width, dtype=torch.float64)
    exponent = precision[0, 0] * down**2 + 2 * precision[0, 1] * down * across + precision[1, 1] * across**2
    size = (3 * height - 2, 3 * width - 2)
    spectrum = torch.fft.rfft2((-exponent / 2).exp(), s=size) * torch.fft.rfft2(weights, s=size)
    density = torch.fft.irfft2(spectrum, s=size)[height - 1 : 2 * height - 1, width - 1 : 2 * width - 1]
    return density / density.max()
