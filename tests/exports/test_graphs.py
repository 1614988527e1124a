"""Graphs give what the networks give, at any size, and are what other programs accept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from escsr.errors import ConfigError
from escsr.exports.whole import OPSETS, whole_graph
from escsr.networks import ESC
from samples import lively, small_config, small_network

onnx = pytest.importorskip("onnx", reason='needs pip install "escsr[onnx]"')
onnxruntime = pytest.importorskip("onnxruntime", reason='needs pip install "escsr[onnx]"')

SIZES = [(1, 1), (2, 3), (7, 5), (8, 8), (16, 9), (31, 33)]
ABLATIONS: dict[str, dict[str, Any]] = {
    "no attention": {"num_attention": 0},
    "two attentions": {"num_attention": 2},
    "unshared kernels": {"large_kernel": "unshared"},
    "no dynamic kernel": {"dynamic_kernel": False},
    "norms": {"norm_before_ffn": True, "norm_last": True},
    "scale 3": {"scale": 3},
    "bias rank 4": {"bias_rank": 4},
    "gate": {"attention_gate": True},
    "gate, two attentions": {"attention_gate": True, "num_attention": 2},
}


def run(graph: Any, lr: torch.Tensor) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(["output"], {"input": lr.numpy()})[0])


def difference(network: ESC, graph: Any, lr: torch.Tensor) -> float:
    with torch.no_grad():
        expected = network(lr.float()).numpy()
    result = run(graph, lr)
    assert result.shape == expected.shape
    return float(np.abs(result - expected).max())


@pytest.mark.parametrize("variant", ["esc", "esc-fp", "esc-real", "esc-rib"])
def test_any_size_is_the_networks_result(variant: str) -> None:
    network = small_network(variant)
    graph = whole_graph(network)
    for size in SIZES:
        assert difference(network, graph, torch.rand(1, 3, *size)) <= 5e-6, size


@pytest.mark.parametrize("changes", ABLATIONS.values(), ids=ABLATIONS.keys())
def test_every_setting_of_a_network(changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = lively(ESC(small_config("esc").replace(**changes)))
    assert difference(network, whole_graph(network), torch.rand(1, 3, 13, 18)) <= 5e-6


def test_queries_of_a_large_window_in_parts() -> None:
    torch.manual_seed(0)
    network = lively(ESC(small_config("esc").replace(window_size=13)))  # 169 queries
    graph = whole_graph(network)
    assert sum(node.op_type == "Softmax" for node in graph.graph.node) == 2 * 3 * 2
    assert difference(network, graph, torch.rand(1, 3, 20, 14)) <= 5e-6


@pytest.mark.parametrize("opset", [OPSETS[0], 18, OPSETS[-1]])
def test_every_opset(opset: int) -> None:
    network = small_network("esc-real")
    graph = whole_graph(network, opset=opset)
    assert [entry.version for entry in graph.opset_import] == [opset]
    onnx.checker.check_model(graph, full_check=True)
    assert difference(network, graph, torch.rand(1, 3, 9, 21)) <= 5e-6


@pytest.mark.parametrize("variant", ["esc", "esc-rib"])
@pytest.mark.parametrize("size", [(24, 16), (10, 21)])
def test_one_size(size: tuple[int, int], variant: str) -> None:
    network = small_network(variant)
    graph = whole_graph(network, static=size)
    assert not {"Shape", "Range", "Mod"} & {node.op_type for node in graph.graph.node}
    assert difference(network, graph, torch.rand(1, 3, *size)) <= 5e-6


@pytest.mark.parametrize("static", [None, (64, 64)])
def test_shapes_are_inferred_strictly(static: tuple[int, int] | None) -> None:
    graph = whole_graph(small_network("esc-real"), static=static)
    onnx.checker.check_model(graph, full_check=True)
    for axis in (2, 3):
        graph.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 64
        graph.graph.output[0].type.tensor_type.shape.dim[axis].Clear()
    inferred = onnx.shape_inference.infer_shapes(graph, check_type=True, strict_mode=True, data_prop=True)
    shape = inferred.graph.output[0].type.tensor_type.shape
    assert [dim.dim_value for dim in shape.dim] == [1, 3, 256, 256]


def test_half_keeps_norms_and_softmax_in_float32() -> None:
    network = small_network("esc-fp")
    graph = whole_graph(network, half=True)
    onnx.checker.check_model(graph, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(graph, strict_mode=True, data_prop=True)
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    single, half = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
    for node in graph.graph.node:
        if node.op_type in ("LayerNormalization", "Softmax", "ReduceMean"):
            assert types[node.output[0]] == single
        elif node.op_type in ("Conv", "MatMul", "Gelu"):
            assert types[node.output[0]] == half
    lr = torch.rand(1, 3, 19, 22)
    assert run(graph, lr.half()).dtype == np.float16
    assert 1e-6 < difference(network, graph, lr.half()) < 0.02


def test_weights_have_the_networks_names_and_lie_in_the_file_once() -> None:
    network = small_network("esc")
    graph = whole_graph(network)
    names = [constant.name for constant in graph.graph.initializer]
    assert len(names) == len(set(names))
    assert "blocks.1.conv_ffns.0.expand.weight" in names
    assert "large_kernel.averaged" in names
    held = sum(int(np.prod(constant.dims)) for constant in graph.graph.initializer)
    assert held < 1.05 * sum(parameter.numel() for parameter in network.parameters())


def test_a_hook_of_a_block_is_not_left_out() -> None:
    network = small_network("esc")
    network.blocks[1].register_forward_hook(lambda _m, inputs, _: inputs[0])
    with pytest.raises(ConfigError, match=r"blocks\.1 has adapters or hooks"):
        whole_graph(network)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="any scale"):
        whole_graph(small_network("esc-lte"))
    with pytest.raises(ConfigError, match="opset must be a whole number from 17 to 23"):
        whole_graph(small_network("esc"), opset=16)
    with pytest.raises(ConfigError, match="static"):
        whole_graph(small_network("esc"), static=(0, 4))
