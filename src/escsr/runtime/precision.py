"""PrecisionPolicy of the networks: as low as asked for, and never a number that overflowed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Literal, get_args

import torch
from torch import Tensor

from escsr.errors import CheckpointError, ConfigError

__all__ = ["Precision", "PrecisionPolicy"]

Precision = Literal["auto", "float32", "tf32", "bfloat16", "float16"]
"""PrecisionPolicy of the network. "float32" is IEEE everywhere; "tf32" rounds the factors of products to 10
bits on GPUs that have it; "bfloat16" and "float16" make products in half precision, while the sums of
residuals, norms and what lies between the stages stay float32. "auto" is float16 on CUDA devices with
fast half precision (compute capability 7.0 on) and float32 elsewhere."""

_HIGHER: dict[Precision, Precision] = {"float16": "bfloat16", "bfloat16": "float32", "tf32": "float32"}
_HALF = {"float16": torch.float16, "bfloat16": torch.bfloat16}
_FAST_HALF = (7, 0)

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
        if precision not in get_args(Precision):
            accepted = ", ".join(get_args(Precision))
            raise ConfigError(f"precision must be one of {accepted}, not {precision!r}.")
        self.device = device
        self.precision: Precision = _default(device) if precision == "auto" else precision

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
            with self._context(precision):
                result = function(*arguments)
            if result.dtype in (torch.float16, torch.bfloat16):
                result = result.float()
            if result.sum().isfinite() or result.isfinite().all():
                return result
            higher = _HIGHER.get(precision)
            if higher is None:
                raise CheckpointError("The model's results are not numbers; its weights must be damaged.")
            if self.precision == precision:
                _LOG.warning("%s overflows in this model: %s from now on.", precision, higher)
                self.precision = higher

    def _context(self, precision: Precision) -> AbstractContextManager[object]:
        stack = ExitStack()
        if precision in _HALF:
            stack.enter_context(torch.autocast(self.device.type, _HALF[precision]))
        elif self.device.type == "cuda":
            allowed = precision == "tf32"
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=allowed))
        return stack


def _default(device: torch.device) -> Precision:
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= _FAST_HALF:
        return "float16"
    return "float32"
