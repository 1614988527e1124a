"""The geometric self-ensemble: the mean over the flips and quarter turns of a picture."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from torch import Tensor

from escsr.runtime.progress import OnProgress, part_of

__all__ = ["self_ensembled"]

_FLIPS = ((), (-1,), (-2,), (-2, -1))
"""With a transposition before or not they are the eight symmetries of a picture."""


def self_ensembled(
    run: Callable[[Tensor, tuple[int, int], OnProgress | None], Tensor],
    lr: Tensor,
    out_size: tuple[int, int],
    on_progress: OnProgress | None = None,
) -> Tensor:
    """Mean over the eight symmetries: eight times the work.

    Args:
        run: (B, 3, H, W), rows and columns of the result, and what takes progress → the result.
        lr: (B, 3, H, W).
        out_size: Rows and columns of the result.
        on_progress: Called with the share of the work done, in [0, 1].

    Returns:
        (B, 3, *out_size).
    """
    total = lr.new_zeros(*lr.shape[:2], *out_size)
    for index, (is_transposed, axes) in enumerate(product((False, True), _FLIPS)):
        report, turned = part_of(on_progress, index, 8), lr.flip(axes)
        if is_transposed:
            sr = run(turned.mT.contiguous(), out_size[::-1], report).mT
        else:
            sr = run(turned, out_size, report)
        total += sr.flip(axes)
    return total / 8
