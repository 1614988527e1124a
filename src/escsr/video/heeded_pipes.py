"""Pipes that end once nobody waits for the other side, which may send or take nothing for ever."""

from __future__ import annotations

import io
import os
import select
import stat
import sys
import threading
from contextlib import suppress
from typing import Any, BinaryIO, cast

__all__ = ["heeding"]

_LOOK_SECONDS = 0.1
"""Between two looks at whether anybody still waits for what a pipe will bring, or take."""

_PIECE = 2**20
"""Bytes that are offered to a pipe at once."""

_PATIENCE_SECONDS = 2.0
"""For a reader that takes nothing, once nobody waits."""


def heeding(ended: threading.Event, stream: BinaryIO) -> BinaryIO:
    """A pipe that ends once nobody wants more of it; else a call could last as long as its other side.

    Args:
        ended: Whether nobody does. What is being written then is finished as long as the reader takes some
            of it every two seconds.
        stream: Of which nothing has been read, or to which nothing was written.

    Returns:
        The same stream where there is nothing to wait for, or no way to (Windows).
    """
    try:
        descriptor = stream.fileno()
    except OSError:  # it is in memory
        return stream
    if sys.platform == "win32":
        return stream
    if stream.readable():
        return io.BufferedReader(_HeedingPipe(ended, descriptor))
    # A file takes everything at once; of it select would tell nothing.
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return stream
    opened = _opened_anew(descriptor) if stat.S_ISFIFO(mode) else None
    return cast("BinaryIO", _HeedingPipe(ended, descriptor, opened))


def _opened_anew(descriptor: int) -> int | None:
    """The same pipe for writes that never block; None where it cannot be opened again.

    The descriptor itself stays as it is, since other programs may write by it too.
    """
    with suppress(OSError):  # Linux alone has this
        return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK)
    return None


class _HeedingPipe(io.RawIOBase):
    """Reads what there is and writes what there is room for; else waits in short steps."""

    def __init__(self, ended: threading.Event, descriptor: int, opened: int | None = None) -> None:
        self._ended, self._opened = ended, opened
        self._descriptor = descriptor if opened is None else opened
        self._most = select.PIPE_BUF if opened is None else _PIECE

    def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            os.close(opened)
        super().close()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ended.is_set():
            if select.select([self._descriptor], [], [], _LOOK_SECONDS)[0]:
                return os.readv(self._descriptor, [buffer])
        return 0

    def write(self, buffer: Any) -> int:
        """All of it; what does not fit is left for later, and `PIPE_BUF` bytes fit where there is any room.

        Raises:
            OSError: Nobody takes it, and nobody waits for that.
        """
        data, written, waited = memoryview(buffer).cast("B"), 0, 0.0
        while written < len(data):
            if select.select([], [self._descriptor], [], _LOOK_SECONDS)[1]:
                with suppress(BlockingIOError):  # another program was first
                    written += os.write(self._descriptor, data[written : written + self._most])
                waited = 0.0
            elif self._ended.is_set():
                waited += _LOOK_SECONDS
                if waited > _PATIENCE_SECONDS:
                    raise BrokenPipeError("The reader takes nothing more.")
        return len(data)
