"""A network as one graph: its stages in their order, over the whole picture."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from escsr.errors import ConfigError
from escsr.exports.graph import Graph
from escsr.exports.operations import Part, add_stage
from escsr.networks import ESC
from escsr.networks.inference_form import inference_form

__all__ = ["INPUT", "OPSET", "OPSETS", "OUTPUT", "whole_graph"]

INPUT, OUTPUT = "input", "output"

OPSET, OPSETS = 20, range(17, 24)
"""Versions of ONNX's operators: the usual one, which has GELU, and all. LayerNormalization came with 17."""


def whole_graph(
    network: ESC,
    *,
    static: tuple[int, int] | None = None,
    half: bool = False,
    opset: int = OPSET,
    for_openvino: bool = False,
    metadata: dict[str, str] | None = None,
) -> Any:
    """The graph of a network: "input" (1, 3, H, W), RGB in [0, 1] → "output" (1, 3, rH, rW), not clamped.

    Args:
        network: Of a fixed scale.
        static: H and W, where the graph is for one size; None for any from 1×1.
        half: float16, input and output too; norms, softmax and pooled means stay float32.
        opset: Version of ONNX's operators.
        for_openvino: See `Graph`.
        metadata: Text fields.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        ConfigError: The network is of any scale, a setting is impossible, or onnx is not installed.
    """
    if not isinstance(opset, Integral) or opset not in OPSETS:
        raise ConfigError(f"opset must be a whole number from {OPSETS[0]} to {OPSETS[-1]}, not {opset!r}.")
    if static is not None and min(static) < 1:
        raise ConfigError(f"static must be at least 1, not {static[0]}×{static[1]}.")
    if network.config.scale is None:
        raise ConfigError(
            "A model for any scale (LTE) takes the size of its result at each call, which a file for other "
            "programs cannot; export a model of a fixed scale."
        )
    form = inference_form(network)
    g = Graph(form, opset=int(opset), half=half, for_openvino=for_openvino)
    part = Part(g.shape_of(INPUT) if static is None else static)
    tensors = {"lr": INPUT}
    for stage in form.stages():
        tensors[stage.output] = add_stage(g, stage, [tensors[name] for name in stage.inputs], part)
    g.scope = ""
    g.give(tensors["sr"], OUTPUT)
    height, width = static or ("height", "width")
    scale = network.config.scale
    larger = [side * scale if isinstance(side, int) else f"{scale}*{side}" for side in (height, width)]
    inputs, outputs = g.value(INPUT, [1, 3, height, width]), g.value(OUTPUT, [1, 3, *larger])
    return g.model([inputs], [outputs], name="escsr", metadata=metadata)
