"""Tags of EXIF: those that point to its parts, and names of those that libexif leaves out."""

from __future__ import annotations

import io
import struct
from contextlib import suppress

from escsr.images.tiff import Tiff

__all__ = ["EXIF_IFD", "IFD0", "INTEROPERABILITY_IFD", "PREFIX", "SUB_IFDS", "unknown_to_libexif"]

PREFIX = b"Exif\0\0"
IFD0, EXIF_IFD, _GPS_IFD, INTEROPERABILITY_IFD = 0, 34665, 34853, 40965
SUB_IFDS = {
    IFD0: (EXIF_IFD, _GPS_IFD),
    EXIF_IFD: (INTEROPERABILITY_IFD,),
    _GPS_IFD: (),
    INTEROPERABILITY_IFD: (),
}
"""For each IFD, named by the tag that points to it, the tags that point on from there."""

_UNKNOWN = {
    0x013C: "HostComputer",
    0x4746: "Rating",
    0x4749: "RatingPercent",
    0x9400: "AmbientTemperature",
    0x9401: "Humidity",
    0x9402: "Pressure",
    0x9403: "WaterDepth",
    0x9404: "Acceleration",
    0x9405: "CameraElevationAngle",
    0xA436: "ImageTitle",
    0xA437: "Photographer",
    0xA438: "ImageEditor",
    0xA439: "CameraFirmware",
    0xA43A: "RAWDevelopingSoftware",
    0xA43B: "ImageEditingSoftware",
    0xA43C: "MetadataEditingSoftware",
    0xFDE8: "OwnerName",
    0xFDE9: "SerialNumber",
    0xFDEA: "Lens",
}


def unknown_to_libexif(exif: bytes) -> list[str]:
    """Names of the tags of a block that libexif leaves out; none where it is damaged.

    Args:
        exif: A block as JPEG carries it, with or without its Exif prefix.
    """
    tags: set[int] = set()
    with suppress(struct.error):
        tiff = Tiff(io.BytesIO(exif.removeprefix(PREFIX)))
        tags |= tiff.entries.keys()
        for place in tiff.numbers(tiff.entries, EXIF_IFD)[:1]:
            tags |= tiff.directory(place)[0].keys()
    return [name for tag, name in _UNKNOWN.items() if tag in tags]
