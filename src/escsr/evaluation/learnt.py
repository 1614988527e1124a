"""Learnt measures of a picture alone, by the optional package pyiqa: MUSIQ, MANIQA, CLIP-IQA and others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from escsr.errors import ConfigError
from escsr.runtime.devices import choose_device
from escsr.runtime.extras import install_line

__all__ = ["LearntMeasure", "open_learnt"]


@dataclass(frozen=True)
class LearntMeasure:
    """A measure of pyiqa.

    Attributes:
        name: As pyiqa calls it.
        lower_is_better: Whether it measures damage.
        metric: (1, 3, H, W), float32 in [0, 1] → one value.
    """

    name: str
    lower_is_better: bool
    metric: Callable[[Tensor], Any]

    def __call__(self, image: Tensor) -> float:
        """(3, H, W) in [0, 255] → the figure, with the same random numbers for every picture."""
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)
            return float(self.metric(image[None].float() / 255))


def open_learnt(names: Sequence[str], *, device: str = "auto") -> list[LearntMeasure]:
    """Loads measures that need no truth; pyiqa fetches their weights where it has none yet.

    Args:
        names: Names that `pyiqa.create_metric` takes.
        device: See `choose_device`.

    Raises:
        ConfigError: pyiqa is not installed or cannot make the measure, or that compares with a truth.
        DeviceError: There is no such device.
    """
    if not names:
        return []
    try:
        import pyiqa
    except ImportError as error:
        raise ConfigError(
            f"{', '.join(names)}: measured by pyiqa, which is not installed: {install_line('pyiqa')}"
        ) from error
    where = choose_device(device)
    return [_open(pyiqa.create_metric, name, where) for name in names]


def _open(create: Callable[..., Any], name: str, device: torch.device) -> LearntMeasure:
    try:
        metric = create(name, device=device)
    except Exception as error:  # whatever pyiqa and its downloads raise
        raise ConfigError(
            f"pyiqa cannot make the metric {name!r}: {error or type(error).__name__}"
        ) from error
    if metric.metric_mode != "NR":
        raise ConfigError(
            f"{name} compares with a truth, which real photos lack; give one without, as musiq."
        )
    return LearntMeasure(name, bool(metric.lower_better), metric)
