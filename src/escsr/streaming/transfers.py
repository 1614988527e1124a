"""Tiles on their way between host memory and the device, beside the computation where that pays."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Transfers"]

Fetch = Callable[[], list[Tensor]]
"""Gives the inputs of a tile, in host memory."""


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
        self._leaving: Callable[[], None] | None = None

    def send(self, fetch: Fetch) -> None:
        """Starts to copy the inputs of the next tile."""
        if self._stream is None:
            return
        pinned = [_pinned(part) for part in fetch()]
        with torch.cuda.stream(self._stream):
            self._ahead = [part.to(self.device, non_blocking=True) for part in pinned]

    def arrive(self, fetch: Fetch) -> list[Tensor]:
        """The inputs of a tile, on the device; those that were sent, or fetched now."""
        if self._stream is None:
            return [part.to(self.device) for part in fetch()]
        if self._ahead is None:
            self.send(fetch)
        inputs, self._ahead = self._ahead, None
        assert inputs is not None
        current = torch.cuda.current_stream(self.device)
        current.wait_stream(self._stream)
        for part in inputs:
            part.record_stream(current)
        return inputs

    def bring(
        self,
        result: Tensor,
        write: Callable[[Tensor], None],
        is_finite: Tensor | None,
        again: Callable[[], Tensor],
    ) -> None:
        """Copies a result to the host and writes it; with overlap the writing waits for the next call.

        Args:
            result: On the device.
            write: Takes it in host memory.
            is_finite: A truth on the device: whether the result can be used; None where it can.
            again: Computes the result again, where it cannot.
        """
        parts = [result] if is_finite is None else [result, is_finite]
        hosted, wait = self._to_host(parts)

        def leave() -> None:
            wait()
            write(hosted[0] if all(hosted[1:]) else again().cpu())

        self.finish()
        self._leaving = leave
        if not self.overlap:
            self.finish()

    def _to_host(self, parts: list[Tensor]) -> tuple[list[Tensor], Callable[[], None]]:
        """Copies tensors to the host; they are there after a call of what is returned with them."""
        if self._stream is None:
            return [part.cpu() for part in parts], lambda: None
        hosted = [torch.empty_like(part, device="cpu", pin_memory=True) for part in parts]
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._stream):
            for target, part in zip(hosted, parts, strict=True):
                target.copy_(part, non_blocking=True)
                part.record_stream(self._stream)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record(self._stream)
        return hosted, event.synchronize

    def finish(self) -> None:
        """Writes the result that is still on its way."""
        leave, self._leaving = self._leaving, None
        if leave is not None:
            leave()

    def forget(self) -> None:
        """Drops what was sent ahead, after the device ran out of memory."""
        self._ahead = None
        if self.overlap:
            torch.cuda.empty_cache()


def _pinned(part: Tensor) -> Tensor:
    """A contiguous copy (channels last where the map is) in memory that the device copies from."""
    layout = torch.channels_last if part.stride(1) == 1 else torch.contiguous_format
    return torch.empty_like(part, device="cpu", pin_memory=True, memory_format=layout).copy_(part)
