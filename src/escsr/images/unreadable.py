"""Files that are no readable pictures, and what to tell of them."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from escsr.errors import ImageError

__all__ = ["damaged", "reason", "unreadable", "what_it_is"]

_ENDS_EARLY = re.compile(
    r"premature end|unexpected end|end of (file|data)|bad seek|truncated|too short|EOF", re.IGNORECASE
)
"""What decoders say where a file ends before its picture does."""

_OTHER_TIFF = re.compile(
    r"tiff2vips.*(not configured|out of range|not a whole number|unsupported|not supported)", re.IGNORECASE
)
"""What libvips says of a TIFF that is whole, but of a kind it does not read."""


def unreadable(path: str | os.PathLike[str], why: str) -> ImageError:
    """The error for a file that should be a picture."""
    return ImageError(f"{Path(path)}: not a readable picture: {why}.")


def damaged(path: str | os.PathLike[str], why: str) -> ImageError:
    """The error for a file that a decoder refuses.

    Args:
        path: The file.
        why: What the decoder says.
    """
    if _OTHER_TIFF.search(why):
        advice = "save it with LZW or deflate compression, in 8 or 16 bits"
        return unreadable(path, f"this kind of TIFF is not supported ({why}); {advice}")
    if _ENDS_EARLY.search(why) or _is_cut(Path(path)):
        return unreadable(path, f"the file ends too early, it was not copied or saved completely ({why})")
    return unreadable(path, f"the file is damaged ({why})")


def what_it_is(head: bytes) -> str:
    """What a file that is none of `FORMATS` is, by its first bytes, in words."""
    if not head:
        return "the file is empty"
    for mark, words in _OTHER_KINDS.items():
        if re.match(mark, head, re.DOTALL):
            return words
    if not head.strip(b"\0"):
        return "it holds nothing but zeros, so it is damaged"
    with suppress(UnicodeDecodeError):
        text = head.decode()
        is_page = re.match(r"\s*<(!doctype )?html", text, re.IGNORECASE)
        return "it is a web page" if is_page else "it is text"
    return "it is damaged, or of a kind that is unknown here"


_SAVE_AS = "is not supported; save the picture as PNG or TIFF"
_OTHER_KINDS = {
    rb"%PDF": f"it is a PDF document, which {_SAVE_AS}",
    rb"BM.{4}\0\0\0\0": f"it is a BMP file, which {_SAVE_AS}",
    rb"8BPS": f"it is a Photoshop file, which {_SAVE_AS}",
    rb"gimp xcf": f"it is a GIMP file, which {_SAVE_AS}",
    rb"\s*(<\?xml.*)?<svg": "it is an SVG drawing, which can be drawn at any size without upscaling",
    rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51": f"it is a JPEG 2000 file, which {_SAVE_AS}",
    rb"\0\0\x01\0": f"it is an icon, which {_SAVE_AS}",
    rb"DDS ": f"it is a DDS texture, which {_SAVE_AS}",
    rb"P[1-7]\s": f"it is a Netpbm file, which {_SAVE_AS}",
    rb".{4}ftyp|\x1aE\xdf\xa3|RIFF.{4}AVI ": "it is a video",
    rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!": "it is an archive; unpack it first",
    rb"ID3|\xff\xfb|OggS|fLaC|RIFF.{4}WAVE": "it is a sound file",
}
"""First bytes of files that people take for pictures, and what to tell of them."""


def _is_cut(path: Path) -> bool:
    """Whether a PNG or WebP file is shorter than it should be, of which their decoders say nothing."""
    with suppress(OSError), open(path, "rb") as file:
        head, size = file.read(12), path.stat().st_size
        if head[:4] == b"RIFF":
            return int.from_bytes(head[4:8], "little") + 8 > size
        if head[:4] == b"\x89PNG":
            file.seek(max(0, size - _TAIL))
            return b"IEND" not in file.read()
    return False


_TAIL = 1 << 16


def reason(error: object) -> str:
    """The first line of what libvips, another decoder or the system gives as its reason."""
    text = getattr(error, "detail", None) or getattr(error, "strerror", None) or error
    return (str(text).strip().splitlines() or ["unknown error"])[0].strip()
