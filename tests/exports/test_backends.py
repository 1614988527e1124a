"""ONNX Runtime and OpenVINO in the place of PyTorch: the same pictures, whole and in tiles."""

from __future__ import annotations

import copy
import pickle
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from escsr.errors import ConfigError
from escsr.exports.backends import GraphBackend
from escsr.exports.whole import whole_graph
from escsr.models.saving import save_network
from escsr.networks import ESC
from escsr.runtime.extras import install_line
from escsr.upscaling.inference import Inference
from escsr.upscaling.upscaler import Upscaler
from samples import call_options, flowers, lively, small_config, small_network

pytest.importorskip("onnx", reason='needs pip install "escsr[onnx]"')


@pytest.fixture(params=[("onnx", "onnxruntime"), ("openvino", "openvino")], ids=["onnx", "openvino"])
def backend(request: pytest.FixtureRequest) -> Any:
    name, package = request.param
    pytest.importorskip(package, reason=f'needs pip install "escsr[{name}]"')
    return name


def shallow() -> ESC:
    """Of one block, since a runtime takes long to compile the stages of each."""
    torch.manual_seed(0)
    return lively(ESC(small_config("esc").replace(num_blocks=1)))


@pytest.mark.parametrize(
    "variant",
    [
        "esc",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("esc-fp", "esc-real", "esc-lte", "esc-rib")
        ),
    ],
)
def test_tiles_are_exact(backend: Any, variant: str) -> None:
    network = small_network(variant)
    lr, scale = torch.rand(1, 3, 27, 21), call_options(network).get("scale")
    expected = Inference(network).run(lr, scale=scale)
    for tile_size in (8, 32):
        shares: list[float] = []
        tiled = Inference(network, backend=backend, tile_size=tile_size)
        result = tiled.run(lr, scale=scale, on_progress=shares.append)
        assert (result - expected).abs().max() <= 1e-5
        assert shares[-1] == 1


def test_ablations_in_tiles(backend: Any) -> None:
    config = small_config("esc", bias_rank=4)
    config = config.replace(num_blocks=1, num_attention=2, attention_gate=True)
    network = lively(ESC(config))
    lr = torch.rand(1, 3, 20, 13)
    result = Inference(network, backend=backend, tile_size=8).run(lr)
    assert (result - Inference(network).run(lr)).abs().max() <= 1e-5


def test_batches_keep_their_kernels_apart(backend: Any) -> None:
    network, lr = shallow(), torch.rand(3, 3, 18, 11)
    expected = Inference(network).run(lr)
    for tile_size in (8, None):
        result = Inference(network, backend=backend, tile_size=tile_size).run(lr)
        assert (result - expected).abs().max() <= 1e-5


def test_large_pictures_go_through_stages_where_memory_is_short(
    backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, lr = shallow(), torch.rand(1, 3, 40, 37)
    expected = Inference(network).run(lr)
    roomy = Inference(network, backend=backend)
    assert (roomy.run(lr) - expected).abs().max() <= 1e-5
    monkeypatch.setattr("escsr.upscaling.inference._BACKEND_TILE_SIZE", 16)
    monkeypatch.setattr("escsr.upscaling.inference.free_device_memory", lambda _: 0)
    monkeypatch.setattr(GraphBackend, "whole", None)
    assert (roomy.run(lr) - expected).abs().max() <= 1e-5
    assert roomy.predict((40, 37), (80, 74)).feature_maps > 0


def test_out_of_memory_goes_on_in_tiles(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(self: GraphBackend, lr: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("Failed to allocate memory for requested buffer of size 1")

    network, lr = shallow(), torch.rand(1, 3, 20, 31)
    monkeypatch.setattr(GraphBackend, "whole", exhausted)
    result = Inference(network, backend=backend).run(lr)
    assert (result - Inference(network).run(lr)).abs().max() <= 1e-5


def test_a_photo_is_within_one_level(backend: Any) -> None:
    pixels = flowers()[200:270, 300:390]
    expected = Upscaler("esc-light-x2", device="cpu")(pixels).astype(int)
    result = Upscaler("esc-light-x2", backend=backend)(pixels)
    assert result.dtype == np.uint8
    assert np.abs(result - expected).max() <= 1
    assert (result != expected).mean() < 1e-3  # ties of the rounding


def test_threads_share_an_upscaler(backend: Any, tmp_path: Path) -> None:
    save_network(shallow(), tmp_path / "small.safetensors")
    upscaler = Upscaler(tmp_path / "small.safetensors", backend=backend)
    pictures = [torch.rand(1, 3, 9 + index, 12) for index in range(6)]
    serial = [upscaler(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as threads:
        parallel = list(threads.map(upscaler, pictures))
    for one, other in zip(serial, parallel, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_only_float32_on_the_cpu(backend: Any) -> None:
    for settings in ({"precision": "bfloat16"}, {"precision": "float16"}):
        with pytest.raises(ConfigError, match="on the CPU in float32"):
            Inference(small_network("esc"), backend=backend, **settings)  # type: ignore[arg-type]


def test_other_backends_are_refused() -> None:
    with pytest.raises(ConfigError, match="torch, onnx, openvino"):
        Inference(small_network("esc"), backend="tensorrt")  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "package"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_a_missing_runtime_is_named_with_its_line(
    monkeypatch: pytest.MonkeyPatch, name: Any, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=f"{package}.*{re.escape(install_line(name))}"):
        Inference(small_network("esc"), backend=name)


class Tripled(torch.nn.Conv2d):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return 3 * super().forward(input)


@pytest.mark.parametrize("kind", ["adapter", "hook"])
@pytest.mark.parametrize("place", ["blocks.0.conv_last", "blocks.1.conv_attns.0.fuse", "last"])
def test_adapters_and_hooks_are_refused(place: str, kind: str) -> None:
    network = small_network("esc")
    module: Any = network.get_submodule(place)
    if kind == "hook":
        module.register_forward_hook(lambda _m, _i, result: 3 * result)
    else:
        module.__class__ = Tripled
    with pytest.raises(ConfigError, match=r"has adapters or hooks.*merge them first"):
        whole_graph(network)
    pytest.importorskip("onnxruntime")
    for tile_size in (8, None):
        with pytest.raises(ConfigError, match="use backend torch"):
            Inference(network, backend="onnx", tile_size=tile_size).run(torch.rand(1, 3, 12, 9))


def test_copies_open_the_runtime_anew(backend: Any) -> None:
    model, lr = Inference(shallow(), backend=backend), torch.rand(1, 3, 12, 9)
    expected = model.run(lr)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(copied.run(lr), expected)
