"""What the server gives to those who ask: nothing of it without a bound."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from escsr.errors import ConfigError

__all__ = ["Limits"]

_STORED_MIB = 4096


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one server, over which it answers 413 (too large) or 429 (too many).

    Attributes:
        max_upload_mib: Largest file that is taken, MiB.
        max_pixels: Most pixels of a picture and of its result, of all frames together.
        max_queue: Jobs that may be on their way in, waiting or at work at once.
        max_stored_mib: Uploads and results kept at once, MiB; new uploads are refused beyond it, and work
            whose result might go beyond it waits until others are fetched, unless it is the only one. None
            for 4096, or for as much as four of the largest uploads take where that is more.
        max_records: Ended jobs that are remembered; the oldest without a result is forgotten first.
        max_streams: Event streams open at once.
        keep_seconds: How long a result waits to be fetched.
        keep_fetched_seconds: How long it stays after that, so that a broken connection can try again.
        stall_seconds: How long nothing of an upload may come.
        upload_kib: How much of it must come in a second, on average after that time, KiB.
        max_job_minutes: How long the work on one job may take.
        decode_seconds: How long reading one file may take.
        encode_seconds: How long writing one result may take.
        codec_memory_mib: Memory of the process that reads and writes a file, MiB.

    Raises:
        ConfigError: A bound is not positive or not finite, or not even one upload could be kept.
    """

    max_upload_mib: float = 128
    max_pixels: int = 100_000_000
    max_queue: int = 64
    max_stored_mib: float | None = None
    max_records: int = 1000
    max_streams: int = 64
    keep_seconds: float = 3600
    keep_fetched_seconds: float = 60
    stall_seconds: float = 60
    upload_kib: float = 16
    max_job_minutes: float = 60
    decode_seconds: float = 60
    encode_seconds: float = 600
    codec_memory_mib: float = 4096

    def __post_init__(self) -> None:
        for name, bound in dataclasses.asdict(self).items():
            if bound is not None and not 0 < bound < math.inf:
                raise ConfigError(f"{name} must be above 0 and finite, not {bound!r}.")
        if self.max_stored < self.max_upload:
            raise ConfigError(
                f"max_stored_mib is {self.max_stored_mib:g}: one upload may have {self.max_upload_mib:g}."
            )

    @property
    def max_upload(self) -> int:
        """Largest file, bytes."""
        return int(self.max_upload_mib * 2**20)

    @property
    def max_stored(self) -> int:
        """Uploads and results kept at once, bytes."""
        mib = self.max_stored_mib
        return int(max(_STORED_MIB, 4 * self.max_upload_mib) * 2**20) if mib is None else int(mib * 2**20)
