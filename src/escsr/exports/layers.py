"""Layers of the networks as nodes of ONNX; each bears the name of its twin in `escsr.networks`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import nn

from escsr.exports.graph import Graph, Length
from escsr.networks.layers import ConvFFN

__all__ = [
    "cast",
    "conv",
    "conv_ffn",
    "convolve",
    "crop",
    "gelu",
    "layer_norm",
    "leaky_relu",
    "mean",
    "reflect_pad",
    "resize",
    "split",
]


def conv(g: Graph, x: str, module: nn.Conv2d) -> str:
    """A convolution with a bias, padded as the module is."""
    assert module.bias is not None
    how: dict[str, Any] = {"pads": [int(side) for side in module.padding] * 2, "group": module.groups}
    if not g.for_openvino:
        return str(g.add("Conv", x, g.weight(module.weight), g.weight(module.bias), **how))
    bias = g.weight(module.bias[:, None, None], name="bias")
    return str(g.add("Add", g.add("Conv", x, g.weight(module.weight), **how), bias))


def convolve(
    g: Graph, x: str, kernel: str, radius: int, *bias: str, groups: int = 1, margin: str = ""
) -> str:
    """Convolution padded with zeros to equal size, computed only inside a margin.

    Args:
        g: The graph.
        x: (1, C, top + H + bottom, left + W + right).
        kernel: (C', C / groups, k, k).
        radius: (k − 1) / 2.
        bias: (C',), or nothing.
        groups: Of channels.
        margin: int64, (top, left, bottom, right); "" for none.
    """
    if not margin:
        return str(g.add("Conv", x, kernel, *bias, pads=[radius] * 4, group=groups))
    pads = g.add("Sub", g.integers([radius] * 4), margin)
    padded = g.add("Pad", x, pads, "", g.integers([2, 3]))
    return str(g.add("Conv", padded, kernel, *bias, group=groups))


def crop(g: Graph, x: str, margin: str) -> str:
    """Takes a margin off, see `convolve`."""
    if not margin:
        return x
    before, after = g.add("Split", margin, g.integers([2, 2]), outputs=2, axis=0)
    end = g.add("Sub", g.add("Shape", x, start=2), after)
    return str(g.add("Slice", x, before, end, g.integers([2, 3])))


def gelu(g: Graph, x: str) -> str:
    """GELU by erf, which is an operator from opset 20 on."""
    if g.opset >= 20:
        return str(g.add("Gelu", x))
    error = g.add("Erf", g.add("Mul", x, g.number(math.sqrt(0.5))))
    return str(g.add("Mul", g.add("Mul", x, g.number(0.5)), g.add("Add", error, g.number(1.0))))


def leaky_relu(g: Graph, x: str) -> str:
    """LeakyReLU (0.2)."""
    return str(g.add("LeakyRelu", x, alpha=0.2))


def cast(g: Graph, x: str, *, single: bool) -> str:
    """To float32, or back to the graph's type; nothing where that is float32."""
    if not g.half:
        return x
    return str(g.add("Cast", x, to=1 if single else g.float_type))


def layer_norm(g: Graph, x: str, module: nn.Module) -> str:
    """LayerNorm over the channels of each pixel, in float32; nothing where the module is an identity."""
    if not isinstance(module, nn.LayerNorm):
        return x
    pixels = g.add("Transpose", cast(g, x, single=True), perm=[0, 2, 3, 1])  # (1, H, W, C)
    weights = [g.weight(each, single=True) for each in (module.weight, module.bias)]
    normed = g.add("LayerNormalization", pixels, *weights, axis=-1, epsilon=module.eps)
    return cast(g, g.add("Transpose", normed, perm=[0, 3, 1, 2]), single=False)


def conv_ffn(g: Graph, x: str, module: ConvFFN, margin: str = "") -> str:
    """ConvFFN, less the margin."""
    h = gelu(g, conv(g, x, module.expand))
    mixed = g.add("Add", gelu(g, conv(g, h, module.depthwise)), h)
    return conv(g, crop(g, mixed, margin), module.reduce)


def mean(g: Graph, x: str) -> str:
    """Mean over the picture, in float32: (1, C, H, W) → (1, C, 1, 1)."""
    x = cast(g, x, single=True)
    if g.opset >= 18:
        pooled = g.add("ReduceMean", x, g.integers([2, 3]), keepdims=1)
    else:
        pooled = g.add("ReduceMean", x, axes=[2, 3], keepdims=1)
    return cast(g, pooled, single=False)


def resize(g: Graph, x: str, scale: int, mode: str) -> str:
    """`torch.nn.functional.interpolate` by a whole factor, "nearest" or "bicubic"."""
    scales = g.numbers([1.0, 1.0, scale, scale])
    if mode == "bicubic":
        how: dict[str, Any] = {
            "mode": "cubic",
            "cubic_coeff_a": -0.75,
            "coordinate_transformation_mode": "half_pixel",
        }
        return cast(g, g.add("Resize", cast(g, x, single=True), "", scales, **how), single=False)
    how = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
    return str(g.add("Resize", x, "", scales, **how))


def split(g: Graph, x: str, sizes: list[int], *, axis: int) -> list[str]:
    """Cuts a tensor along an axis into parts of so many elements."""
    if len(sizes) == 1:
        return [x]
    return list(g.add("Split", x, g.integers(sizes), outputs=len(sizes), axis=axis))


def reflect_pad(
    g: Graph, x: str, size: tuple[Length, Length], before: Length, after: tuple[Length, Length]
) -> str:
    """Reflect-pads by any number of pixels; a single one is repeated.

    Args:
        g: The graph.
        x: (1, C, H, W).
        size: H and W.
        before: Pixels to add in front, of both sides.
        after: Pixels to add behind, of rows and of columns.
    """
    for axis, (side, behind) in enumerate(zip(size, after, strict=True), start=2):
        if (before, behind) != (0, 0):
            x = g.add("Gather", x, _reflect_index(g, side, before, behind), axis=axis)
    return x


def _reflect_index(g: Graph, size: Length, before: Length, after: Length) -> str:
    """Source of each sample of a padded side, int64, (before + size + after,)."""
    assert isinstance(before, int)
    if isinstance(size, int) and isinstance(after, int):
        period = max(1, 2 * (size - 1))
        folded = np.arange(-before, size + after) % period
        return g.integers(np.minimum(folded, period - folded))
    stop = g.add("Squeeze", g.length(g.compute("Add", size, after)))
    position = g.add("Range", g.integers(np.asarray(-before)), stop, g.integers(np.asarray(1)))
    twice = g.compute("Mul", g.compute("Sub", size, 1), 2)
    period = g.add("Max", g.length(twice), g.integers([1]))
    folded = g.add("Mod", position, period)
    return str(g.add("Min", folded, g.add("Sub", period, folded)))
