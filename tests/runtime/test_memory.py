"""Out of memory, in the words of every device."""

from __future__ import annotations

import pytest
import torch

from escsr.errors import DeviceError
from escsr.runtime.memory import is_out_of_memory, out_of_memory_told


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 80000 bytes."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.9 GB)"),
        RuntimeError("Invalid buffer size: 24.00 GB"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_memory_ran_out(error: BaseException) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("out of memory"), OSError()],
)
def test_other_errors_are_others(error: BaseException) -> None:
    assert not is_out_of_memory(error)


def test_the_cpus_own_error_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    assert is_out_of_memory(caught.value)


def test_it_is_told_in_one_line_with_advice() -> None:
    told = out_of_memory_told("give a smaller side")
    with pytest.raises(DeviceError, match=r"^Out of memory; give a smaller side\.$"), told:
        torch.empty(2**55)
    with pytest.raises(ValueError, match="other"), out_of_memory_told("give a smaller side"):
        raise ValueError("other")
