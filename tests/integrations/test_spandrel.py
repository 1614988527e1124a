"""Networks of ours in the real spandrel: files of ours and published ones equal `Upscaler`."""

from __future__ import annotations

import copy
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import escsr
from escsr.errors import ConfigError
from escsr.integrations.spandrel import ARCHITECTURE, HostedESC, install
from escsr.models.bundled import find_model
from escsr.models.saving import save_network
from escsr.networks import ESC, VARIANTS
from escsr.runtime.extras import install_line
from escsr.streaming import Tile
from escsr.streaming.feature_store import FeatureStore
from other_models import NEEDS_SPANDREL, OTHERS, real_spandrel
from samples import lively, small_config, small_network

FIXED = [name for name in escsr.list_models() if "lte" not in name]


@pytest.fixture
def spandrel() -> Any:
    module = real_spandrel()
    install()
    return module


def loaded(spandrel: Any, path: Path) -> Any:
    return spandrel.ModelLoader().load_from_file(path)


@pytest.mark.slow
@NEEDS_SPANDREL
@pytest.mark.parametrize("published_names", [False, True])
@pytest.mark.parametrize("name", FIXED)
def test_bundled_models_equal_our_upscaler(
    spandrel: Any, name: str, published_names: bool, tmp_path: Path
) -> None:
    path = find_model(name)
    if published_names:
        path = tmp_path / "published.safetensors"
        save_network(escsr.load_network(name), path, half=True, published_names=True)
    model = loaded(spandrel, path)
    upscaler = escsr.Upscaler(name, device="cpu", keep_colour=False)
    lr = torch.rand(1, 3, 37, 41)
    assert (model(lr) - upscaler(lr)).abs().max() <= 1e-5
    assert model.architecture.id == ARCHITECTURE
    assert (model.scale, model.purpose) == (upscaler.scale, "SR")
    assert (model.input_channels, model.output_channels) == (3, 3)
    assert model.tiling is spandrel.ModelTiling.INTERNAL
    assert model.size_requirements.none


@NEEDS_SPANDREL
@pytest.mark.parametrize("bias_rank", [None, 6])
@pytest.mark.parametrize("published_names", [False, True])
@pytest.mark.parametrize("variant", [name for name in VARIANTS if "lte" not in name])
def test_every_variant_and_batches(
    spandrel: Any, variant: str, published_names: bool, bias_rank: int | None, tmp_path: Path
) -> None:
    network = small_network(variant, bias_rank=bias_rank)
    if network.config.bias_hidden_dim:  # no weight tells its window, which is that of the variant
        network = lively(ESC(network.config.replace(window_size=VARIANTS[variant].window_size)))
    save_network(network, tmp_path / "m.safetensors", published_names=published_names)
    model, lr = loaded(spandrel, tmp_path / "m.safetensors"), torch.rand(2, 3, 13, 10)
    with torch.no_grad():
        assert (model(lr) - network(lr).clamp(0, 1)).abs().max() <= 1e-5


