"""Precision of the networks: as low as asked for, and never a number that overflowed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from escsr.errors import CheckpointError
from escsr.runtime.choices import Precision, check_choice

__all__ = ["HALF_PRECISIONS", "PrecisionPolicy", "compute_in"]

_HIGHER: dict[Precision, Precision] = {"float16": "bfloat16", "bfloat16": "float32", "tf32": "float32"}
HALF_PRECISIONS = {"float16": torch.float16, "bfloat16": torch.bfloat16}
"""Those of autocast, and the type of their products."""

_FAST_HALF = (7, 0)

_SWITCH = threading.RLock()
"""Held while PyTorch's switches for TF32 are set, which are of the process, not of a thread."""

_LOG = logging.getLogger(__name__)


class PrecisionPolicy:
    """Calls functions of a network in a precision; steps up for good where it overflows.

    Args:
        device: Where the network computes.
        precision: See `Precision`.

    Raises:
        ConfigError: There is no such precision.
    """

    def __init__(self, device: torch.device, precision: Precision = "auto") -> None:
        check_choice("precision", precision, Precision)
        self.device = device
        self.precision: Precision = precision
        if precision == "auto":
            is_fast = device.type == "cuda" and torch.cuda.get_device_capability(device) >= _FAST_HALF
            self.precision = "float16" if is_fast else "float32"

    def __call__(self, function: Callable[..., Tensor], arguments: tuple[object, ...]) -> Tensor:
        """Calls a function; a result with NaN or infinity is computed again in higher precision.

        Args:
            function: Of the network.
            arguments: Its arguments.

        Returns:
            Its result, float32 (float64 where the network is), all numbers finite.

        Raises:
            CheckpointError: The result is not finite in float32 either.
        """
        while True:
            precision = self.precision
            result, is_finite = self.attempt(function, arguments)
            if is_finite or result.isfinite().all():
                return result
            higher = _HIGHER.get(precision)
            if higher is None:
                raise CheckpointError("The model's results are not numbers; its weights must be damaged.")
            if self.precision == precision:
                _LOG.warning("%s overflows in this model: %s from now on.", precision, higher)
                self.precision = higher

    def attempt(
        self, function: Callable[..., Tensor], arguments: tuple[object, ...]
    ) -> tuple[Tensor, Tensor]:
        """Calls a function in the present precision, without waiting for the device.

        Args:
            function: Of the network.
            arguments: Its arguments.

        Returns:
            Its result, float32 (float64 where the network is), and a truth on the device: whether the sum
            of its numbers is finite. Where it is not, call again by `__call__`.
        """
        with compute_in(self.precision, self.device):
            result = function(*arguments)
        if result.dtype in HALF_PRECISIONS.values():
            result = result.float()
        return result, result.sum().isfinite()


@contextmanager
def compute_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """What is computed inside is computed in a precision, whatever autocast surrounds it.

    Backward passes of half precision may lie outside, as usual with autocast; those of "tf32" and
    "float32" belong inside. On CUDA devices these two are the business of one thread at a time: enter for
    a step, not for a whole run.

    Args:
        precision: See `Precision`, "auto" excepted.
        device: The device that computes.
    """
    half = HALF_PRECISIONS.get(precision)
    with torch.autocast(device.type, half, enabled=half is not None):
        if half is not None or device.type != "cuda":
            yield
            return
        with _SWITCH, _tf32_in_convolutions(precision == "tf32"):
            yield


@contextmanager
def _tf32_in_convolutions(wanted: bool) -> Iterator[None]:
    """TF32 in CUDA's convolutions, and as the caller has it in matrix products; or in neither.

    The switches of PyTorch 2.9 and newer (`fp32_precision`) stand above the older ones (`allow_tf32`), and
    the older ones cannot be read where a caller has set the newer.
    """
    cudnn: Any = torch.backends.cudnn
    conv, matmul = getattr(cudnn, "conv", cudnn), torch.backends.cuda.matmul
    switch, on, off = ("allow_tf32", True, False) if conv is cudnn else ("fp32_precision", "tf32", "ieee")
    before = [(each, getattr(each, switch)) for each in (conv, matmul)]
    try:
        setattr(conv, switch, on if wanted else off)
        if not wanted:
            setattr(matmul, switch, off)
        yield
    finally:
        for each, value in before:
            setattr(each, switch, value)
