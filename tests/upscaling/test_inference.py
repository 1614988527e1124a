"""Policies of a run: tile size, precision, ensemble, where maps are kept."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from escsr import streaming
from escsr.errors import CheckpointError, ConfigError, DeviceError
from escsr.networks import ESC, VARIANTS
from escsr.runtime.precision import PrecisionPolicy
from escsr.upscaling import inference
from escsr.upscaling import tile_size as tuning
from escsr.upscaling.inference import Inference
from samples import call_options, small_network

CPU = torch.device("cpu")


def test_out_of_memory_is_remembered_and_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def scarce(self: PrecisionPolicy, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        sizes.append(max(arguments[0].shape[-2:]))
        if sizes[-1] > 40:
            raise torch.OutOfMemoryError
        return function(*arguments)

    lr, network = torch.rand(1, 3, 60, 50), small_network("esc")
    expected = Inference(network).run(lr)
    monkeypatch.setattr(PrecisionPolicy, "__call__", scarce)
    scarcely = Inference(network, tile_size=104)
    assert (scarcely.run(lr) - expected).abs().max() <= 1e-5
    assert caplog.text.count("tiles of 48") == caplog.text.count("tiles of 24") == 1
    sizes.clear()
    scarcely.run(lr)
    assert max(sizes) <= 40
    assert caplog.text.count("tiles of") == 2


def test_out_of_memory_to_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(PrecisionPolicy, "__call__", exhausted)
    with pytest.raises(DeviceError, match="too little memory even for tiles of 8"):
        Inference(small_network("esc")).run(torch.rand(1, 3, 20, 20))


def test_a_tile_that_overflows_is_computed_again_in_higher_precision(
    caplog: pytest.LogCaptureFixture,
) -> None:
    arithmetic = PrecisionPolicy(CPU, "float16")
    calls: list[torch.dtype] = []

    def product(x: torch.Tensor) -> torch.Tensor:
        result = x @ x
        calls.append(result.dtype)
        return result

    small, large = torch.eye(4), 300 * torch.eye(4)
    assert torch.equal(arithmetic(product, (small,)), small)
    assert calls == [torch.float16]
    result = arithmetic(product, (large,))
    assert result.dtype == torch.float32
    assert (result.diagonal() / 90000 - 1).abs().max() < 0.01
    assert str(arithmetic.precision) == "bfloat16"
    arithmetic(product, (small,))
    assert calls == [torch.float16, torch.float16, torch.bfloat16, torch.bfloat16]
    assert caplog.text.count("overflows") == 1
    with pytest.raises(CheckpointError, match="not numbers"):
        arithmetic(lambda x: x * torch.nan, (small,))
    assert str(arithmetic.precision) == "float32"


def test_finite_values_with_a_sum_that_is_not_pass() -> None:
    huge = torch.full((4,), 3e38)
    assert torch.equal(PrecisionPolicy(CPU)(torch.clone, (huge,)), huge)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("variant", ["esc", "esc-real", "esc-lte"])
def test_half_precision_is_close_and_maps_stay_float32(precision: Any, variant: str) -> None:
    network = small_network(variant)
    lr = torch.rand(1, 3, 30, 22)
    scale = call_options(network).get("scale")
    exact = Inference(network, precision="float32").run(lr, scale=scale)
    for tile_size in (8, 32):
        low = Inference(network, precision=precision, tile_size=tile_size).run(lr, scale=scale)
        assert low.dtype == torch.float32
        assert 0 < (low - exact).abs().mean() < 0.02


@pytest.mark.slow
@settings(max_examples=12)
@given(
    variant=st.sampled_from(["esc", "esc-fp", "esc-lte"]),
    height=st.integers(1, 25),
    width=st.integers(1, 25),
)
def test_ensemble_is_the_mean_over_eight_symmetries(variant: str, height: int, width: int) -> None:
    network = small_network(variant)
    lr = torch.rand(1, 3, height, width)
    size = None if network.config.scale else (2 * height + 3, 3 * width)
    expected = []
    for turns in range(4):
        for mirrored in (False, True):
            x = torch.rot90(lr, turns, (-2, -1))
            x = x.flip(-1) if mirrored else x
            sides = size[::-1] if size and turns % 2 else size
            with torch.no_grad():
                y = network(x, size=sides)
            y = y.flip(-1) if mirrored else y
            expected.append(torch.rot90(y, -turns, (-2, -1)))
    shares: list[float] = []
    result = Inference(network, tile_size=8).run(
        lr, size=size, self_ensemble=True, on_progress=shares.append
    )
    assert (result - torch.stack(expected).mean(0)).abs().max() <= 1e-5
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_an_ensemble_turned_is_the_turned_ensemble() -> None:
    upscale = Inference(small_network("esc"))
    lr = torch.rand(1, 3, 19, 26)
    turned = upscale.run(lr.rot90(1, (-2, -1)), self_ensemble=True).rot90(-1, (-2, -1))
    assert (turned - upscale.run(lr, self_ensemble=True)).abs().max() <= 1e-5


def test_maps_go_to_a_file_where_memory_is_short(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network, lr = small_network("esc"), torch.rand(1, 3, 30, 30)
    expected = Inference(network, tile_size=8).run(lr)
    monkeypatch.setattr(inference, "free_host_memory", lambda: 1000)
    assert torch.equal(Inference(network, tile_size=8).run(lr), expected)
    assert "temporary file" in caplog.text


def test_large_pictures_take_the_fastest_tile_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(inference, "has_kernels", lambda _: False)
    network = small_network("esc")
    probed: list[int] = []

    def probe(_: ESC, __: object, sizes: list[int]) -> dict[int, float]:
        probed.extend(sizes)
        return {size: abs(size - 24) + 1.0 for size in sizes}

    monkeypatch.setattr(tuning, "probe", probe)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: tmp_path)
    monkeypatch.setattr(inference, "_TILE_SIZES", {"cpu": (8, 16, 24)})
    chosen: list[int] = []
    run = streaming.run

    def watched(*arguments: Any, tile_size: int, **options: Any) -> torch.Tensor:
        chosen.append(tile_size)
        return run(*arguments, tile_size=tile_size, **options)

    monkeypatch.setattr(streaming, "run", watched)
    Inference(network).run(torch.rand(1, 3, 40, 40))
    assert probed == []
    assert chosen == [16]
    for _ in range(2):
        Inference(network).run(torch.rand(1, 3, 50, 50))
    assert probed == [8, 16, 24], "measured once, then remembered in the cache folder"
    assert chosen[1:] == [24, 24]
    (tmp_path / "tile-sizes.json").unlink()
    Inference(network).run(torch.rand(1, 3, 50, 50))
    assert len(probed) == 6


def test_a_probe_measures_and_a_broken_cache_is_measured_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    network = small_network("esc").requires_grad_(False)
    plain = PrecisionPolicy(CPU)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: tmp_path)
    for broken in ("[1, 2", '{"key": [8]}', '{"key": {"8": "fast"}}'):
        (tmp_path / "tile-sizes.json").write_text(broken)
        first = tuning.fastest_tile_size(network, plain, [8, 16])
        assert first in (8, 16)
        assert tuning.fastest_tile_size(network, plain, [8, 16]) == first
    (tmp_path / "file").touch()
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: tmp_path / "file" / "folder")
    assert tuning.fastest_tile_size(network, plain, [8]) == 8
    assert "not remembered" in caplog.text


@pytest.mark.parametrize(("most", "chosen"), [(20, 16), (4, 8)])
def test_tiles_that_memory_does_not_hold_are_not_chosen(
    most: int, chosen: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scarce(_: PrecisionPolicy, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if arguments[0].shape[-1] > most:
            raise torch.OutOfMemoryError
        return torch.zeros(1)

    monkeypatch.setattr(PrecisionPolicy, "__call__", scarce)
    monkeypatch.setattr(tuning, "_too_large", {})
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: tmp_path)
    network = small_network("esc").requires_grad_(False)
    sizes = [8, 16, 32] if most < 8 else [16, 32]
    assert tuning.fastest_tile_size(network, PrecisionPolicy(CPU), sizes) == chosen
    assert '"32"' not in (tmp_path / "tile-sizes.json").read_text()
    monkeypatch.delattr(tuning, "probe")  # nor tried a second time
    assert tuning.fastest_tile_size(network, PrecisionPolicy(CPU), sizes) == chosen


def test_a_part_swapped_and_a_hook_after_the_first_run_are_computed_with() -> None:
    network, lr = small_network("esc"), torch.rand(1, 3, 9, 9)
    model = Inference(network)
    model.run(lr)
    network.last = torch.nn.Conv2d(24, 24, 3, padding=1)
    with torch.no_grad():
        assert (model.run(lr) - network(lr)).abs().max() <= 1e-5
    network.last.register_forward_hook(lambda _m, _i, result: 0 * result)
    with torch.no_grad():
        assert (model.run(lr) - network(lr)).abs().max() <= 1e-5


def test_a_network_that_runs_whole_only_keeps_to_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    network, lr = small_network("esc"), torch.rand(1, 3, 30, 20)
    model = Inference(network, tile_size=8)
    model.run(lr)
    handle = network.blocks[1].register_forward_hook(lambda _m, inputs, _: inputs[0])
    with torch.no_grad():
        assert (model.run(lr) - network(lr)).abs().max() <= 1e-5
    assert model.predict((30, 20), (60, 40)).feature_maps == 0
    monkeypatch.setattr(inference, "free_host_memory", lambda: 1000)
    with pytest.raises(DeviceError, match=r"blocks\.1 has .* in one piece"):
        model.run(lr)
    handle.remove()
    model.run(lr)


def test_settings_and_pictures_that_cannot_be() -> None:
    network = small_network("esc")
    impossible: list[dict[str, Any]] = [
        {"precision": "float8"},
        {"feature_storage": "disk"},
        {"tile_size": 12},
    ]
    for options in impossible:
        with pytest.raises(ConfigError, match="must be"):
            Inference(network, **options)
    with pytest.raises(ConfigError, match="finite"):
        Inference(network).run(torch.full((1, 3, 4, 4), torch.nan))


def test_the_forecast_counts_the_largest_tiles_that_may_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """6 MP through ESC ×2 took 5,341 MiB beside the idle process; 4,767 had been predicted."""
    monkeypatch.setattr(inference, "free_device_memory", lambda _: 64 * 2**30)
    monkeypatch.setattr(inference, "has_kernels", lambda _: False)
    network = ESC(VARIANTS["esc"])
    memory = Inference(network).predict((2000, 3000), (4000, 6000)).total / 2**20
    assert 1.03 * memory >= 5341
    assert memory <= 1.1 * 5341
    fixed = Inference(network, tile_size=256).predict((2000, 3000), (4000, 6000))
    assert fixed.total < memory * 2**20


@pytest.mark.parametrize(
    "words", ["DefaultCPUAllocator: can't allocate memory", "MPS backend out of memory"]
)
def test_a_module_that_finds_no_memory_is_a_clear_error(words: str) -> None:
    class Exhausted(torch.nn.Module):
        def forward(self, *_: object) -> torch.Tensor:
            raise RuntimeError(words)

    network = small_network("esc")
    network.shallow = Exhausted()  # type: ignore[assignment]
    for tile_size in (8, 64):
        with pytest.raises(DeviceError, match="too little memory even for tiles of 8"):
            Inference(network, tile_size=tile_size).run(torch.rand(1, 3, 20, 20))


@pytest.mark.parametrize("tile_size", [8.0, "8", True, 12, -8])
def test_a_tile_size_that_cannot_be(tile_size: Any) -> None:
    with pytest.raises(ConfigError, match="multiple of 8"):
        Inference(small_network("esc"), tile_size=tile_size)


@pytest.mark.parametrize("scale", ["2", (2, "2"), (2, 2, 2), (2,), float("nan"), float("inf"), [2, 2], 0])
def test_a_scale_that_cannot_be(scale: Any) -> None:
    with pytest.raises(ConfigError, match="scale must be positive"):
        Inference(small_network("esc-lte")).run(torch.rand(1, 3, 8, 8), scale=scale)


@pytest.mark.parametrize("self_ensemble", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_network_and_picture_may_be_of_other_types(dtype: torch.dtype, self_ensemble: bool) -> None:
    network, lr = small_network("esc"), torch.rand(1, 3, 20, 13)
    expected = Inference(network).run(lr, self_ensemble=self_ensemble)
    model = Inference(network.to(dtype), tile_size=8)
    for picture in (lr, lr.double(), lr.half()):
        sr = model.run(picture, self_ensemble=self_ensemble)
        assert sr.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert (sr - expected).abs().max() <= (0.1 if dtype == torch.bfloat16 else 0.01)
    with pytest.raises(ConfigError, match="must be floating"):
        model.run((255 * lr).byte())


@pytest.mark.parametrize("tile_size", [None, 8])
def test_it_follows_the_network(tile_size: int | None) -> None:
    network, lr = small_network("esc"), torch.rand(1, 3, 20, 20)
    model = Inference(network, tile_size=tile_size)
    before, form = model.run(lr), model.network
    assert torch.equal(model.run(lr), before)
    assert model.network is form, "nothing is made anew while the weights are the same"
    for weight in network.parameters():
        weight.grad = torch.full_like(weight, 0.1)
    torch.optim.SGD(network.parameters(), 0.1).step()
    with torch.no_grad():
        expected = network(lr)
    assert (before - expected).abs().max() > 1e-3
    assert (model.run(lr) - expected).abs().max() <= 1e-5
    network.double()
    assert model.run(lr).dtype == torch.float64


def test_what_it_does_not_notice_makes_no_mixture() -> None:
    network, lr = small_network("esc"), torch.rand(1, 3, 20, 20)
    model = Inference(network)
    before = model.run(lr)
    for weight in network.parameters():
        weight.data.neg_()
    assert torch.equal(model.run(lr), before)
    assert not torch.equal(Inference(network).run(lr), before)


def test_a_copy_follows_its_own_network() -> None:
    lr = torch.rand(1, 3, 9, 9)
    model = Inference(small_network("esc"))
    expected = model.run(lr)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(copied.run(lr), expected)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (1, 4, 8, 8), (1, 3, 0, 8), (8, 8)])
def test_a_picture_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"must be \(B, 3, H, W\), not"):
        Inference(small_network("esc")).run(torch.zeros(shape))


@pytest.mark.parametrize("self_ensemble", [False, True])
def test_no_pictures_give_none(self_ensemble: bool) -> None:
    sr = Inference(small_network("esc")).run(torch.zeros(0, 3, 8, 9), self_ensemble=self_ensemble)
    assert sr.shape == (0, 3, 16, 18)
