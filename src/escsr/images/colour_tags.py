"""Tags that say what colours mean where a file has no profile: CICP, gamma and primaries.

Sources: ITU-T H.273 for the numbers; PNG 3 for cICP, gAMA and cHRM; ISO/IEC 23008-12 for nclx.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from escsr.images.png_chunks import chunk, png_chunks

__all__ = [
    "CICP",
    "PNG_TAGS",
    "PRIMARIES",
    "add_png_tags",
    "avif_tags",
    "cicp_tags",
    "in_words",
    "png_tags",
    "primaries_tags",
]

CICP, PNG_TAGS, PRIMARIES = "cicp-data", "png-colour-data", "exr-primaries"
"""Names of blocks: four bytes as in a cICP chunk of PNG; gAMA and cHRM chunks as they stand in PNG; x and y
of red, green, blue and white as little-endian floats, as OpenEXR has them."""

_SRGB_CHUNKS = {b"gAMA": (45_455,), b"cHRM": (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)}
_SIZES = {b"cICP": 4} | {kind: 4 * len(usual) for kind, usual in _SRGB_CHUNKS.items()}
_STRONGER = {b"iCCP", b"sRGB"}
"""Chunks that go before gamma and primaries."""

_SRGB_XY = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)

_TOLERANCE = 500
"""In 1/100,000: writers round."""

_SRGB_PRIMARIES = dict.fromkeys((0, 1, 2), "")
"""Unspecified, and sRGB's."""
_PRIMARIES = _SRGB_PRIMARIES | {5: "BT.601", 6: "BT.601", 9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_SRGB_TRANSFERS = dict.fromkeys((0, 1, 2, 6, 13, 14, 15), "")
"""Unspecified, sRGB, and the curves of video, which are shown like sRGB's."""
_TRANSFERS = _SRGB_TRANSFERS | {4: "gamma 2.2", 5: "gamma 2.8", 8: "linear light", 16: "PQ", 18: "HLG"}

_HEAD_BYTES = 1 << 20
"""Bytes of a file that are searched for its tags."""


def cicp_tags(primaries: int, transfer: int) -> dict[str, bytes]:
    """The block of `CICP` for RGB of the full range; none where colours are those of sRGB or unstated.

    Args:
        primaries: Number in H.273; what is above 255 becomes 255, which stands for nothing.
        transfer: As `primaries`.
    """
    if primaries in _SRGB_PRIMARIES and transfer in _SRGB_TRANSFERS:
        return {}
    return {CICP: bytes([min(primaries, 255), min(transfer, 255), 0, 1])}


def primaries_tags(xy: Sequence[float]) -> dict[str, bytes]:
    """The block of `PRIMARIES` for x and y of red, green, blue and white; none where all are sRGB's."""
    if len(xy) != 8 or all(
        abs(value - own) <= _TOLERANCE / 1e5 for value, own in zip(xy, _SRGB_XY, strict=True)
    ):
        return {}
    return {PRIMARIES: struct.pack("<8f", *xy)}


def png_tags(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """The blocks of `CICP` or `PNG_TAGS` of a PNG file whose colours are not those of sRGB.

    Raises:
        OSError: The file cannot be read.
    """
    places = png_chunks(path)
    with open(path, "rb") as file:
        found = {kind: _content(file, places[kind]) for kind in _SIZES if kind in places}
    whole = {kind: content for kind, content in found.items() if len(content) == _SIZES[kind]}
    if cicp := whole.pop(b"cICP", b""):  # goes before all others
        return {CICP: cicp} if cicp_tags(cicp[0], cicp[1]) else {}
    if places.keys() & _STRONGER or all(_is_usual(kind, content) for kind, content in whole.items()):
        return {}
    return {PNG_TAGS: b"".join(chunk(kind, content) for kind, content in whole.items())}


def _content(file: BinaryIO, place: int) -> bytes:
    """What a chunk holds whose content starts at a place, where it has the size of a tag."""
    file.seek(place - 8)
    size = int.from_bytes(file.read(4), "big")
    file.seek(place)
    return file.read(size) if size in _SIZES.values() else b""


def _is_usual(kind: bytes, content: bytes) -> bool:
    """Whether gamma or primaries are those of sRGB."""
    usual = _SRGB_CHUNKS[kind]
    values = struct.unpack(f">{len(usual)}I", content)
    return all(abs(value - own) <= _TOLERANCE for value, own in zip(values, usual, strict=True))


def add_png_tags(path: Path, metadata: Mapping[str, bytes]) -> None:
    """Adds blocks of `CICP` and `PNG_TAGS` to a PNG file.

    Raises:
        OSError: The file cannot be read or written.
    """
    added = chunk(b"cICP", metadata[CICP]) if CICP in metadata else metadata.get(PNG_TAGS, b"")
    if added:
        data = path.read_bytes()
        path.write_bytes(data[:_BEHIND_HEADER] + added + data[_BEHIND_HEADER:])


_BEHIND_HEADER = 33
"""Where a PNG file's first chunk, of 13 bytes, ends."""


def avif_tags(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """The block of `CICP` of an AVIF file, by the first nclx box in it.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read(_HEAD_BYTES)
    for kind, version_bytes in ((b"meta", 4), (b"iprp", 0), (b"ipco", 0)):
        data = next((content for name, content in _boxes(data) if name == kind), b"")[version_bytes:]
    for name, content in _boxes(data):
        if name == b"colr" and content[:4] == b"nclx" and len(content) >= 10:
            return cicp_tags(*struct.unpack_from(">HH", content, 4))
    return {}


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of boxes in a row, up to the first that is damaged or has no stated end."""
    place = 0
    while place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        if size < 8:
            return
        yield kind, data[place + 8 : place + size]
        place += size


def in_words(metadata: Mapping[str, bytes]) -> str:
    """What blocks of `CICP`, `PNG_TAGS` and `PRIMARIES` say, as "BT.2020, PQ"; "" where there are none."""
    if CICP in metadata:
        primaries, transfer = metadata[CICP][:2]
        words = (
            _PRIMARIES.get(primaries, f"primaries {primaries}"),
            _TRANSFERS.get(transfer, f"transfer {transfer}"),
        )
        return ", ".join(filter(None, words))
    if PRIMARIES in metadata:
        return "primaries"
    return "gamma or primaries" if PNG_TAGS in metadata else ""
