"""EXIF in WebP files, of which libvips leaves out what it does not know.

Source: WebP Container Specification.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

__all__ = ["change_webp_exif"]

_HEAD = 12
"""Bytes before the first chunk: RIFF, the length of what follows, and WEBP."""


def change_webp_exif(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Replaces the EXIF of a file, where it has some, in place.

    Args:
        path: A WebP file.
        change: From the block to the new one.

    Raises:
        OSError: The file cannot be read or written.
    """
    data, place = path.read_bytes(), _HEAD
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        end = place + 8 + size + size % 2
        if kind == b"EXIF":
            block = data[place + 8 : place + 8 + size]
            if (changed := change(block)) != block:
                chunk = struct.pack("<4sI", kind, len(changed)) + changed + bytes(len(changed) % 2)
                data = data[:place] + chunk + data[end:]
                path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
            return
        place = end
