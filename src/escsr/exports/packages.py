"""The optional packages of exports and backends, imported when they are needed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from escsr.errors import ConfigError
from escsr.runtime.extras import install_line

__all__ = ["package"]

_EXTRAS = {"onnx": "onnx", "onnxruntime": "onnx", "openvino": "openvino"}
"""By package the extra that brings it; `onnx` comes with both."""

_TELEMETRY = "openvino_telemetry"


def package(name: str, *, extra: str | None = None) -> Any:
    """Imports an optional package.

    Args:
        name: Of the package.
        extra: The extra to name where it is missing; None for its own.

    Raises:
        ConfigError: It is not installed; with the line that installs it.
    """
    try:
        with _without_telemetry():
            return import_module(name)
    except ImportError as error:
        raise ConfigError(f"{name} is not installed: {install_line(extra or _EXTRAS[name])}") from error


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """OpenVINO tells its makers of every import, by a package without which it works as well."""
    if _TELEMETRY in sys.modules:
        yield
        return
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[_TELEMETRY]
