"""IPTC records: bare in pictures and TIFF, among Photoshop's resources in JPEG.

Source: IPTC-NAA IIM 4.2; Adobe Photoshop File Formats, "Image Resource Blocks".
"""

from __future__ import annotations

import struct

__all__ = ["bare_iptc", "wrapped_iptc"]

_SIGNATURE, _RESOURCE, _IPTC = b"Photoshop 3.0\0", b"8BIM", 0x0404
_RECORD = b"\x1c"
"""First byte of each record."""


def bare_iptc(block: bytes) -> bytes:
    """The records of a block as JPEG carries it, or of bare ones.

    Args:
        block: Photoshop's resources, or records.

    Returns:
        The records; no bytes where there are none, or where the block is damaged.
    """
    if not block.startswith(_SIGNATURE):
        return block if block.startswith(_RECORD) else b""
    place = len(_SIGNATURE)
    while block[place : place + 4] == _RESOURCE and place + 12 <= len(block):
        kind, name = struct.unpack_from(">HB", block, place + 4)
        place += 6 + (name + 2) // 2 * 2  # the name's length and the name, padded
        size = int.from_bytes(block[place : place + 4], "big")
        content = block[place + 4 : place + 4 + size]
        if kind == _IPTC:
            return content if len(content) == size else b""
        place += 4 + (size + 1) // 2 * 2
    return b""


def wrapped_iptc(records: bytes) -> bytes:
    """Bare records as JPEG carries them."""
    head = struct.pack(">4sHHI", _RESOURCE, _IPTC, 0, len(records))
    return _SIGNATURE + head + records + bytes(len(records) % 2)
