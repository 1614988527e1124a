"""What products of bfloat16 cost on test pictures: PSNR-Y in both types, and between the two results.

    python benchmarks/bfloat16_quality.py --sets Set5/HR Set14/HR

Protocol `classic`. Records results/precision/bfloat16-quality.json: for each model and set the mean PSNR-Y
of float32 and of bfloat16 and the size of the largest change of one picture, all in dB, and the PSNR of the
bfloat16 result against the float32 result: mean, and the least of any picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean

from torch import Tensor

from conditions import record
from escsr import evaluate
from escsr.evaluation.metrics import psnr
from escsr.evaluation.opening import open_model
from escsr.runtime.allocator import keep_freed_memory


class Compared:
    """A model in bfloat16 that also runs in float32 and keeps how near the results are.

    Attributes:
        decibels: PSNR of one result against the other, one for each picture.
    """

    def __init__(self, model: str) -> None:
        self._half = open_model(model, device="cpu", precision="bfloat16")
        self._full = open_model(model, device="cpu")
        self.name, self.scale, self.pad_multiple = model, self._half.scale, self._half.pad_multiple
        self.decibels: list[float] = []
        self.full_results: list[Tensor] = []

    def __call__(self, lr: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:
        """See `SuperResolver`; the result is that of bfloat16."""
        half, full = self._half(lr, size=size), self._full(lr, size=size)
        self.decibels.append(psnr(half, full, peak=1.0))
        self.full_results.append(full)
        return half


class Replayed:
    """The float32 results of a `Compared`, one after the other."""

    def __init__(self, compared: Compared) -> None:
        self.name, self.scale, self.pad_multiple = compared.name, compared.scale, compared.pad_multiple
        self._results = iter(compared.full_results)

    def __call__(self, lr: Tensor, *, size: tuple[int, int] | None = None) -> Tensor:  # noqa: ARG002
        """See `SuperResolver`."""
        return next(self._results)


def main() -> None:
    """Measures every model on every set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    models = ["esc-light-x2", "esc-x2", "esc-fp-x2", "esc-light-x4", "esc-x4", "esc-fp-x4"]
    parser.add_argument("--models", nargs="+", default=models)
    parser.add_argument("--sets", nargs="+", type=Path, required=True, help="folders of HR pictures")
    options = parser.parse_args()
    keep_freed_memory()
    rows = []
    for model in options.models:
        for folder in options.sets:
            compared = Compared(model)
            half = evaluate(compared, folder)
            full = evaluate(Replayed(compared), folder)
            changes = [
                one.figures["psnr_y"] - other.figures["psnr_y"]
                for one, other in zip(half.scores, full.scores, strict=True)
            ]
            rows.append(
                {
                    "model": model,
                    "set": folder.name if folder.name != "HR" else folder.parent.name,
                    "psnr_y_float32": round(full.psnr_y, 4),
                    "psnr_y_bfloat16": round(half.psnr_y, 4),
                    "change": round(half.psnr_y - full.psnr_y, 5),
                    "largest_change_of_a_picture": round(max(abs(each) for each in changes), 5),
                    "between_results": round(mean(compared.decibels), 2),
                    "between_results_least": round(min(compared.decibels), 2),
                }
            )
            print(rows[-1], flush=True)
    print(record("precision/bfloat16-quality", {"rows": rows}))


if __name__ == "__main__":
    main()