@NEEDS_SPANDREL
def test_a_large_picture_is_streamed(
    spandrel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As INTERNAL promises: a host gives the whole picture, whatever its size."""
    network = small_network("esc")
    save_network(network, tmp_path / "m.safetensors", published_names=True)
    model, lr = loaded(spandrel, tmp_path / "m.safetensors"), torch.rand(1, 3, 70, 90)
    monkeypatch.setattr("escsr.upscaling.inference._TILE_SIZES", {"cpu": (16, 16, 16)})
    monkeypatch.setattr("escsr.upscaling.inference._KERNEL_TILE_SIZES", {sys.maxsize: 16})
    sizes, put = [], FeatureStore.put

    def spy(store: FeatureStore, name: str, tile: Tile, values: torch.Tensor) -> None:
        sizes.append((len(tile[0]), len(tile[1])))
        put(store, name, tile, values)

    monkeypatch.setattr(FeatureStore, "put", spy)
    with torch.no_grad():
        assert (model(lr) - network(lr).clamp(0, 1)).abs().max() <= 1e-5
    assert len(sizes) >= 30
    assert max(map(max, sizes)) <= 16 + 8 + 2


@NEEDS_SPANDREL
@pytest.mark.parametrize(
    ("dtype", "limit"), [(torch.float32, 1e-6), (torch.float16, 2e-2), (torch.bfloat16, 0.1)], ids=str
)
def test_the_type_is_the_hosts(spandrel: Any, dtype: torch.dtype, limit: float, tmp_path: Path) -> None:
    network = small_network("esc")
    save_network(network, tmp_path / "m.safetensors", published_names=True)
    model, lr = loaded(spandrel, tmp_path / "m.safetensors"), torch.rand(1, 3, 12, 9)
    exact = model(lr)
    sr = model.to(dtype)(lr.to(dtype))
    assert sr.dtype == dtype
    assert (sr.float() - exact).abs().max() <= limit


@NEEDS_SPANDREL
def test_weights_that_change_are_those_that_run(spandrel: Any, tmp_path: Path) -> None:
    save_network(small_network("esc"), tmp_path / "m.safetensors", published_names=True)
    model, lr = loaded(spandrel, tmp_path / "m.safetensors"), torch.rand(1, 3, 12, 9)
    assert not torch.equal(model(lr), model(lr.flip(-1)).flip(-1))
    model.model.load_state_dict({key: torch.zeros_like(v) for key, v in model.model.state_dict().items()})
    assert torch.equal(model(lr), torch.nn.functional.interpolate(lr, scale_factor=2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_a_copy_has_weights_of_its_own(copied: Callable[[Any], Any], dtype: torch.dtype) -> None:
    hosted, lr = HostedESC(small_config("esc")).to(dtype), torch.rand(1, 3, 12, 9)
    before = hosted(lr)
    twin = copied(hosted)
    assert torch.equal(twin(lr), before)
    twin.load_state_dict({key: torch.zeros_like(value) for key, value in twin.state_dict().items()})
    nearest = torch.nn.functional.interpolate(lr, scale_factor=2)
    assert (twin(lr) - nearest).abs().max() <= 1e-3
    assert torch.equal(hosted(lr), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_changed_in_place_are_those_that_run(dtype: torch.dtype) -> None:
    hosted, lr = HostedESC(small_config("esc")).to(dtype), torch.rand(1, 3, 12, 9)
    nearest = torch.nn.functional.interpolate(lr, scale_factor=2)
    assert (hosted(lr) - nearest).abs().max() > 1e-2
    with torch.no_grad():
        for parameter in hosted.network.parameters():
            parameter.zero_()
    assert (hosted(lr) - nearest).abs().max() <= 1e-3


@NEEDS_SPANDREL
def test_half_precision_does_not_overflow(spandrel: Any, tmp_path: Path) -> None:
    network = small_network("esc")
    with torch.no_grad():  # features beyond 65504, which the last convolution takes back
        network.shallow.weight.fill_(3e4)
        network.get_parameter("upsampler.conv.weight").mul_(1e-4)
        for parameter in network.parameters():
            parameter.copy_(parameter.half())
    save_network(network, tmp_path / "m.safetensors", published_names=True)
    model, lr = loaded(spandrel, tmp_path / "m.safetensors").half(), torch.rand(1, 3, 12, 9).half()
    with torch.no_grad():
        exact, sr = network(lr.float()), model.model(lr).float()
        assert not copy.deepcopy(network).half()(lr).isfinite().all()
    assert sr.isfinite().all()
    assert (sr - exact).abs().max() <= 0.02 * exact.abs().max()
    assert model.model.inference.precision_policy.precision != "float16"


@NEEDS_SPANDREL
def test_installing_twice_changes_nothing_and_others_still_load(spandrel: Any, tmp_path: Path) -> None:
    before = [support.architecture.id for support in spandrel.MAIN_REGISTRY]
    support = spandrel.MAIN_REGISTRY.get(ARCHITECTURE)
    install()
    assert [each.architecture.id for each in spandrel.MAIN_REGISTRY] == before
    assert spandrel.MAIN_REGISTRY.get(ARCHITECTURE) is support
    for kind in ("ESRGAN", "Compact", "SPAN"):
        weights = OTHERS[kind][0]().state_dict()
        detected = [each.architecture.id for each in spandrel.MAIN_REGISTRY if each.detect(weights)]
        assert detected == [kind]


@NEEDS_SPANDREL
def test_only_we_know_our_files(spandrel: Any, tmp_path: Path) -> None:
    weights: dict[str, Tensor] = {}
    for published_names in (False, True):
        save_network(small_network("esc"), tmp_path / "m.safetensors", published_names=published_names)
        weights = spandrel.ModelLoader().load_state_dict_from_file(tmp_path / "m.safetensors")
        detected = [each.architecture.id for each in spandrel.MAIN_REGISTRY if each.detect(weights)]
        assert detected == [ARCHITECTURE]
    save_network(small_network("esc-lte"), tmp_path / "any.safetensors", published_names=True)
    with pytest.raises(spandrel.UnsupportedModelError):
        loaded(spandrel, tmp_path / "any.safetensors")


def test_without_spandrel_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)  # as if it were not installed
    with pytest.raises(ConfigError, match=re.escape(install_line("spandrel"))):
        install()
