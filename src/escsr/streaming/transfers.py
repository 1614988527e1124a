"""Tiles on their way between host memory and the device, beside the computation where that pays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

__all__ = ["Transfers"]

Place = TypeVar("Place")


class Transfers:
    """Copies tiles to the device and results back.

    On a CPU nothing is copied. On CUDA both ways go through pinned memory on streams of their own: the
    next tile arrives and the last result leaves while the present tile is computed. Elsewhere the
    copies are plain.

    Args:
        device: Where the network computes.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.overlap = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if self.overlap else None  # type: ignore[no-untyped-call]
        self._ahead: list[Tensor] | None = None
        self._leaving: tuple[Tensor, torch.cuda.Event, Callable[[Tensor], None]] | None = None

    def send(self, place: Place, fetch: Callable[[Place], list[Tensor]]) -> None:
        """Starts to copy the inputs of the next tile."""
        if self._stream is None:
            return
        pinned = [_pinned(part) for part in fetch(place)]
        with torch.cuda.stream(self._stream):
            self._ahead = [part.to(self.device, non_blocking=True) for part in pinned]

    def arrive(self, place: Place, fetch: Callable[[Place], list[Tensor]]) -> list[Tensor]:
        """The inputs of a tile, on the device; those that were sent, or fetched now."""
        if self._stream is None:
            return [part.to(self.device) for part in fetch(place)]
        if self._ahead is None:
            self.send(place, fetch)
        inputs, self._ahead = self._ahead, None
        assert inputs is not None
        current = torch.cuda.current_stream(self.device)
        current.wait_stream(self._stream)
        for part in inputs:
            part.record_stream(current)
        return inputs

    def bring(self, result: Tensor, write: Callable[[Tensor], None]) -> None:
        """Copies a result to the host and writes it; on CUDA the writing waits for the next call."""
        if self._stream is None:
            write(result.cpu())
            return
        pinned = torch.empty_like(result, device="cpu", pin_memory=True)
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            pinned.copy_(result, non_blocking=True)
            result.record_stream(self._stream)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record(self._stream)
        self.finish()
        self._leaving = pinned, event, write

    def finish(self) -> None:
        """Writes the result that is still on its way."""
        if self._leaving is not None:
            pinned, event, write = self._leaving
            self._leaving = None
            event.synchronize()
            write(pinned)

    def forget(self) -> None:
        """Drops what was sent ahead, after the device ran out of memory."""
        self._ahead = None
        if self.overlap:
            torch.cuda.empty_cache()


def _pinned(part: Tensor) -> Tensor:
    """A contiguous copy (channels last where the map is) in memory that the device copies from."""
    layout = torch.channels_last if part.stride(1) == 1 else torch.contiguous_format
    return torch.empty_like(part, device="cpu", pin_memory=True, memory_format=layout).copy_(part)
