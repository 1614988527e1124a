"""The native library: one build for each instruction set, of which the best that this CPU has is loaded.

The package's build compiles them where there is a C++ compiler; each is a plain shared library with a C
interface, called through ctypes, which lets other threads run meanwhile.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from ctypes import Structure, c_int, c_int64, c_void_p
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "BUILDS",
    "Map",
    "Margins",
    "NativeLibrary",
    "Norm",
    "Packed",
    "map_of",
    "native_library",
    "open_build",
    "open_library",
    "pointer_to",
    "why_no_library",
]

BUILDS = ("amx", "avx512_bf16", "avx512", "avx2", "neon")
"""The best first."""

_INTERFACE = 2
"""Number of the functions and structures, in source/kernels.cpp too; a build of another is not used."""


_NOT_HERE = "A native kernel takes tensors in host memory, not on {}."


class Map(Structure):
    """A map (B, C, H, W) in channels-last memory."""

    _fields_ = (
        ("data", c_void_p),
        ("image_stride", c_int64),
        ("row_stride", c_int64),
        ("images", c_int),
        ("height", c_int),
        ("width", c_int),
        ("channels", c_int),
    )


class Margins(Structure):
    """A `Margin`."""

    _fields_ = (("left", c_int), ("right", c_int), ("top", c_int), ("bottom", c_int))


class Norm(Structure):
    """Weight and bias of a LayerNorm; null pointers where there is none."""

    _fields_ = (("weight", c_void_p), ("bias", c_void_p))


class Packed(Structure):
    """Weights of a product in panels; see source/gemm.h."""

    _fields_ = (
        ("values", c_void_p),
        ("bias", c_void_p),
        ("depth", c_int),
        ("panels", c_int),
        ("width", c_int),
    )


def map_of(x: Tensor) -> Map:
    """A tensor (B, C, H, W), float32, with its pixels side by side in memory, as the kernels take it."""
    batch, channels, height, width = x.shape
    strides = x.stride()
    assert x.device.type == "cpu", _NOT_HERE.format(x.device)
    assert x.dtype == torch.float32
    assert strides[1] == 1 or channels == 1
    assert strides[3] == channels or width == 1
    return Map(x.data_ptr(), strides[0], strides[2], batch, height, width, channels)


@dataclass(frozen=True)
class NativeLibrary:
    """A loaded build.

    Attributes:
        name: Of its instruction set.
        handle: Its functions.
        lanes: Floats of a vector.
        max_width: Vectors of a panel of weights, at most.
        has_bfloat16: Whether it has products of bfloat16.
        shares_threads: Whether it works with the threads of PyTorch's OpenMP, or with one.
    """

    name: str
    handle: ctypes.CDLL
    lanes: int
    max_width: int
    has_bfloat16: bool
    shares_threads: bool

    def call(self, function: str, *arguments: object) -> None:
        """Calls a kernel with as many threads as PyTorch uses.

        Args:
            function: Its name without prefix.
            arguments: Structures and tensors (passed by address), None for a null pointer, and numbers.

        Raises:
            MemoryError: There was no room for its work.
        """
        passed = [_passed(each) for each in arguments]
        if not self.handle[f"escsr_{function}"](*passed, torch.get_num_threads()):
            raise MemoryError(f"No memory for {function}.")


def _passed(argument: object) -> Any:
    if isinstance(argument, Tensor):
        return c_void_p(pointer_to(argument))
    return ctypes.byref(argument) if isinstance(argument, Structure) else argument


@cache
def _find() -> tuple[NativeLibrary | None, str]:
    """The best build, or None and why."""
    built = [name for name in BUILDS if _path_of(name).exists()]
    if not built:
        return None, "it was not compiled: a C++17 compiler (g++ or clang++) is needed at installation"
    try:
        for name in built:
            if (library := open_build(name)) is not None:
                return library, ""
    except OSError as error:
        return None, f"it does not load: {error}"
    if all(_interface_of(ctypes.CDLL(str(_path_of(name)))) != _INTERFACE for name in built):
        return None, "it was compiled from another version of escsr; install escsr again"
    return None, "this CPU has none of the instruction sets that it was compiled for"


def _path_of(build: str) -> Path:
    return Path(__file__).parent / "source" / f"{build}.so"


def open_build(name: str) -> NativeLibrary | None:
    """One build.

    Args:
        name: One of `BUILDS`.

    Returns:
        The library; None where it was not compiled or this CPU has not the instructions.

    Raises:
        OSError: It cannot be loaded.
    """
    path = _path_of(name)
    return open_library(name, path) if path.exists() else None


def open_library(name: str, path: Path) -> NativeLibrary | None:
    """A build that lies anywhere; see `open_build`."""
    handle = ctypes.CDLL(str(path))
    if _interface_of(handle) != _INTERFACE or not handle.escsr_is_supported():
        return None
    handle.escsr_use_openmp.argtypes = [c_void_p]
    handle.escsr_use_openmp.restype = None
    fork = _openmp_of_torch()
    handle.escsr_use_openmp(fork)
    numbers = handle.escsr_lanes(), handle.escsr_max_width(), bool(handle.escsr_has_bfloat16())
    return NativeLibrary(name, handle, *numbers, shares_threads=fork is not None)


def _interface_of(handle: ctypes.CDLL) -> int:
    return handle.escsr_interface() if hasattr(handle, "escsr_interface") else 1


def _openmp_of_torch() -> int | None:
    """Address of GOMP_parallel in the OpenMP runtime that PyTorch has loaded; None where it has none."""
    folder = Path(torch.__file__).parent / "lib"
    for name in (None, *map(str, sorted(folder.glob("lib*omp*")))):  # None: what the process has loaded
        with suppress(OSError, AttributeError):
            loaded = ctypes.CDLL(name)
            return ctypes.cast(loaded.GOMP_parallel, c_void_p).value
    return None


def native_library() -> NativeLibrary | None:
    """The library, or None where there is none that works here; see `why_no_library`."""
    return _find()[0]


def why_no_library() -> str:
    """Why there is no library; empty where there is one."""
    return _find()[1]


def pointer_to(tensor: Tensor | None) -> int | None:
    """Address of a tensor's numbers; None for none."""
    if tensor is None:
        return None
    assert tensor.device.type == "cpu", _NOT_HERE.format(tensor.device)
    return tensor.data_ptr()
