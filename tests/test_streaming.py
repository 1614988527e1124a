"""Streaming equals the whole-picture forward, whatever the size, the tile and the variant."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from escsr import streaming
from escsr.errors import ConfigError
from escsr.networks import VARIANTS
from samples import small_network

CASES = [*VARIANTS, "flash-bias"]
SIZES = [(9, 41), (17, 30), (24, 24), (3, 37), (1, 25), (64, 11)]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", SIZES)
def test_equals_the_whole_picture(case: str, size: tuple[int, int]) -> None:
    rank = 6 if case == "flash-bias" else None
    network = small_network("esc" if rank else case, bias_rank=rank).double()
    lr = torch.rand(2, 3, *size, dtype=torch.float64)
    scale = None if network.config.scale else (2.7, 3.3)
    with torch.no_grad():
        whole = network(lr, scale=scale)
    for tile_size in (8, 16):
        streamed = streaming.run(network, lr, tile_size=tile_size, scale=scale)
        assert (streamed - whole).abs().max() <= 1e-12


@settings(max_examples=15)
@given(
    variant=st.sampled_from(["esc", "esc-fp", "esc-real", "esc-lte"]),
    height=st.integers(1, 45),
    width=st.integers(1, 45),
    tile=st.sampled_from([8, 16, 24]),
    scale=st.floats(0.3, 5),
)
def test_any_size_and_tile(variant: str, height: int, width: int, tile: int, scale: float) -> None:
    network = small_network(variant)
    lr = torch.rand(1, 3, height, width)
    wanted = None if network.config.scale else scale
    with torch.no_grad():
        whole = network(lr, scale=wanted)
    streamed = streaming.run(network, lr, tile_size=tile, scale=wanted)
    assert streamed.shape == whole.shape
    assert (streamed - whole).abs().max() <= 1e-5


def test_lte_streams_to_a_size_smaller_than_its_tiles() -> None:
    network = small_network("esc-lte").double()
    lr = torch.rand(1, 3, 40, 40, dtype=torch.float64)
    with torch.no_grad():
        whole = network(lr, size=(2, 3))
    assert (streaming.run(network, lr, tile_size=8, size=(2, 3)) - whole).abs().max() <= 1e-12


@given(size=st.integers(1, 400), tile=st.integers(1, 6), window=st.sampled_from([8, 32, 48]))
def test_tiles_cover_the_side_on_the_window_grid(size: int, tile: int, window: int) -> None:
    spans = streaming.cut_side(size, tile * window, window)
    assert spans[0].start == 0
    assert spans[-1].stop == size
    for before, after in pairwise(spans):
        assert before.stop == after.start
        assert after.start % window == 0
    last = spans[-1]
    if len(spans) > 1:
        assert last.stop - last.start > -size % window, "its padding would mirror pixels outside"


def test_progress_and_refusals() -> None:
    network = small_network("esc")
    shares: list[float] = []
    lr = torch.rand(1, 3, 20, 20)
    before = lr.clone()
    streaming.run(network, lr, tile_size=8, on_progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert torch.equal(lr, before)
    for tile_size in (0, 4, 12):
        with pytest.raises(ConfigError, match="multiple of 8"):
            streaming.run(network, lr, tile_size=tile_size)
