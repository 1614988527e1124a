"""XMP fitted to its picture: its sizes, and no word of parts of a file that are never kept.

Changed by patterns, in place, so that all else keeps its bytes; what is damaged stays as it is.
Sources: Google's Motion Photo format 1.0, Adobe's Gain Map 1.0, Adobe's XMP specification, part 2.
"""

from __future__ import annotations

import re

from escsr.images.auxiliary import NO_GAIN_MAP

__all__ = ["fitted_xmp", "truthful_xmp"]

_CAMERA = b"http://ns.google.com/photos/1.0/camera/"
_GAIN_MAP = b"http://ns.adobe.com/hdr-gain-map/1.0/"
_CONTAINER = b"http://ns.google.com/photos/1.0/container/"
_NOTE = b"http://ns.adobe.com/xmp/note/"
_BASIC = b"http://ns.adobe.com/xap/1.0/"

_LOST_PARTS = {
    _CAMERA: rb"(?:MotionPhoto|MicroVideo)(?:Version|Offset|PresentationTimestampUs)?",
    _GAIN_MAP: rb"Version|BaseRenditionIsHDR|GainMapM(?:in|ax)|Gamma|Offset[SH]DR|HDRCapacityM(?:in|ax)",
    _CONTAINER: rb"Directory",
    _BASIC: rb"Thumbnails",
    _NOTE: rb"HasExtendedXMP",
}
"""By namespace, properties of a video, of a gain map, of their places in the file, of thumbnails,
and of XMP in further segments of a JPEG."""

_NO_VIDEO = "the video of this motion photo is not kept"
_NO_EXTENSION = "the extension of its XMP (what is above 64 KB) is not kept"
_HAS_VIDEO = rb"\b%b:(?:MotionPhoto|MicroVideo)(?:\s*=\s*[\"']|>)\s*1"


def fitted_xmp(block: bytes, width: int, height: int) -> bytes:
    """XMP for a picture of another size that stands upright.

    Orientation becomes 1 and sizes those given, where the block has such properties.

    Args:
        block: The XMP.
        width: Pixels of the picture.
        height: Pixels of the picture.
    """
    values = {b"tiff:Orientation": 1, b"tiff:ImageWidth": width, b"tiff:ImageLength": height}
    values |= {b"exif:PixelXDimension": width, b"exif:PixelYDimension": height}
    for tag, value in values.items():
        place = rb"(\b%b\s*=\s*[\"']|<%b>\s*)\d+" % (tag, tag)
        block = re.sub(place, rb"\g<1>%d" % value, block)
    return block


def truthful_xmp(block: bytes) -> tuple[bytes, list[str]]:
    """XMP without properties of parts of a file that no result has: a motion photo's video, a gain map.

    Args:
        block: The XMP; of its thumbnails, which show the picture as it was, nothing is left either.

    Returns:
        The block, and notes on what is lost, in words.
    """
    notes = []
    for namespace, names in _LOST_PARTS.items():
        bound = re.search(rb"xmlns:([\w.-]+)\s*=\s*[\"']%b[\"']" % re.escape(namespace), block)
        if bound is None:
            continue
        prefix = re.escape(bound[1])
        if namespace == _CAMERA and re.search(_HAS_VIDEO % prefix, block):
            notes.append(_NO_VIDEO)
        shorter = _without(block, rb"%b:(?:%b)" % (prefix, names))
        if namespace == _GAIN_MAP and shorter != block:
            notes.append(NO_GAIN_MAP)
        if namespace == _NOTE and shorter != block:
            notes.append(_NO_EXTENSION)
        block = shorter
    return block, notes


def _without(block: bytes, name: bytes) -> bytes:
    """A block without properties by a pattern of their names: attributes and elements."""
    block = re.sub(rb"\s%b\s*=\s*(?:\"[^\"<]*\"|'[^'<]*')" % name, b"", block)
    kept, place = [], 0
    endless: set[bytes] = set()  # looked for once, so that it takes no time to find what is damaged
    for tag in re.finditer(rb"<(%b)(?:\s[^<>]*)?/?>" % name, block):
        if tag.start() < place or tag[1] in endless:
            continue
        end = tag.end()
        if not tag[0].endswith(b"/>"):
            closing = b"</%b>" % tag[1]
            end = block.find(closing, end) + len(closing)
            if end < len(closing):
                endless.add(tag[1])
                continue
        kept.append(block[place : tag.start()])
        place = end
    return b"".join([*kept, block[place:]])
