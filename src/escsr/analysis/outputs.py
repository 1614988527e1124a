"""Results of an analysis as files: figures (.png, .svg) and arrays (.npz)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from escsr.analysis.figures import STYLE, require_matplotlib
from escsr.analysis.inputs import picture_files
from escsr.errors import OutputError
from escsr.files import atomic_path, check_not_source, check_writable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Outputs", "check_outputs", "write_outputs"]

Outputs = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""A file to write, or several; none are fine too."""

_FIGURES = (".png", ".svg")
_DOTS_PER_INCH = 100


def check_outputs(output: Outputs, *pictures: str | os.PathLike[str]) -> list[Path]:
    """Sees before the work that all files can be written in the end.

    Args:
        output: See `Outputs`.
        pictures: Files that are analysed, and folders of them, none of which is overwritten.

    Returns:
        The files.

    Raises:
        OutputError: An ending is unknown, a file is one of the pictures, or it cannot be written.
        ConfigError: A figure is asked for and matplotlib is missing.
    """
    paths = [Path(each) for each in ([output] if isinstance(output, (str, os.PathLike)) else output)]
    sources = [file for file in picture_files(pictures) if file.exists()]
    for path in paths:
        if path.suffix.lower() not in (*_FIGURES, ".npz"):
            raise OutputError(f"Cannot write {path.name}: give .png or .svg for a figure, .npz for arrays.")
        for source in sources:
            check_not_source(path, source)
        check_writable(path)
    if any(path.suffix.lower() in _FIGURES for path in paths):
        require_matplotlib()
    return paths


def write_outputs(paths: Sequence[Path], draw: Callable[[], Figure], arrays: Mapping[str, Any]) -> None:
    """Writes a result to every file.

    Args:
        paths: From `check_outputs`.
        draw: Makes the figure, where one is asked for.
        arrays: By name, for .npz.

    Raises:
        OutputError: A file cannot be written.
    """
    for path in paths:
        with atomic_path(path) as temporary:
            if path.suffix.lower() == ".npz":
                with open(temporary, "wb") as file:  # to a path numpy appends .npz, unless it ends so
                    np.savez_compressed(file, **arrays)
                continue
            import matplotlib

            with matplotlib.rc_context(STYLE):
                metadata = {"Date": None} if path.suffix.lower() == ".svg" else {"Software": None}
                draw().savefig(temporary, dpi=_DOTS_PER_INCH, metadata=metadata)
