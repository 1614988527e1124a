"""The optional packages of exports and backends, imported when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from escsr.errors import ConfigError

__all__ = ["package"]

_EXTRAS = {"onnx": "onnx", "onnxruntime": "onnx", "openvino": "openvino"}
"""By package the extra that brings it; `onnx` comes with both."""


def package(name: str, *, extra: str | None = None) -> Any:
    """Imports an optional package.

    Args:
        name: Of the package.
        extra: The extra to name where it is missing; None for its own.

    Raises:
        ConfigError: It is not installed; with the line that installs it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        line = f'pip install "escsr[{extra or _EXTRAS[name]}]"'
        raise ConfigError(f"This needs the package {name}, which is not installed: {line}.") from error
