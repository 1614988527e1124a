"""Targets that a conversion cannot be written to are refused before its work."""

from __future__ import annotations

from pathlib import Path

import pytest

from escsr.errors import OutputError
from escsr.models.conversion import convert
from escsr.models.saving import save_network
from samples import small_network


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.pth", r"x\.pth: weights are written as \.safetensors"),
        ("m.safetensors", "what it would be made"),
        ("m.safetensors/x.safetensors", "m.safetensors is a file"),
    ],
)
def test_before_any_table(tmp_path: Path, name: str, message: str) -> None:
    save_network(small_network("esc"), tmp_path / "m.safetensors")
    tables: list[tuple[int, int]] = []
    with pytest.raises(OutputError, match=message):
        convert(
            tmp_path / "m.safetensors",
            bias_rank=4,
            output=tmp_path / name,
            on_table=lambda *at: tables.append(at),
        )
    assert not tables
