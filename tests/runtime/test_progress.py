"""Progress of a part is that of the whole."""

from __future__ import annotations

from escsr.runtime.progress import part_of


def test_parts_of_the_work() -> None:
    shares: list[float] = []
    report = part_of(shares.append, 1, 4)
    assert report is not None
    report(0.5)
    report(1.0)
    assert shares == [0.375, 0.5]
    assert part_of(None, 1, 4) is None
