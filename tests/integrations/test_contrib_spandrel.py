"""The change for spandrel, in the real spandrel: equal to ours, detected alone, its own test of loading."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import escsr
from escsr.models.saving import save_network
from escsr.networks import ESC, VARIANTS
from other_models import NEEDS_SPANDREL, real_spandrel
from samples import ROOT, lively, small_network

FOLDER = ROOT / "contrib" / "spandrel"
pytestmark = NEEDS_SPANDREL


def load_module(name: str, path: Path, *, folder: Path | None = None) -> ModuleType:
    places = None if folder is None else [str(folder)]
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=places)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def architecture() -> Iterator[Any]:
    """Imported as the part of spandrel that it is meant to become."""
    real_spandrel()
    folder = FOLDER / "libs" / "spandrel" / "spandrel" / "architectures" / "ESC"
    yield load_module("spandrel.architectures.ESC", folder / "__init__.py", folder=folder)
    for name in [name for name in sys.modules if name.startswith("spandrel.architectures.ESC.")]:
        del sys.modules[name]
    del sys.modules["spandrel.architectures.ESC"]


@pytest.fixture
def loader(architecture: Any) -> Any:
    """With a registry of its own: that of the process stays as it is."""
    spandrel = real_spandrel()
    registry = spandrel.ArchRegistry()
    others = [each for each in spandrel.MAIN_REGISTRY if each.architecture.id != "ESC"]
    registry.add(*others, spandrel.ArchSupport.from_architecture(architecture.ESCArch()))
    return spandrel.ModelLoader(registry=registry)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in escsr.list_models() if "lte" not in name])
def test_published_models_equal_our_upscaler(loader: Any, name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_network(escsr.load_network(name), path, half=True, published_names=True)
    model, lr = loader.load_from_file(path), torch.rand(1, 3, 37, 41)
    expected = escsr.Upscaler(name, device="cpu", keep_colour=False)(lr)
    assert (model(lr) - expected).abs().max() <= 1e-5
    assert model.scale == int(name[-1])


@pytest.mark.slow
@pytest.mark.parametrize("bias_rank", [None, 6])
@pytest.mark.parametrize("variant", [name for name in VARIANTS if "lte" not in name])
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (13, 10)])
def test_every_variant_and_size(
    loader: Any, variant: str, bias_rank: int | None, size: tuple[int, int], tmp_path: Path
) -> None:
    network = small_network(variant, bias_rank=bias_rank)
    if network.config.bias_hidden_dim:  # no weight tells its window, which is that of the variant
        network = lively(ESC(network.config.replace(window_size=VARIANTS[variant].window_size)))
    save_network(network, tmp_path / "m.safetensors", published_names=True)
    model, lr = loader.load_from_file(tmp_path / "m.safetensors"), torch.rand(2, 3, *size)
    with torch.no_grad():
        assert (model(lr) - network(lr).clamp(0, 1)).abs().max() <= 1e-5
    weights = loader.load_state_dict_from_file(tmp_path / "m.safetensors")
    assert [each.architecture.id for each in loader.registry if each.detect(weights)] == ["ESC"]


def test_its_own_test_of_loading(architecture: Any, loader: Any, tmp_path: Path) -> None:
    """`test_load` of the change, with spandrel's check: weights give back class, parameters and names."""
    tried: list[dict[str, Any]] = []

    def assert_loads_correctly(arch: Any, *models: Callable[[], nn.Module]) -> None:
        for build in models:
            network: Any = build()
            save_file(network.state_dict(), tmp_path / "m.safetensors")
            loaded = loader.load_from_file(tmp_path / "m.safetensors").model
            assert type(loaded) is type(network)
            assert loaded.hyperparameters == network.hyperparameters
            assert loaded.state_dict().keys() == network.state_dict().keys()
            tried.append(network.hyperparameters)
        assert arch.id == "ESC"

    util: Any = ModuleType("spandrel_tests.util")
    for name in ("ModelFile", "TestImage", "assert_image_inference", "assert_size_requirements"):
        setattr(util, name, None)
    util.disallowed_props, util.skip_if_unchanged = None, lambda file: None
    util.assert_loads_correctly = assert_loads_correctly
    sys.modules["spandrel_tests"], sys.modules["spandrel_tests.util"] = ModuleType("spandrel_tests"), util
    try:
        load_module("spandrel_tests.test_ESC", FOLDER / "tests" / "test_ESC.py").test_load()
    finally:
        for name in [name for name in sys.modules if name.startswith("spandrel_tests")]:
            del sys.modules[name]
    assert len(tried) == 11
    assert any(parameters["real"] for parameters in tried)


def test_widths_whose_quotient_rounds_down(architecture: Any, loader: Any) -> None:
    assert int(56 * (61 / 56)) == 60
    shape = {"dim": 56, "pdim": 8, "kernel_size": 5, "n_blocks": 1, "conv_blocks": 1, "window_size": 8}
    network = architecture.ESC(**shape, num_heads=4, upscaling_factor=2, ratio=61.5 / 56)
    loaded = loader.load_from_state_dict(network.state_dict()).model
    assert loaded.blocks[0].convffns[0].proj.weight.shape[0] == 61
