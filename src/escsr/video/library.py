"""PyAV, which the extra `video` installs: imported when a video is opened, never before."""

from __future__ import annotations

import logging
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from escsr.errors import VideoError
from escsr.runtime.extras import install_line

if TYPE_CHECKING:
    from av import VideoFrame

__all__ = ["library", "side_data", "words_of"]


def library() -> Any:
    """PyAV, silent: what its libraries would print on stderr comes back as errors, or is counted.

    Raises:
        VideoError: It is not installed, with the line that installs it.
    """
    try:
        av = import_module("av")
    except ImportError as error:
        raise VideoError(f"Videos require a package: {install_line('video')}") from error
    logging.getLogger("libav").setLevel(logging.CRITICAL)
    os.environ.setdefault("SVT_LOG", "1")  # the one way to stop SVT-AV1 from printing its settings
    return av


def side_data(frame: VideoFrame, name: str) -> bytes | None:
    """A frame's side data of a kind, as FFmpeg's structures lie in memory; None where there is none.

    Args:
        frame: As decoded.
        name: "DISPLAYMATRIX" and the like, as PyAV has them.
    """
    try:
        return bytes(frame.side_data[name])  # type: ignore[literal-required]
    except (KeyError, ValueError):  # PyAV knows not every kind
        return None


def words_of(error: BaseException) -> str:
    """An error of PyAV, or of the system, in a few words for people."""
    return str(getattr(error, "strerror", None) or error).strip().splitlines()[0].rstrip(".") or "unknown"
