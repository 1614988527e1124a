"""Stages on a CPU, by a native library of kernels; see `source/` for those and docs/cpu.md for figures."""

from escsr.kernels.cpu.library import NativeLibrary, native_library, why_no_library
from escsr.kernels.cpu.stages import native_stage

__all__ = ["NativeLibrary", "native_library", "native_stage", "why_no_library"]
