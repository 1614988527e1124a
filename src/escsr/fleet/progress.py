"""How far a run is, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Progress", "Summary"]


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        stage: "planning" or "upscaling".
        ended: Pictures listed, or upscaled or given up, in this run.
        total: Pictures to upscale; 0 while they are being listed.
        failed: Pictures given up.
        pixels_per_second: Of the inputs, since the first.
    """

    stage: Literal["planning", "upscaling"]
    ended: int
    total: int = 0
    failed: int = 0
    pixels_per_second: float = 0.0


@dataclass(frozen=True)
class Summary:
    """What became of a run.

    Attributes:
        done: Pictures upscaled.
        failed: Pictures given up after three attempts.
        done_before: Pictures that earlier runs had done.
        given_up_before: Pictures that earlier runs had given up.
        left: Pictures that are still to do: the run was stopped, the output takes nothing more, or the
            ledger's machine was lost.
        pixels: Of the inputs of those done.
        seconds: Upscaling, from the first actor's start on.
        errors: Of the last few failures, and why the output takes nothing more.
        outcomes: Where the dataset of outcomes is.
    """

    done: int
    failed: int
    done_before: int
    given_up_before: int
    left: int
    pixels: int
    seconds: float
    errors: tuple[str, ...]
    outcomes: str
