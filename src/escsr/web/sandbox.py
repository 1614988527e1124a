"""The server's side of the process that reads and writes a file: started, watched, ended."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from escsr.errors import ImageError
from escsr.images import FORMATS, Animation, Header, Picture, WriteOptions
from escsr.images.metadata import aspect_of, aspect_tags
from escsr.web.codec import PIXELS, SOURCE
from escsr.web.limits import Limits

__all__ = ["Sandbox", "read_header"]

_LOOK_SECONDS = 0.05
_LONGEST_ANSWER = 1 << 20
_HEADER_SECONDS = 20
_MOST_ASPECT = 1e6
_HEADERS_AT_ONCE = threading.BoundedSemaphore(2)

_COMMAND = (sys.executable, "-c", "from escsr.web import codec; codec.main()")


class Sandbox:
    """A process that reads one uploaded file and later writes its result; for use in a `with`.

    Args:
        folder: Of the job, with the upload in it.
        limits: Of memory and time.
        check: Called often while it works; what it raises ends the process and the wait.

    Raises:
        ImageError: By each method: the file is no picture, or asks for too much memory or time; or the
            process was ended.
    """

    def __init__(self, folder: Path, limits: Limits, check: Callable[[], object] = lambda: None) -> None:
        self._folder, self._limits, self._check = folder, limits, check
        self._memory = int(limits.codec_memory_mib * 2**20)
        seconds = int((limits.decode_seconds + limits.encode_seconds) * (os.cpu_count() or 1)) + 1
        hidden = {name: value for name, value in os.environ.items() if not name.startswith("ESCSR_")}
        self._process = subprocess.Popen(
            [*_COMMAND, str(folder), str(self._memory), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libraries write of the picture there
            cwd=folder.parent,
            env=hidden | {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "4"},
            start_new_session=True,  # Ctrl-C is the server's to answer
        )
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                stream.close()  # type: ignore[union-attr]

    @property
    def process_id(self) -> int:
        """Of the process."""
        return self._process.pid

    def check_alive(self) -> None:
        """Raises where the process has ended."""
        if self._process.poll() is not None:
            raise self._ended()

    def header(self) -> Header:
        """What the file says of its picture."""
        answer = self._ask(_HEADER_SECONDS, "reading its header", do="header")
        try:
            name = answer.pop("format")
            header = Header(next(each for each in FORMATS if each.name == name), **answer)
            assert all(isinstance(n, int) and n > 0 for n in (header.width, header.height, header.frames))
        except (KeyError, TypeError, StopIteration, AssertionError) as error:
            raise self._ended() from error
        return header

    def read(self, target: Path, *, to_srgb: bool = False) -> Picture | Animation:
        """Decodes the picture, as `images.read_for`, without its metadata, which stays in the process, but
        for the shape of its pixels.

        Args:
            target: File that `write` shall write.
            to_srgb: As for `images.read_for`.
        """
        request = {"do": "read", "target": str(target), "to_srgb": to_srgb}
        kind = self._ask(self._limits.decode_seconds, "reading it", **request)
        try:
            pixels = np.load(self._folder / PIXELS, mmap_mode="r", allow_pickle=False)
            rows = pixels.shape[-3] * (pixels.shape[0] if pixels.ndim == 4 else 1)
            if rows * pixels.shape[-2] > self._limits.max_pixels or pixels.shape[-1] > 4:
                raise ValueError("more pixels than the header said")
            pixels = np.array(pixels)
            notes = tuple(map(str, kind.pop("notes")))
            if pixels.ndim == 4:
                return Animation(pixels, (0,) * len(pixels), notes=notes)
            aspect = float(kind["aspect"])
            if not 1 / _MOST_ASPECT < aspect < _MOST_ASPECT:
                raise ValueError("pixels of no shape")
            return Picture(
                pixels,
                aspect_tags(aspect),
                linear=bool(kind["linear"]),
                premultiplied=bool(kind["premultiplied"]),
                notes=notes,
            )
        except (OSError, ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
            raise self._ended() from error

    def write(self, picture: Picture | Animation, options: WriteOptions) -> None:
        """Writes the larger picture with the metadata of the one that was read.

        Args:
            picture: Its pixels or frames, and their shape, are what counts.
            options: Quality and the like.
        """
        pixels = picture.frames if isinstance(picture, Animation) else picture.pixels
        np.save(self._folder / PIXELS, pixels, allow_pickle=False)
        kept = {field.name: getattr(options, field.name) for field in fields(WriteOptions)}
        request = {"do": "write", "options": kept, "aspect": aspect_of(picture.metadata)}
        self._ask(self._limits.encode_seconds, "writing its result", **request)

    def _ask(self, seconds: float, what: str, **request: Any) -> dict[str, Any]:
        with suppress(OSError):  # it has ended, which is noticed below
            self._process.stdin.write(json.dumps(request).encode() + b"\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        end = time.monotonic() + seconds
        while True:
            self._check()
            with suppress(queue.Empty):
                line = self._answers.get(timeout=_LOOK_SECONDS)
                break
            if time.monotonic() > end:
                raise ImageError(f"{self._folder / SOURCE}: {what} takes more than {seconds:g} seconds.")
            self._check_memory()
        try:
            answer = json.loads(line)
            error = answer.get("error")
        except (ValueError, AttributeError) as cause:
            raise self._ended() from cause
        if error is not None:
            raise ImageError(str(error)[:2000])
        return answer

    def _listen(self) -> None:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(_LONGEST_ANSWER):
            self._answers.put(line)
        self._answers.put(b"")

    def _check_memory(self) -> None:
        """Where the system bounds none, this does."""
        with suppress(psutil.Error):
            if psutil.Process(self._process.pid).memory_info().rss > self._memory:
                raise ImageError(f"{self._folder / SOURCE}: takes more memory than one picture may.")

    def _ended(self) -> ImageError:
        return ImageError(
            f"{self._folder / SOURCE}: the process that reads and writes it ended; the file is damaged, or "
            "takes more memory or time than one picture may."
        )


def read_header(folder: Path, limits: Limits) -> Header:
    """Reads the header of an upload in a process of its own; of these few run at once.

    Raises:
        ImageError: It is no picture.
    """
    with _HEADERS_AT_ONCE, Sandbox(folder, limits) as sandbox:
        return sandbox.header()
