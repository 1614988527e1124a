"""What tests of fleets share: pictures, and a run without Ray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from escsr import images
from escsr.images import Picture
from escsr.upscaling.options import UpscaleOptions
from samples import flowers

for _package in ("pyarrow", "fsspec"):
    pytest.importorskip(_package, reason="requires the extra fleet")

Run = Callable[..., "tuple[Any, Any]"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three pictures in two folders, and one that is broken."""
    pixels = flowers()
    for index, name in enumerate(("a.png", "deep/b.jpg", "deep/c.png")):
        images.write(Picture(pixels[20 * index : 20 * index + 16, :24]), tmp_path / "in" / name)
    (tmp_path / "in" / "broken.png").write_bytes(b"\x89PNG")
    (tmp_path / "in" / ".hidden.png").write_bytes(b"")
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    return tmp_path / "in"


@pytest.fixture
def run(nearest: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Plans and does the work in this process; returns plan and figures."""
    from escsr.fleet import outcomes, worker
    from escsr.fleet.ledger import Ledger
    from escsr.fleet.plan import make_plan
    from escsr.fleet.row_options import setting_of

    monkeypatch.setattr(worker, "_WAIT_SECONDS", 0.01)
    usual = UpscaleOptions(model=nearest, device="cpu")
    names = iter(f"run-{number}" for number in range(100))

    def call(
        source: str, output: str, *, unit_rows: int = 2, scale: float | None = None, **settings: Any
    ) -> tuple[Any, Any]:
        name, options = next(names), replace(usual, scale=scale)
        outcomes.claim(output, name)
        plan = make_plan(source, output, name, options=options, **settings)
        ledger = Ledger(output, name)
        upscaling = worker.Upscaling(output, options, model_sha256=setting_of(options, "").model_sha256)
        one = worker.Worker(
            output,
            name,
            lambda method, *given: getattr(ledger, method)(*given),
            unit_rows=unit_rows,
            rows=plan.rows,
            work=lambda: upscaling,
        )
        one({"item": range(-(-plan.rows // unit_rows))})
        return plan, ledger.save()

    return call
