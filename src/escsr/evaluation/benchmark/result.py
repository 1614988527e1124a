"""What a benchmark found: rows, the ratios of two, and the conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import fmean, median
from typing import Any

import numpy as np

from escsr.evaluation.benchmark.paper import NOTHING_PRINTED, PaperFigures

__all__ = ["Benchmark", "PairedRatios", "Row"]


@dataclass(frozen=True)
class Row:
    """The cost of one network.

    Attributes:
        title: What a table calls it.
        network: As it was asked for.
        scale: Of the network; None for a layer.
        weights: "trained" or "random".
        input_size: Rows and columns that were timed.
        parameters: Their number, frozen ones too; None where the network could not be made.
        macs_g: Multiply-accumulates of convolutions and matrix products, 1e9, of one input for an output of
            the benchmark's `macs_size`.
        paper_macs_g: The same by the paper's rule, see `MacCount`.
        precision: As it was computed.
        attention: As it was computed; "its own" of other networks.
        form: See `NetworkForm`; "its own" of other networks.
        compile: See `CompileMode`.
        warm_up: Runs before those that are timed.
        latency_ms: Of each timed run of the whole batch, milliseconds.
        memory_mib: At most, see `Benchmark.conditions`; None where it was not measured.
        quality: Y-PSNR and SSIM by test set, of trained weights.
        quality_from: "card" of the model, "measured", or "" where there is none.
        paper: What the paper prints.
        reason: Why the network was not run; "" where it was.
    """

    title: str
    network: str
    scale: float | None = None
    weights: str = ""
    input_size: tuple[int, int] | None = None
    parameters: int | None = None
    macs_g: float | None = None
    paper_macs_g: float | None = None
    precision: str = ""
    attention: str = ""
    form: str = ""
    compile: str = ""
    warm_up: int = 0
    latency_ms: tuple[float, ...] = ()
    memory_mib: float | None = None
    quality: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    quality_from: str = ""
    paper: PaperFigures = NOTHING_PRINTED
    reason: str = ""

    @property
    def mean_ms(self) -> float | None:
        """Mean of the timed runs, milliseconds."""
        return fmean(self.latency_ms) if self.latency_ms else None

    @property
    def median_ms(self) -> float | None:
        """Median of the timed runs, milliseconds."""
        return median(self.latency_ms) if self.latency_ms else None


@dataclass(frozen=True)
class PairedRatios:
    """Two networks, timed in turn: how many times as long the first took, round by round.

    Attributes:
        first: Name.
        second: Name.
        ratios: Milliseconds of the first over those of the second, in each round.
    """

    first: str
    second: str
    ratios: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of the ratios."""
        return median(self.ratios)

    @property
    def interval(self) -> tuple[float, float]:
        """Between which nine of ten rounds lie."""
        low, high = np.quantile(self.ratios, (0.05, 0.95))
        return float(low), float(high)


@dataclass(frozen=True)
class Benchmark:
    """Networks measured on one device.

    Attributes:
        table: "table2", ...; "" for networks as they were asked for.
        rows: In the order asked for.
        against: Ratios of two; None for one network or many.
        macs_size: Rows and columns of the output for which products are counted.
        sr_size: Rows and columns of the output that was timed.
        conditions: Every setting that matters, in words and numbers.
    """

    table: str
    rows: tuple[Row, ...]
    against: PairedRatios | None
    macs_size: tuple[int, int]
    sr_size: tuple[int, int]
    conditions: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with what follows from them."""
        rows = [{**asdict(row), "mean_ms": row.mean_ms, "median_ms": row.median_ms} for row in self.rows]
        against = self.against and {
            **asdict(self.against),
            "median": self.against.median,
            "interval": self.against.interval,
        }
        return {**asdict(self), "rows": rows, "against": against}
