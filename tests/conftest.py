"""What all tests share: the folder of reference data where it exists, a seed, settings of hypothesis."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from samples import ROOT

SHARED = ROOT.parent / "shared"

settings.register_profile(
    "escsr", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.load_profile("escsr")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference vectors and test sets; tests that need it are skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("needs the reference data, which is not part of the repository")
    return SHARED
