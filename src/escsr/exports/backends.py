"""A network computed by another runtime: a picture at once, or stage by stage, equally exact."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from escsr.exports.graph import Graph
from escsr.exports.operations import Part, add_stage
from escsr.exports.runtimes import Run, open_runtime
from escsr.exports.whole import INPUT, OPSET, whole_graph
from escsr.networks import ESC
from escsr.networks.inference_form import inference_form
from escsr.networks.lte import LTE
from escsr.networks.stages import Stage, StageFunction, choose

__all__ = ["GraphBackend", "stage_graph"]


class GraphBackend:
    """ONNX Runtime or OpenVINO in the place of PyTorch's operators; threads may share it.

    Args:
        network: The network, on the CPU.
        backend: "onnx" or "openvino".

    Raises:
        ConfigError: The runtime is not installed.
    """

    def __init__(self, network: ESC, backend: str) -> None:
        self.network, self._load = inference_form(network), open_runtime(backend)
        self._name, self._openvino = backend, backend == "openvino"
        self._whole: Run | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Copied, or sent to another process, it is opened again: runtimes and locks stay here."""
        return type(self), (self.network, self._name)

    @property
    def takes_whole(self) -> bool:
        """Whether `whole` is possible; networks of any scale go through stages."""
        return self.network.config.scale is not None

    def whole(self, lr: Tensor) -> Tensor:
        """The network at once, by a graph that the first call loads: (B, 3, H, W) → (B, 3, rH, rW)."""
        with self._lock:
            if self._whole is None:
                graph = whole_graph(self.network, for_openvino=self._openvino)
                self._whole = self._load(graph.SerializeToString(), True)
        return torch.cat([_run(self._whole, {INPUT: image}) for image in torch.split(lr, 1)])

    def choose(self, stage: Stage, device: torch.device) -> StageFunction:
        """What computes a stage, in the place of `networks.stages.choose`.

        It is loaded anew each time: there are many stages, and each would keep memory and threads. LTE's
        upsampling, whose size is that of each call, stays with PyTorch.
        """
        if isinstance(stage.module, LTE):
            return choose(stage, device)
        graph = stage_graph(self.network, stage, for_openvino=self._openvino)
        return partial(_stage, stage, self._load(graph.SerializeToString(), False))


def stage_graph(network: ESC, stage: Stage, *, for_openvino: bool = False) -> Any:
    """The graph of one stage over any part of the picture.

    Args:
        network: The inference form that the stage is of.
        stage: Which.
        for_openvino: See `Graph`.

    Returns:
        An `onnx.ModelProto`. Its inputs are those of the stage, by their names, (1, H, W, C) as maps are
        kept; where it takes them also "margin", int64 (top, left, bottom, right), and "pooled". Its output
        is "result", (1, H, W, C).
    """
    g, dim = Graph(network, opset=OPSET, for_openvino=for_openvino), network.config.dim
    inputs = [_map(g, name, 3 if name == "lr" else dim) for name in stage.inputs]
    maps = [g.add("Transpose", name, perm=[0, 3, 1, 2]) for name in stage.inputs]
    has_margin = stage.halo > 0 and stage.operation != "upsample"
    if has_margin:
        inputs.append(g.value("margin", [4], integers=True))
    if stage.takes_pooled:
        inputs.append(g.value("pooled", [1, network.config.attended_dim, 1, 1]))
    part = Part(g.shape_of(maps[0]), "margin" * has_margin, "pooled" * stage.takes_pooled)
    g.give(g.add("Transpose", add_stage(g, stage, maps, part), perm=[0, 2, 3, 1]), "result")
    result = _map(g, "result", 3 if stage.output == "sr" else dim)
    return g.model(inputs, [result], name=stage.operation)


def _map(g: Graph, name: str, channels: int) -> Any:
    return g.value(name, [1, f"{name}_rows", f"{name}_columns", channels])


def _stage(stage: Stage, run: Run, *arguments: Any) -> Tensor:
    """A `StageFunction`: the images of a batch one after the other, since each has kernels of its own."""
    maps, around = arguments[: len(stage.inputs)], arguments[len(stage.inputs) :]
    margin: dict[str, NDArray[Any]] = {}
    if stage.halo and stage.operation != "upsample":
        left, right, top, bottom = around[0]
        margin["margin"] = np.array([top, left, bottom, right], np.int64)
    named = dict(zip(stage.inputs, (each.permute(0, 2, 3, 1) for each in maps), strict=True))
    if stage.takes_pooled:
        named["pooled"] = around[-1]
    images = zip(*(torch.split(each, 1) for each in named.values()), strict=True)
    results = [_run(run, dict(zip(named, image, strict=True)), margin) for image in images]
    result = torch.cat(results).permute(0, 3, 1, 2)
    if stage.operation != "upsample":
        return result
    scale: Any = stage.module.scale
    rows, columns = (side.within(scale) for side in around[0])
    return result[..., rows, columns]


def _run(run: Run, tensors: dict[str, Tensor], others: dict[str, NDArray[Any]] | None = None) -> Tensor:
    arrays = {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in tensors.items()}
    return torch.from_numpy(run(arrays | (others or {})))
