"""The process that reads and writes files for the server: the only one to parse what strangers sent.

    python -c "from escsr.web import codec; codec.main()" FOLDER MEMORY_BYTES CPU_SECONDS

It takes requests as lines of JSON on standard input and answers each by a line on standard output; pixels
lie in a file between the processes, metadata never leaves this one, but for the shape of pixels. Whatever a
file does to it (a crash, a loop, all the memory there is), only this process dies; see `sandbox` for the
other side.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from escsr import images
from escsr.errors import EscError, ImageError
from escsr.images import Animation, Picture, WriteOptions
from escsr.images.formats import CAMERA_RAW
from escsr.images.metadata import PIXEL_ASPECT, aspect_of, aspect_tags

__all__ = ["NO_RAW", "PIXELS", "SOURCE", "Codec", "main"]

SOURCE, PIXELS = "source", "pixels.npy"
"""Names in a job's folder: the upload, and pixels on their way between the processes."""

NO_RAW = "camera raw is not taken here; develop it first, or use the command."

_NONE = np.zeros(0, np.uint8)


class Codec:
    """Answers requests about one uploaded file.

    Args:
        folder: The job's.
    """

    def __init__(self, folder: Path) -> None:
        self._source, self._pixels = folder / SOURCE, folder / PIXELS
        self._target = folder
        self._picture: Picture | Animation | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Does what is asked for, or says in one sentence why not.

        Args:
            request: `do` is "header", "read" (with `target` and `to_srgb`) or "write" (with `options`
                and `aspect`).

        Returns:
            What the header says; or of which kind the pixels are; or nothing; or an `error`.
        """
        try:
            do: Callable[..., dict[str, Any]] = getattr(self, f"_{request.pop('do')}")
            return do(**request)
        except EscError as error:
            return {"error": str(error)}
        except MemoryError:
            return {"error": f"{self._source}: takes more memory than one picture may."}
        except Exception as error:
            return {"error": f"{self._source}: {type(error).__name__}: {error}".splitlines()[0]}

    def _header(self) -> dict[str, Any]:
        if images.recognise(self._source) == CAMERA_RAW:  # before its package is asked for, or fails on it
            raise ImageError(f"{self._source}: {NO_RAW}")
        header = images.read_header(self._source)
        return {**dataclasses.asdict(header), "format": header.format.name}

    def _read(self, target: str, to_srgb: bool) -> dict[str, Any]:
        self._target = Path(target)
        picture = images.read_for(self._target, self._source, to_srgb=to_srgb)
        kind: dict[str, Any] = {"notes": picture.notes}
        if isinstance(picture, Animation):
            np.save(self._pixels, picture.frames, allow_pickle=False)
            picture = dataclasses.replace(picture, frames=_NONE)
        else:
            np.save(self._pixels, picture.pixels, allow_pickle=False)
            kind |= {"linear": picture.linear, "premultiplied": picture.premultiplied}
            kind["aspect"] = aspect_of(picture.metadata)
            picture = dataclasses.replace(picture, pixels=_NONE)
        self._picture = picture  # without its pixels, while the network works
        return kind

    def _write(self, options: dict[str, Any], aspect: float) -> dict[str, Any]:
        assert self._picture is not None, "read comes first"
        pixels = np.load(self._pixels, allow_pickle=False)
        self._pixels.unlink()
        name = "frames" if isinstance(self._picture, Animation) else "pixels"
        kept = {key: block for key, block in self._picture.metadata.items() if key != PIXEL_ASPECT}
        metadata = kept | aspect_tags(aspect)
        picture = dataclasses.replace(self._picture, metadata=metadata, **{name: pixels})
        images.write(picture, self._target, WriteOptions(**options))
        return {}


def main() -> None:
    """Answers until standard input ends, which it does with the server."""
    folder, memory, seconds = sys.argv[1:]
    _limit(int(memory), int(seconds))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries may print
    codec = Codec(Path(folder))
    for line in sys.stdin:
        answers.write(json.dumps(codec.answer(json.loads(line))) + "\n")
        answers.flush()


def _limit(memory: int, seconds: int) -> None:
    """Bounds this process, where the system can (Linux; macOS all but the memory); none can lift it."""
    try:
        import resource
    except ImportError:  # Windows; the watching process bounds memory and time everywhere
        return
    limits = {"AS": memory, "CPU": seconds, "CORE": 0, "NOFILE": 256}
    for name, most in limits.items():
        number = getattr(resource, f"RLIMIT_{name}")
        _, hard = resource.getrlimit(number)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(number, (bound, bound))
