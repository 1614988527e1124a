"""What a job will do, decided from its file's header and its options before it is queued."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from escsr import images
from escsr.errors import ConfigError, DeviceError, EscError, ImageError
from escsr.files import named_in_errors
from escsr.images import Header
from escsr.images.formats import CAMERA_RAW, FORMAT_OF
from escsr.models.selection import choose_model
from escsr.upscaling.default_target import default_target
from escsr.upscaling.options import UpscaleOptions
from escsr.upscaling.preflight import check_result, frames_of_result
from escsr.upscaling.target_size import TargetSize
from escsr.web.codec import NO_RAW
from escsr.web.offers import scale_of

__all__ = ["Plan", "TooLargeError", "check_name", "clean_name", "plan_job"]

_LONGEST_NAME = 150
"""Bytes; a file's whole name may have 255 on most systems."""

_ESCAPED = {'"': "%22", "\n": "%0A", "\r": "%0D"}
"""What browsers write in place of the signs that a form's headers cannot have."""


class TooLargeError(EscError):
    """A picture or a result of more pixels than the server or its memory takes."""


@dataclass(frozen=True)
class Plan:
    """What will be done.

    Attributes:
        options: As asked for; its model is what `choose_model` takes.
        weights: File of the model that suits the size.
        size: What the result measures.
        target: File to write.
        result_name: What the result is called for its owner.
        in_size: Width and height of the picture, pixels.
        out_size: Width and height of the result, pixels.
        work: Pixels that the network takes; of an animation those of all frames that the result has.
    """

    options: UpscaleOptions
    weights: Path
    size: TargetSize
    target: Path
    result_name: str
    in_size: tuple[int, int]
    out_size: tuple[int, int]
    work: int


def plan_job(
    header: Header,
    options: UpscaleOptions,
    folder: Path,
    *,
    name: str,
    suffix: str | None,
    max_pixels: int,
) -> Plan:
    """Decides model, size and format as `escsr upscale` does, and refuses what cannot be.

    Args:
        header: Of the upload.
        options: As asked for.
        folder: Of the job.
        name: Of the upload, clean.
        suffix: Format of the result, "png"; None for that of the upload's name, or PNG.
        max_pixels: See `Limits`.

    Returns:
        The plan.

    Raises:
        TooLargeError: There are too many pixels, for the server or its memory.
        EscError: The options do not fit each other, the model or the format.
    """
    size = options.target
    if size is None:
        scale = scale_of(choose_model(options.model, None))
        size = options.cropped(TargetSize(scale=2 if scale is None else scale))
    weights = choose_model(options.model, size.scale_of(header.height, header.width))
    options.of_file(weights)  # refuses a strength that it has not
    named = default_target(Path(name), size)
    if suffix is not None:
        ending = f".{suffix.lower().removeprefix('.')}"
        if ending not in images.WRITABLE:
            known = ", ".join(each[1:] for each in images.WRITABLE)
            raise ConfigError(f"format must be one of {known}, not {suffix!r:.50}.")
        named = named.with_suffix(ending)
    target = folder / f"result{named.suffix.lower()}"
    check = partial(check_result, header, target, size, scale=scale_of(weights), lossless=options.lossless)
    with named_in_errors({str(target): named.name}):
        try:
            (rows, columns), _ = check(max_pixels=max_pixels)
        except EscError as error:
            with suppress(DeviceError):  # as are too many pixels; what else is raised is the format's
                check()
            raise TooLargeError(str(error)) from error
    return Plan(
        options=options,
        weights=weights,
        size=size,
        target=target,
        result_name=named.name,
        in_size=(header.width, header.height),
        out_size=(columns, rows),
        work=header.width * header.height * frames_of_result(header, target),
    )


def check_name(name: str) -> None:
    """Refuses names of camera raw, as the content does not always tell it from TIFF.

    Raises:
        ImageError: It is one.
    """
    if FORMAT_OF.get(Path(name).suffix.lower()) == CAMERA_RAW:
        raise ImageError(f"{name}: {NO_RAW}")


def clean_name(name: str | None) -> str:
    """The last part of a file's name, without what no name should hold; it never becomes a path here.

    It is short enough for the name of a result to be made of it.
    """
    name = name or ""
    for sign, escaped in _ESCAPED.items():
        name = name.replace(escaped, sign)
    last = name.replace("\\", "/").rpartition("/")[2]
    last = "".join(sign for sign in last if sign.isprintable()).encode(errors="replace").decode()
    stem, dot, suffix = last.strip(" .").rpartition(".")
    if not dot:
        stem, suffix = suffix, ""
    stem = stem.encode()[:_LONGEST_NAME].decode(errors="ignore")
    return f"{stem or 'picture'}{dot}{suffix[:10]}"
