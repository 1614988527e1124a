"""Pipes that end once nobody waits for the other side, which may send or take nothing for ever."""

from __future__ import annotations

import io
import os
import select
import stat
import sys
import threading
from typing import Any, BinaryIO, cast

__all__ = ["heeding"]

_LOOK_SECONDS = 0.1
"""Between two looks at whether anybody still waits for what a pipe will bring, or take."""

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
    is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
    return stream if is_file else cast("BinaryIO", _HeedingPipe(ended, descriptor))


class _HeedingPipe(io.RawIOBase):
    """Reads what there is and writes what there is room for; else waits in short steps."""

    def __init__(self, ended: threading.Event, descriptor: int) -> None:
        self._ended, self._descriptor = ended, descriptor

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ended.is_set():
            if select.select([self._descriptor], [], [], _LOOK_SECONDS)[0]:
                return os.readv(self._descriptor, [buffer])
        return 0

    def write(self, buffer: Any) -> int:
        """All of it; `PIPE_BUF` bytes never block where there is any room.

        Raises:
            OSError: Nobody takes it, and nobody waits for that.
        """
        data, written, waited = memoryview(buffer).cast("B"), 0, 0.0
        while written < len(data):
            if select.select([], [self._descriptor], [], _LOOK_SECONDS)[1]:
                written += os.write(self._descriptor, data[written : written + select.PIPE_BUF])
                waited = 0.0
            elif self._ended.is_set():
                waited += _LOOK_SECONDS
                if waited > _PATIENCE_SECONDS:
                    raise BrokenPipeError("The reader takes nothing more.")
        return len(data)
