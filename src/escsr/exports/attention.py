"""Window attention as nodes of ONNX, in parts small enough for any memory."""

from __future__ import annotations

import numpy as np

from escsr.exports.graph import Graph, Length
from escsr.exports.layers import cast, conv, crop, reflect_pad, split
from escsr.networks.attention import WindowAttention

__all__ = ["window_attention"]

_MOST_QUERIES = 128
"""Of a window, whose scores one node makes for one head: half a KiB an LR pixel, where all at once are
16 KiB for four heads and windows of 32."""


def window_attention(
    g: Graph, x: str, module: WindowAttention, size: tuple[Length, Length], margin: str = ""
) -> str:
    """softmax(q·kᵀ/√d + bias)·v inside windows, times a gate where there is one.

    Runtimes hold all that a node gives. So each head, and in it each part of the queries, has nodes of its
    own, which run one after the other; but not for OpenVINO, which makes one operation of all of them.

    Args:
        g: The graph.
        x: (1, C, H, W), any size from 1×1.
        module: The attention.
        size: H and W.
        margin: What to take off, see `crop`; only the gate looks at it.

    Returns:
        (1, C, H, W) less the margin.
    """
    window, heads = module.window, module.heads
    inside = crop(g, x, margin)
    if margin:
        size = g.shape_of(inside)
    height, width = size
    rows, columns = (g.compute("Div", g.compute("Add", side, window - 1), window) for side in size)
    whole = g.compute("Mul", rows, window), g.compute("Mul", columns, window)
    pads = g.compute("Sub", whole[0], height), g.compute("Sub", whole[1], width)
    qkv = conv(g, reflect_pad(g, inside, size, 0, pads), module.qkv)
    dim = module.qkv.out_channels // (3 * heads)
    windows = g.add("Reshape", qkv, g.lengths(3, heads, dim, rows, window, columns, window))
    q, k, v = split(g, windows, [1, 1, 1], axis=0)  # (1, heads, d, H/w, w, W/w, w)
    pixels, channels = [0, 1, 3, 5, 4, 6, 2], [0, 1, 3, 5, 2, 4, 6]  # what comes first inside a window
    q = g.add("Mul", q, g.number(dim**-0.5))
    attended = _attend(
        g,
        g.add("Reshape", g.add("Transpose", q, perm=pixels), g.integers([heads, -1, window**2, dim])),
        g.add("Reshape", g.add("Transpose", k, perm=channels), g.integers([heads, -1, dim, window**2])),
        g.add("Reshape", g.add("Transpose", v, perm=pixels), g.integers([heads, -1, window**2, dim])),
        module,
        g.compute("Mul", rows, columns),
    )
    grid = g.add("Reshape", attended, g.lengths(heads, rows, columns, window, window, dim))
    grid = g.add("Transpose", grid, perm=[0, 5, 1, 3, 2, 4])  # (heads, d, H/w, w, W/w, w)
    merged = g.add("Reshape", grid, g.lengths(1, heads * dim, *whole))
    if pads != (0, 0):
        merged = g.add("Slice", merged, g.integers([0, 0]), g.lengths(*size), g.integers([2, 3]))
    if module.gate is not None:
        gate = conv(g, crop(g, conv(g, x, module.gate.depthwise), margin), module.gate.project)
        merged = g.add("Mul", merged, g.add("Sigmoid", gate))
    return conv(g, merged, module.out)


def _attend(g: Graph, q: str, k: str, v: str, module: WindowAttention, windows: Length) -> str:
    """Of q and v, (heads, windows, w², d), and k, (heads, windows, d, w²), the shape of q."""
    bias, factors = "", module.bias_factors()
    if factors is None:
        bias = g.add("Unsqueeze", _bias(g, module), g.integers([1]))  # (heads, 1, w², w²)
    else:  # of w⁴ numbers, which could be very many, none are kept
        times = g.lengths(1, windows, 1, 1)
        of_queries, of_keys = (
            g.add("Expand", g.weight(each.unsqueeze(1), name="bias"), times)
            for each in (factors[0], factors[1].mT)
        )
        q = g.add("Concat", q, of_queries, axis=-1)  # (heads, windows, w², d + R)
        k = g.add("Concat", k, of_keys, axis=-2)
    if g.for_openvino:
        return _softmax(g, q, k, v, bias)
    alone, pixels = [1] * module.heads, module.window**2
    parts = [min(_MOST_QUERIES, pixels - start) for start in range(0, pixels, _MOST_QUERIES)]
    results = []
    heads = [split(g, each, alone, axis=0) if each else [""] * len(alone) for each in (q, k, v, bias)]
    for queries, keys, values, of_head in zip(*heads, strict=True):
        biases = split(g, of_head, parts, axis=2) if of_head else [""] * len(parts)
        pieces = zip(split(g, queries, parts, axis=2), biases, strict=True)
        attended = [_softmax(g, some, keys, values, of_some) for some, of_some in pieces]
        results.append(_join(g, attended, axis=2))
    return _join(g, results, axis=0)


def _softmax(g: Graph, q: str, k: str, v: str, bias: str) -> str:
    scores = cast(g, g.add("MatMul", q, k), single=True)
    if bias:
        scores = g.add("Add", scores, bias)
    shares = cast(g, g.add("Softmax", scores, axis=-1), single=False)  # (heads, windows, queries, w²)
    return str(g.add("MatMul", shares, v))


def _bias(g: Graph, module: WindowAttention) -> str:
    """(heads, w², w²), float32, made in the graph: runtimes do it once, and files stay small.

    The views of `relative_position_bias`, by rows and then by columns.
    """
    assert module.bias_table is not None
    window, heads = module.window, module.heads
    table = module.bias_table.reshape(heads, 2 * window - 1, 2 * window - 1)
    offsets = g.integers(np.arange(window) - np.arange(window)[:, None] + window - 1)  # (query, key)
    rows = g.add(
        "Gather", g.weight(table, name="bias", single=True), offsets, axis=1
    )  # (heads, w, w, 2w − 1)
    views = g.add("Gather", rows, offsets, axis=3)  # (heads, query row, key row, query column, key column)
    views = g.add("Transpose", views, perm=[0, 1, 3, 2, 4])
    return str(g.add("Reshape", views, g.integers([heads, window**2, window**2])))


def _join(g: Graph, parts: list[str], *, axis: int) -> str:
    return parts[0] if len(parts) == 1 else str(g.add("Concat", *parts, axis=axis))
