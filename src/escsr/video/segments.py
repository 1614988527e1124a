"""Segments: the finished parts of a result, on disk beside it, so that an interrupted run goes on.

A segment holds some seconds of encoded video, begins with a key frame, and refers to no other. Its file is
written under another name and renamed when it is whole; then a line is added to the list, with the times of
its frames. Containers round times, each in its own way, so a segment's file counts its frames, and the
times are taken from the list.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from escsr.errors import OutputError
from escsr.files import atomic_path
from escsr.video.encoding import Encoding
from escsr.video.library import library, words_of

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.video.stream import VideoStream

__all__ = ["Segment", "SegmentWriter", "Segments", "number_of", "older_segments", "segments_bytes"]

_LIST = "segments.jsonl"
_TICK = Fraction(1, 1000)
"""Of the segments' files, which count frames in it."""

_AHEAD = 64
"""More than any encoder reorders: presentation counts from here, decoding from 0."""


def number_of(time: int, first: int, time_base: Fraction, seconds: float) -> int:
    """Which segment a frame belongs to: by its time alone, so that it is the same in any run.

    Args:
        time: When the frame is shown, ticks.
        first: When the first one of the video is, ticks.
        time_base: Seconds per tick.
        seconds: Length of a segment.
    """
    return int((time - first) * time_base / Fraction(seconds).limit_denominator(1000))


@dataclass(frozen=True)
class Segment:
    """A finished segment.

    Attributes:
        path: Its file.
        times: When its frames are shown, ticks of the source, rising.
    """

    path: Path
    times: tuple[int, ...]


def _folder_of(target: Path, key: str) -> Path:
    return target.parent / f".{target.name}.{key[:16]}.segments"


def segments_bytes(target: Path, key: str) -> int:
    """What the segments of a run take on the disk so far.

    Args:
        target: The result.
        key: See `Segments`.
    """
    return _bytes_in(_folder_of(target, key))


def older_segments(target: Path, key: str) -> tuple[str, ...]:
    """Notes of segments that runs with other settings left, which nothing continues or deletes.

    Args:
        target: The result.
        key: Of the run at hand, see `Segments`.
    """
    called = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{16}}\.segments")
    found = [path for path in target.parent.glob("*") if called.fullmatch(path.name)]
    return tuple(
        f"{_bytes_in(path) / 2**20:.1f} MiB of an earlier run with other settings are in {path}; delete it "
        "if it is not to be continued"
        for path in sorted(found)
        if path != _folder_of(target, key)
    )


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.glob("*"):
        with suppress(OSError):  # it is gone meanwhile
            total += path.stat().st_size
    return total


class Segments:
    """The folder of a result's segments, and the list of those that are done.

    Args:
        target: The result; the folder stands beside it.
        key: Hash of source, model and settings, which is part of its name: other settings have another.

    Raises:
        OutputError: The folder cannot be made, or another run is at work in it.
    """

    def __init__(self, target: Path, key: str) -> None:
        self.folder = _folder_of(target, key)
        self.done: dict[int, Segment] = {}
        self.notes: tuple[str, ...] | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.folder / "lock")
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise OutputError(f"{target}: another run is at work on it; wait for its end.") from error
        except OSError as error:
            raise OutputError(f"Cannot write to {target.parent}: {words_of(error)}.") from error
        self._read()

    def __enter__(self) -> Segments:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        self._lock.release()

    @property
    def is_complete(self) -> bool:
        """Whether all of the video is done, so that only the parts have to be joined."""
        return self.notes is not None

    def path_of(self, number: int) -> Path:
        """A segment's file."""
        return self.folder / f"{number:06d}.mkv"

    def add(self, number: int, times: Sequence[int]) -> None:
        """Notes that a segment's file is whole."""
        self.done[number] = Segment(self.path_of(number), tuple(times))
        self._append({"segment": number, "times": list(times)})

    def complete(self, notes: Sequence[str]) -> None:
        """Notes that there are no more segments, and what was wrong with the source."""
        self.notes = tuple(notes)
        self._append({"notes": list(notes), "segments": len(self.done)})

    def remove(self) -> None:
        """Deletes the folder, once the result is there."""
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _append(self, line: dict[str, Any]) -> None:
        try:
            with open(self.folder / _LIST, "ab") as file:
                file.write(json.dumps(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"Cannot write to {self.folder}: {words_of(error)}.") from error

    def _read(self) -> None:
        text, count = b"", 0
        with suppress(OSError):
            text = (self.folder / _LIST).read_bytes()
        for line in text.split(b"\n"):  # the last one may be torn
            with suppress(ValueError, TypeError, KeyError):
                entry = json.loads(line)
                if "notes" in entry:
                    count = int(entry["segments"])
                    self.notes = tuple(map(str, entry["notes"]))
                    continue
                number, times = int(entry["segment"]), tuple(map(int, entry["times"]))
                if self.path_of(number).is_file():
                    self.done[number] = Segment(self.path_of(number), times)
        if len(self.done) != count:  # a file is gone: its segment is done again
            self.notes = None
        if text and not text.endswith(b"\n"):  # so that what is added begins a line
            self._append({})


class SegmentWriter:
    """Encodes one segment into a file that appears when it is whole.

    Args:
        path: The file.
        encoding: How.

    Raises:
        OutputError: It cannot be written.
    """

    def __init__(self, path: Path, encoding: Encoding) -> None:
        self.path, self.time_base = path, encoding.time_base
        self.times: list[int] = []
        self._places: dict[int, int] = {}
        self._packets = 0
        self._stack = ExitStack()
        temporary = self._stack.enter_context(atomic_path(path))
        with _kept_segments(path.parent):
            self._container = library().open(str(temporary), "w", format="matroska")
            self._stream: VideoStream = self._container.add_stream(encoding.codec.encoder)
            encoding.prepare(self._stream.codec_context)

    def write(self, frame: VideoFrame, time: int) -> None:
        """Encodes a frame.

        Args:
            frame: Of the encoding's size and layout.
            time: When it is shown, ticks; later than the one before.
        """
        frame.pts, frame.time_base = time, self.time_base
        self._places[time] = len(self.times)
        self.times.append(time)
        with _kept_segments(self.path.parent):
            self._mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finishes the file."""
        with _kept_segments(self.path.parent):
            self._mux(self._stream.encode(None))
            self._container.close()
        assert self._packets == len(self.times), "an encoder kept a frame"
        self._stack.close()

    def abandon(self) -> None:
        """Leaves nothing of it."""
        with suppress(library().error.FFmpegError, OSError):
            self._container.close()
        with suppress(_AbandonedError), self._stack:
            raise _AbandonedError

    def _mux(self, packets: Sequence[Packet[VideoStream]]) -> None:
        for packet in packets:
            assert packet.pts is not None
            packet.time_base = _TICK
            packet.pts, packet.dts = self._places[packet.pts] + _AHEAD, self._packets
            packet.duration = 1
            self._packets += 1
            self._container.mux(packet)


class _AbandonedError(Exception):
    """Ends the context of a temporary file as an error does."""


@contextmanager
def _kept_segments(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, library().error.FFmpegError) as error:
        raise OutputError(
            f"Cannot write to {folder}: {words_of(error)}. What is done is kept: make room, and run the "
            "same command again."
        ) from error
