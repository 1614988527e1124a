"""Streaming equals the whole-picture forward, whatever the size, the tile and the variant."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from escsr import streaming
from escsr.errors import ConfigError, DeviceError
from escsr.networks import VARIANTS, variant_config
from escsr.networks.inference_form import kept_bias_bytes
from escsr.streaming import FeatureStorage, Span
from escsr.streaming.feature_store import FeatureStore
from escsr.streaming.transfers import Transfers
from samples import ROOT, small_network

CASES = [*VARIANTS, "flash-bias"]
SIZES = [
    *[(9, 41), (17, 30), (24, 24)],
    *(pytest.param(size, marks=pytest.mark.slow) for size in [(3, 37), (1, 25), (64, 11)]),
]


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
    variant=st.sampled_from(["esc", "esc-fp", "esc-real", "esc-lte", "esc-rib"]),
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


@pytest.mark.parametrize("storage", ["file", "float16"])
def test_maps_in_a_file_are_exact_and_half_ones_close(storage: FeatureStorage, tmp_path: Path) -> None:
    network = small_network("esc")
    lr = torch.rand(2, 3, 37, 29)
    exact = streaming.run(network, lr, tile_size=8)
    kept = streaming.run(network, lr, tile_size=8, feature_storage=storage, folder=tmp_path)
    difference = (kept - exact).abs().max()
    assert difference == 0 if storage == "file" else 0 < difference < 1e-2
    assert not list(tmp_path.iterdir())


def test_half_maps_that_overflow_become_float32() -> None:
    maps = FeatureStore((4, 8), storage="float16")
    left, right = (Span(0, 4), Span(0, 4)), (Span(0, 4), Span(4, 8))
    maps.put("y", left, torch.ones(1, 2, 4, 4))
    assert maps.half
    maps.put("y", right, torch.full((1, 2, 4, 4), 1e6))
    assert not maps.half
    whole = maps.take("y", (Span(0, 4), Span(0, 8)))
    assert whole.dtype == torch.float32
    assert (whole[..., :4] == 1).all()
    assert (whole[..., 4:] == 1e6).all()


def test_no_room_for_a_map_is_said(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="No room in"):
        FeatureStore((2**20, 2**20), storage="file", folder=tmp_path).put(
            "x", (Span(0, 1), Span(0, 1)), torch.zeros(1, 64, 1, 1)
        )


class Scarce:
    """Runs out of memory where an argument has more than so many pixels a side, or at the n-th call."""

    def __init__(
        self, side: int | None = None, calls: frozenset[int] = frozenset(), error: Exception | None = None
    ) -> None:
        self.side, self.calls, self.count = side, calls, 0
        self.error = error or torch.OutOfMemoryError()

    def __call__(self, function: Callable[..., torch.Tensor], arguments: tuple[Any, ...]) -> torch.Tensor:
        self.count += 1
        if self.count in self.calls or (self.side and max(arguments[0].shape[-2:]) > self.side):
            raise self.error
        return function(*arguments)


@pytest.mark.parametrize(
    ("variant", "tile_size", "scarce"),
    [
        ("esc", 64, Scarce(side=50)),
        ("esc", 80, Scarce(calls=frozenset({1}))),
        ("esc", 32, Scarce(calls=frozenset({9, 31}))),
        ("esc-lte", 32, Scarce(calls=frozenset({9, 31}))),
        ("esc", 64, Scarce(side=50, error=RuntimeError("DefaultCPUAllocator: can't allocate memory"))),
        ("esc", 64, Scarce(side=50, error=RuntimeError("MPS backend out of memory"))),
        ("esc", 64, Scarce(side=50, error=MemoryError("No memory for conv_attn."))),  # a native kernel
    ],
)
def test_out_of_memory_goes_on_with_smaller_tiles(variant: str, tile_size: int, scarce: Scarce) -> None:
    network = small_network(variant).double()
    fixed = network.config.scale  # of any scale: each pixel of the result costs many times as much
    lr = torch.rand(1, 3, *((75, 61) if fixed else (35, 33)), dtype=torch.float64)
    scale = None if fixed else 2.3
    with torch.no_grad():
        whole = network(lr, scale=scale)
    sizes: list[int] = []
    shares: list[float] = []
    scarce.count = 0
    streamed = streaming.run(
        network,
        lr,
        tile_size=tile_size,
        scale=scale,
        compute=scarce,
        on_halved=sizes.append,
        on_progress=shares.append,
    )
    assert sizes[0] == tile_size // 2
    assert (streamed - whole).abs().max() <= 1e-12
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_out_of_memory_to_the_last_is_raised() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        streaming.run(small_network("esc"), torch.rand(1, 3, 40, 40), tile_size=32, compute=Scarce(side=1))


def test_other_errors_end_the_run() -> None:
    scarce = Scarce(side=1, error=RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        streaming.run(small_network("esc"), torch.rand(1, 3, 40, 40), tile_size=16, compute=scarce)


@pytest.mark.parametrize("variant", ["esc", "esc-fp", "esc-lte"])
def test_a_result_that_is_not_finite_is_computed_again_when_it_arrives(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on CUDA: the check travels with the result, and tiles are written one call later."""

    class Late(Transfers):
        def __init__(self, device: torch.device) -> None:
            super().__init__(device)
            self.overlap = True

    network = small_network(variant).double()
    lr = torch.rand(1, 3, 40, 33, dtype=torch.float64)
    scale = None if network.config.scale else 2.3
    expected = streaming.run(network, lr, tile_size=16, scale=scale)
    attempts, repeats = 0, 0

    def attempt(
        function: Callable[..., torch.Tensor], arguments: tuple[Any, ...]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal attempts
        attempts += 1
        result = function(*arguments)
        result = result * torch.nan if attempts % 3 == 0 else result
        return result, result.sum().isfinite()

    def compute(function: Callable[..., torch.Tensor], arguments: tuple[Any, ...]) -> torch.Tensor:
        nonlocal repeats
        repeats += 1
        return function(*arguments)

    monkeypatch.setattr("escsr.streaming.runner.Transfers", Late)
    result = streaming.run(network, lr, tile_size=16, scale=scale, compute=compute, attempt=attempt)
    assert torch.equal(result, expected)
    assert repeats == attempts // 3 > 0


def test_predicted_memory() -> None:
    config = variant_config("esc", scale=2)
    memory = streaming.predict_memory(config, (3000, 4000), (6000, 8000), tile_size=256)
    assert memory.feature_maps == 3 * 12_000_000 * 64 * 4
    assert memory.total < 12 * 2**30
    half = streaming.predict_memory(
        config, (3000, 4000), (6000, 8000), tile_size=256, feature_storage="float16"
    )
    assert half.feature_maps * 2 == memory.feature_maps
    larger = streaming.predict_memory(config, (6000, 4000), (12000, 8000), tile_size=256)
    assert larger.workspace == memory.workspace, "the workspace depends on the tile alone"
    assert streaming.predict_memory(config, (20, 30), (40, 60), tile_size=256).feature_maps == 0


def test_predicted_memory_is_what_was_measured() -> None:
    record = json.loads((ROOT / "results" / "streaming" / "memory-esc-x2.json").read_text())
    config = variant_config(record["variant"], scale=record["scale"])
    for row in record["rows"]:
        columns, rows = row["size"]
        memory = streaming.predict_memory(config, (rows, columns), (2 * rows, 2 * columns), tile_size=256)
        # Measured before position biases were kept.
        measured = (row["peak_mib"] - row["before_mib"]) * 2**20 + kept_bias_bytes(config)
        assert 0.95 * memory.total < measured < 1.03 * memory.total or row["megapixels"] < 2
        assert measured < 1.03 * memory.total


def test_progress_and_refusals() -> None:
    network = small_network("esc")
    shares: list[float] = []
    lr = torch.rand(1, 3, 20, 20)
    before = lr.clone()
    streaming.run(network, lr, tile_size=8, on_progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert torch.equal(lr, before)
    tile_size: Any
    for tile_size in (0, 4, 12, 8.0, True, "8"):
        with pytest.raises(ConfigError, match="multiple of 8"):
            streaming.run(network, lr, tile_size=tile_size)


@pytest.mark.parametrize("storage", ["float32", "float16", "file"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_networks_of_other_types(dtype: torch.dtype, storage: FeatureStorage, tmp_path: Path) -> None:
    network, lr = small_network("esc").to(dtype), torch.rand(1, 3, 20, 13).to(dtype)
    with torch.no_grad():
        whole = network(lr)
    streamed = streaming.run(network, lr, tile_size=8, feature_storage=storage, folder=tmp_path)
    assert streamed.dtype == dtype
    near = {
        torch.float16: 0.01,
        torch.bfloat16: 0.1,
        torch.float64: 0.01 if storage == "float16" else 1e-12,
    }
    assert (streamed - whole).abs().max() <= near[dtype]
