"""What a result is called where nobody names it."""

from __future__ import annotations

from pathlib import Path

from escsr import images
from escsr.upscaling.target_size import TargetSize

__all__ = ["default_target"]


def default_target(source: Path, size: TargetSize, suffix: str | None = None) -> Path:
    """Name of a result beside its source: photo.png at ×2 becomes photo_x2.png.

    The format stays; an ending that cannot be written becomes .png.

    Args:
        source: The picture.
        size: What is asked for.
        suffix: What to put in the place of "_x2"; None for that.
    """
    ending = source.suffix if source.suffix.lower() in images.WRITABLE else ".png"
    return source.with_name(f"{source.stem}{suffix or f'_{size.label}'}{ending}")
