"""Servers with a small network, and pictures for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from escsr import images
from escsr.images import Picture
from escsr.models.saving import save_network
from escsr.web.limits import Limits
from escsr.web.service import WebOptions
from samples import flowers, small_network
from web.serving import Served, running


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network of ×2."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_network(small_network("esc"), path)
    return path


@pytest.fixture
def serve(tmp_path: Path, weights: Path) -> Iterator[Callable[..., Served]]:
    """Starts servers with limits by name; `token` and `hosts` too."""
    with ExitStack() as stack:

        def start(*, token: str | None = None, models: tuple[str, ...] = (), **limits: Any) -> Served:
            options = WebOptions(
                models=models or (str(weights),), devices=("cpu",), token=token, limits=Limits(**limits)
            )
            folder = tmp_path / f"server {len(list(tmp_path.iterdir()))}"
            return stack.enter_context(running(folder, options))

        yield start


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Iterator[Served]:
    """A server with the usual limits that tests of a file share."""
    options = WebOptions(models=(str(weights), "auto"), devices=("cpu",))
    with running(tmp_path_factory.mktemp("served") / "folder", options) as one:
        yield one


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small photograph."""
    pixels = flowers()[60:100, 100:148]
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    images.write(Picture(pixels), path)
    return path


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise that takes the small network many seconds, in many tiles."""
    path = tmp_path_factory.mktemp("large") / "large.png"
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    images.write(Picture(noise), path)
    return path
