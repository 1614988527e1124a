"""Builds the native kernels; everything else is in pyproject.toml.

One shared library for each instruction set, all from the same source; a set that the compiler does not
know, or no compiler at all, leaves it out, and the package works without.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from setuptools import Extension, setup  # type: ignore[import-untyped]
from setuptools.command.build_ext import build_ext  # type: ignore[import-untyped]

_SOURCE = Path("src/escsr/kernels/cpu/source")
_AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx2", "-mfma"]
_INSTRUCTION_SETS: dict[str, dict[str, list[str]]] = {
    "x86_64": {
        "amx": [*_AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16"],
        "avx512_bf16": [*_AVX512, "-mavx512bf16"],
        "avx512": _AVX512,
        "avx2": ["-mavx2", "-mfma"],
    },
    "aarch64": {"neon": []},
}
_ALIASES = {"amd64": "x86_64", "arm64": "aarch64"}
_FLAGS = ["-std=c++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]


def _extensions() -> list[Extension]:
    machine = platform.machine().lower()
    sets = _INSTRUCTION_SETS.get(_ALIASES.get(machine, machine), {})
    if sys.platform == "win32":  # its compiler has no vector extensions
        sets = {}
    return [
        Extension(
            f"escsr.kernels.cpu.source.{name}",
            sources=[str(_SOURCE / "kernels.cpp")],
            depends=[str(path) for path in sorted(_SOURCE.glob("*.h"))],
            extra_compile_args=[*_FLAGS, "-fvisibility=hidden", "-Wno-psabi", *flags],
            extra_link_args=["-Wl,-s"] if sys.platform == "linux" else [],
            language="c++",
            optional=True,
        )
        for name, flags in sets.items()
    ]


class _BuildLibraries(build_ext):  # type: ignore[misc]
    """They are no Python modules: their names say neither a version nor an interpreter."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.parallel = True  # a core compiles each

    def get_ext_filename(self, fullname: str) -> str:
        return f"{Path(*fullname.split('.'))}.so"


setup(ext_modules=_extensions(), cmdclass={"build_ext": _BuildLibraries})
