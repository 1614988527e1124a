"""Measuring the network in training on sets of pictures, and showing what it makes of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from escsr.data.degradations.config import Mixture
from escsr.errors import ConfigError
from escsr.evaluation.any_scale import lte_downscale
from escsr.evaluation.opening import Model, open_model
from escsr.evaluation.pairs import check_sizes, degraded, lr_side, read_pairs, to_tensor
from escsr.evaluation.protocols import least_side, measure
from escsr.runtime.choices import Protocol
from escsr.training.config import RealSettings, TrainingConfig
from escsr.training.distributed import Distributed
from escsr.upscaling.super_resolver import SuperResolver, super_resolve

__all__ = ["Validation"]

_SAMPLE_SIDE = 64
"""LR pixels shown of each side, at most."""

_GAP = 4

_EXACT = 100.0
"""PSNR that a picture without any error counts as, dB: infinity would make every mean infinite."""


@dataclass(frozen=True)
class Validation:
    """Sets to validate on: by protocol `classic`, or by `lte` at several scales for networks of any.

    Attributes:
        config: The recipe.
        folders: Names and folders of HR pictures.
    """

    config: TrainingConfig
    folders: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def checked(cls, config: TrainingConfig, folders: Mapping[str, str | os.PathLike[str]]) -> Validation:
        """One whose images were looked at, see `check`."""
        validation = cls(config, {name: Path(folder) for name, folder in folders.items()})
        validation.check()
        return validation

    def check(self) -> None:
        """Looks at the headers of all images, so that no set fails after hours of training.

        Raises:
            DataError: A folder holds no images, or one that is too small or has other than 8 bits.
        """
        protocol: Protocol = "lte" if self.config.network.scale is None else "classic"
        for _, folder, scale in self._sets():
            check_sizes(folder, scale, least_side(scale, protocol))

    def opened(self, network: Model) -> SuperResolver:
        """What measures a network.

        Raises:
            ConfigError: It is one of the caller's own that cannot be measured at any scale.
        """
        scale = self.config.network.scale
        try:
            return open_model(network, scale=scale)
        except ConfigError as error:
            if scale is not None:
                raise
            raise ConfigError(
                f"{type(network).__name__} cannot be measured at any scale: leave out the validation, or "
                f"give it what a `SuperResolver` has: `name`, `scale` (None), `pad_multiple`, and "
                f"`forward(lr, *, size=(rows, columns))`."
            ) from error

    def measure(self, network: Model, distributed: Distributed | None = None) -> dict[str, float]:
        """Mean Y-PSNR of each set, dB; the work is shared and the figures do not depend on by how many.

        A picture that comes out without any error, such as a blank page, counts as 100 dB.

        Args:
            network: What to measure.
            distributed: Who shares the work; all get all figures.

        Returns:
            Figures by the name of the set, with the scale behind it for networks of any.
        """
        place, means = distributed or Distributed(), {}
        model = self.opened(network)
        shard: dict[str, Any] = {"shard": place.rank, "num_shards": place.world_size}
        protocol: Protocol = "lte" if model.scale is None else "classic"
        for name, folder, scale in self._sets():
            scores = measure(
                model, folder, scale=scale, protocol=protocol, degradation=self._chain, **shard
            )
            figures = place.gather(min(score.psnr_y, _EXACT) for score in scores)
            means[name] = float(np.mean(figures))
        return means

    def samples(self, network: Model) -> dict[str, NDArray[np.uint8]]:
        """LR (pixels repeated), result and HR of the middle of each set's first picture, side by side.

        Args:
            network: What to show.

        Returns:
            uint8 (H, W, 3) by the name of the set.
        """
        model = self.opened(network)
        return {name: _strip(model, folder, scale, self._chain) for name, folder, scale in self._sets()}

    @property
    def _chain(self) -> Mixture | None:
        """What the objective makes LR by, with which it is measured too."""
        objective = self.config.objective
        return objective.degradation if isinstance(objective, RealSettings) else None

    def _sets(self) -> Iterator[tuple[str, Path, float]]:
        own = self.config.network.scale
        for name, folder in self.folders.items():
            for scale in self.config.validation_scales if own is None else (own,):
                yield (f"{name} ×{scale:g}" if own is None else name), folder, scale


def _strip(
    model: SuperResolver, folder: Path, scale: float, degradation: Mixture | None
) -> NDArray[np.uint8]:
    whole = next(read_pairs(folder, None, scale)).hr
    hr = np.repeat(whole, 3, axis=2) if whole.shape[2] == 1 else whole
    sides = [min(_SAMPLE_SIDE, lr_side(side, scale)) for side in hr.shape[:2]]
    height, width = (round(side * scale) for side in sides)
    top, left = ((side - part) // 2 for side, part in zip(hr.shape[:2], (height, width), strict=True))
    hr = np.ascontiguousarray(hr[top : top + height, left : left + width])
    lr = lte_downscale(hr, scale)
    if degradation is not None:
        lr = degraded(hr, degradation, int(scale), seed=0, index=0)
    small = to_tensor(lr).float()[None] / 255
    sr = super_resolve(model, small, (height, width))[0].clamp(0, 1)
    shown = (sr * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    rows, columns = (np.arange(n) * m // n for n, m in zip((height, width), lr.shape[:2], strict=True))
    gap = np.full((height, _GAP, 3), 255, np.uint8)
    return np.concatenate((lr[rows][:, columns], gap, shown, gap, hr), axis=1)
