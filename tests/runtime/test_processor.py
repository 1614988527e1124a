from __future__ import annotations

from pathlib import Path

import pytest

from escsr.runtime import processor


@pytest.mark.parametrize(
    ("told", "has_it"),
    [
        ("flags\t: fpu avx2 avx512f avx512_bf16", True),
        ("flags\t: fpu avx512f amx_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16 i8mm", True),
        ("flags\t: fpu avx2 avx512f avx512_vnni", False),
        (None, False),
    ],
)
def test_bfloat16(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: str | None, *, has_it: bool
) -> None:
    path = tmp_path / "cpuinfo"
    if told is not None:
        path.write_text(f"model name\t: a processor\n{told}\n")
    monkeypatch.setattr(processor, "_CPU", path)
    assert processor.has_bfloat16() is has_it


def test_there_is_a_core() -> None:
    assert processor.num_cores() >= 1
