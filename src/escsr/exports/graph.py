"""A graph of ONNX while it is made: nodes, weights under the network's names, lengths known or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import add, floordiv, mod, mul, sub
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from escsr.exports.packages import package

__all__ = ["Graph", "Length"]

Length = int | str
"""Of a side, in pixels: known, or the name of an int64 tensor of one element."""

_OPERATORS: dict[str, Callable[[int, int], int]] = {
    "Add": add,
    "Sub": sub,
    "Mul": mul,
    "Div": floordiv,
    "Mod": mod,
}


class Graph:
    """Nodes and constants; of equal ones there is one.

    Args:
        network: Whose weights it holds; constants get their names.
        opset: Version of the operators.
        half: Whether numbers are float16; else float32.
        for_openvino: Whether OpenVINO reads it, which makes one operation of attention, and eight of the
            bias of a convolution.

    Attributes:
        opset: As given.
        half: As given.
        for_openvino: As given.
        scope: What names of nodes begin with, the name of a stage's module.
    """

    def __init__(
        self, network: nn.Module, *, opset: int, half: bool = False, for_openvino: bool = False
    ) -> None:
        self._onnx = package("onnx")
        self.opset, self.half, self.for_openvino = opset, half, for_openvino
        self.scope = ""
        tensors = (*network.named_parameters(), *network.named_buffers())
        self._names = {id(tensor): name for name, tensor in tensors}
        self._nodes: list[Any] = []
        self._made: dict[tuple[object, ...], Any] = {}
        self._constants: dict[tuple[object, ...], Any] = {}

    @property
    def float_type(self) -> int:
        """ONNX's number of the floating type."""
        kinds = self._onnx.TensorProto
        return int(kinds.FLOAT16 if self.half else kinds.FLOAT)

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Adds a node, or finds the one that computes the same.

        Args:
            operator: Its kind.
            inputs: Names of tensors; "" where an optional one is left out.
            outputs: How many it gives.
            attributes: Of the operator.

        Returns:
            The name of its output, or a list of them.
        """
        key = operator, inputs, repr(attributes)
        if key in self._made:
            return self._made[key]
        name = f"{self.scope}/{operator}_{len(self._nodes)}".lstrip("/")
        names = [name] if outputs == 1 else [f"{name}.{index}" for index in range(outputs)]
        node = self._onnx.helper.make_node(operator, inputs, names, name=name, **attributes)
        self._nodes.append(node)
        self._made[key] = name if outputs == 1 else names
        return self._made[key]

    def weight(self, tensor: Tensor, *, name: str = "", single: bool = False) -> str:
        """A constant of floating numbers.

        Args:
            tensor: Its values.
            name: What to call it, where it is no tensor of the network.
            single: float32 in a graph of float16 too.
        """
        values = tensor.detach().to("cpu", torch.float16 if self.half and not single else torch.float32)
        return self._constant(values.contiguous().numpy(), self._names.get(id(tensor), name))

    def integers(self, values: NDArray[Any] | Sequence[int]) -> str:
        """A constant of int64."""
        return self._constant(np.asarray(values, np.int64), "integers")

    def number(self, value: float) -> str:
        """A constant of one floating number, of the graph's type."""
        return self._constant(np.asarray(value, np.float16 if self.half else np.float32), "number")

    def numbers(self, values: Sequence[float]) -> str:
        """A constant of float32."""
        return self._constant(np.asarray(values, np.float32), "numbers")

    def shape_of(self, x: str) -> tuple[Length, Length]:
        """Rows and columns of (B, C, H, W), as a graph finds them out when it runs."""
        return self.add("Shape", x, start=2, end=3), self.add("Shape", x, start=3, end=4)

    def compute(self, operator: str, one: Length, other: Length) -> Length:
        """Arithmetic of lengths: here where both are known, else in the graph."""
        if isinstance(one, int) and isinstance(other, int):
            return _OPERATORS[operator](one, other)
        return str(self.add(operator, *map(self.length, (one, other))))

    def length(self, value: Length) -> str:
        """A length as a tensor of one element."""
        return self.integers([value]) if isinstance(value, int) else value

    def lengths(self, *values: Length) -> str:
        """Several lengths as one tensor."""
        known = [value for value in values if isinstance(value, int)]
        if len(known) == len(values):
            return self.integers(known)
        return str(self.add("Concat", *map(self.length, values), axis=0))

    def model(
        self,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        *,
        name: str,
        metadata: dict[str, str] | None = None,
    ) -> Any:
        """All of it as ONNX's `ModelProto`.

        Args:
            inputs: What the graph takes, from `value`.
            outputs: What it gives.
            name: Of the graph.
            metadata: Text fields.
        """
        helper = self._onnx.helper
        constants = list(self._constants.values())
        graph = helper.make_graph(self._nodes, name, inputs, outputs, constants)
        opsets = [helper.make_opsetid("", self.opset)]
        version = helper.find_min_ir_version_for(opsets)
        model = helper.make_model(graph, opset_imports=opsets, ir_version=version, producer_name="escsr")
        helper.set_model_props(model, metadata or {})
        return model

    def value(self, name: str, shape: Sequence[int | str], *, integers: bool = False) -> Any:
        """A tensor that the graph takes or gives; sides may be names or products like "2*height"."""
        kind = self._onnx.TensorProto.INT64 if integers else self.float_type
        return self._onnx.helper.make_tensor_value_info(name, kind, shape)

    def give(self, x: str, name: str) -> None:
        """Calls a tensor what the graph's output is called."""
        self._nodes.append(self._onnx.helper.make_node("Identity", [x], [name], name=name))

    def _constant(self, values: NDArray[Any], name: str) -> str:
        key = (values.dtype.str, values.shape, values.tobytes())
        if key not in self._constants:
            unique = name if name in self._names.values() else f"{name}_{len(self._constants)}"
            self._constants[key] = self._onnx.numpy_helper.from_array(values, unique)
        return str(self._constants[key].name)
