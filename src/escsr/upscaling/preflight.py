"""Results that cannot be: refused before the work, with what to do instead."""

from __future__ import annotations

import math
import stat
from pathlib import Path

from escsr import images
from escsr.errors import DeviceError, OutputError
from escsr.files import check_writable
from escsr.images import Header
from escsr.runtime.devices import free_host_memory
from escsr.upscaling.options import check_max_pixels
from escsr.upscaling.target_size import TargetSize

__all__ = ["check_can_be_lossless", "check_memory", "check_result", "frames_of_result"]

_FLOAT_PLANES = 3 * 4
"""Bytes per pixel of colour in float, once of what a network takes and once of what it gives."""

_DEPTH_BYTES = 2
"""Of source and result, as in their files; frames have 8 bits."""


def check_result(
    header: Header,
    target: Path,
    wanted: TargetSize,
    *,
    scale: int | None = None,
    max_pixels: int | None = None,
    lossless: bool = False,
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Refuses a result that its file, a limit of pixels or the memory cannot hold.

    Args:
        header: Of the source.
        target: File of the result; its ending decides the format.
        wanted: What the result shall measure.
        scale: The network's, which makes its own size first; None where it makes any.
        max_pixels: Most pixels of the source, of the result and of what the network makes, of all
            frames together; None for no limit.
        lossless: Whether the file's pixels shall be those of the result.

    Returns:
        Rows and columns of the result, and of what the network makes.

    Raises:
        ConfigError: `max_pixels` is below 1, or the size is impossible for the source.
        OutputError: The target's name cannot be, the file there is read-only, its format cannot hold such
            sides or is never lossless, or there are too many pixels.
        DeviceError: The memory does not suffice for the source and the result.
    """
    check_max_pixels(max_pixels)
    frames = frames_of_result(header, target)
    out_size = wanted.upscaled(header.height, header.width)
    computed = out_size if scale is None else (header.height * scale, header.width * scale)
    rows, columns = (part.stop - part.start for part in wanted.kept(header.height, header.width))
    _check_name(target)
    check_writable(target)
    images.check_size(target, columns, rows)
    if lossless:
        check_can_be_lossless(target)
    sizes = (header.height, header.width), (rows, columns), computed
    for name, (height, width) in zip(("source", "result", "network's result"), sizes, strict=True):
        if max_pixels is not None and height * width * frames > max_pixels:
            of = f" of {frames} frames" if frames > 1 else ""
            has, smaller = ("has", "") if name == "source" else ("would have", "a smaller size, or ")
            raise OutputError(
                f"{target}: the {name} {has} {width}×{height} pixels{of}, more than the {max_pixels} "
                f"allowed; choose {smaller}a higher --max-pixels."
            )
    source, _, network = (math.prod(size) for size in sizes)
    whole = math.prod(out_size)  # of which a part may be kept
    held = header.channels * (1 if frames > 1 else _DEPTH_BYTES) * frames
    check_memory(f"{target}", (rows, columns), (source + whole) * held + (source + network) * _FLOAT_PLANES)
    return (rows, columns), computed


def check_can_be_lossless(target: Path) -> None:
    """Refuses a file from which pixels never come back equal.

    Args:
        target: The file; its ending decides the format.

    Raises:
        OutputError: The format always loses some, or cannot be written.
    """
    format = images.check_suffix(target)
    if format.lossless == "never":
        raise OutputError(
            f"{target}: {format.name} is never lossless; choose another format, such as png, or leave out "
            "--lossless."
        )


def frames_of_result(header: Header, target: Path) -> int:
    """Frames that a result has: those of the source where its format holds an animation, else one."""
    return header.frames if images.check_suffix(target).is_animated else 1


def check_memory(name: str, size: tuple[int, int], needed: int) -> None:
    """Refuses a result that takes more bytes than are free.

    Args:
        name: What to call it.
        size: Its rows and columns.
        needed: Bytes.

    Raises:
        DeviceError: The memory does not suffice.
    """
    free = free_host_memory()
    if needed > free:
        raise DeviceError(
            f"{name}: {size[1]}×{size[0]} pixels take {needed / 2**30:.1f} GiB of memory, of which "
            f"{free / 2**30:.1f} are free; choose a smaller size or a part of the picture."
        )


def _check_name(target: Path) -> None:
    """Refuses what no file can be called, and what is there but no ordinary file."""
    try:
        mode = target.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        raise OutputError(f"{target}: cannot be written ({getattr(error, 'strerror', error)}).") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe; - is standard output"
        raise OutputError(f"{target}: is {kind}; choose another name for the result.")
