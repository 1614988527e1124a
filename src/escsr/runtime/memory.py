"""Whether an error says that memory ran out: each device has words of its own for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from escsr.errors import DeviceError

__all__ = ["is_out_of_memory", "out_of_memory_told"]

_WORDS = (
    "out of memory",  # CUDA, XPU, MPS
    "can't allocate memory",  # the CPU, on Linux and macOS
    "not enough memory",  # the CPU, on Windows
    "invalid buffer size",  # MPS, for what is more than all of it
    "alloc_failed",  # cuDNN, cuBLAS
    "failed to allocate memory",  # ONNX Runtime
    "bad_alloc",  # ONNX Runtime and OpenVINO
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of PyTorch (or Python) means that a device, or the host, has too little memory."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _WORDS)


@contextmanager
def out_of_memory_told(advice: str) -> Iterator[None]:
    """Tells in one line that memory ran out inside, and what to do; for work that has no smaller tiles.

    Args:
        advice: What to do, in words.

    Raises:
        DeviceError: Memory ran out.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(f"Out of memory; {advice}.") from error
