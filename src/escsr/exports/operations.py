"""What each stage of a network is in nodes of ONNX: the twin of `escsr.networks.stages`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from torch import nn

from escsr.errors import ConfigError
from escsr.exports import layers
from escsr.exports.attention import window_attention
from escsr.exports.graph import Graph, Length
from escsr.networks.attention import Gate, WindowAttention
from escsr.networks.conv_attn import ConvAttn
from escsr.networks.esc import ESC
from escsr.networks.implicit_bias import ImplicitBias
from escsr.networks.layers import ConvFFN, LayerNorm, Projection
from escsr.networks.replaceable import is_replaceable
from escsr.networks.stages import Operation, Stage
from escsr.networks.upsamplers import ConvShortcut, NearestConvUpsampler, PixelShuffleUpsampler

__all__ = ["Part", "add_stage"]


@dataclass(frozen=True)
class Part:
    """The part of the picture that a stage's haloed inputs, or else all of them, show.

    Attributes:
        size: H and W.
        margin: Name of int64 (top, left, bottom, right), pixels around what is wanted; "" for none.
        pooled: Name of (1, C_a, 1, 1), the mean over the whole picture; "" where the part is all of it.
    """

    size: tuple[Length, Length]
    margin: str = ""
    pooled: str = ""


def add_stage(g: Graph, stage: Stage, inputs: list[str], part: Part) -> str:
    """Adds the nodes of a stage.

    Args:
        g: The graph.
        stage: Of an inference form.
        inputs: Tensors (1, channels, H, W) in the order of `Stage.inputs`.
        part: What they show.

    Returns:
        The output of the stage.

    Raises:
        ConfigError: A module does more than its class says, which no node here would do.
    """
    _check_replaceable(stage)
    g.scope = stage.name or stage.operation
    return _ADD[stage.operation](g, stage, inputs, part)


def _check_replaceable(stage: Stage) -> None:
    """Refuses adapters and hooks, which would be left out without a word."""
    parts, module = [stage.norm, stage.module], stage.module
    if isinstance(module, ESC):  # "deep" takes these of the network
        parts = [module.shallow, module.norm_last, module.last, module.shortcut or nn.Identity()]
    if not all(is_replaceable(each, *_KNOWN) for part in parts for each in part.modules()):
        raise ConfigError(
            f"{stage.name or 'The network'} has adapters or hooks, which other runtimes and files for them "
            "do not know: merge them first, or use backend torch."
        )


def _shallow(g: Graph, stage: Stage, inputs: list[str], part: Part) -> str:
    return layers.crop(g, layers.conv(g, inputs[0], _conv(stage)), part.margin)


def _conv_ffn(g: Graph, stage: Stage, inputs: list[str], part: Part) -> str:
    module: Any = stage.module
    return layers.conv_ffn(g, layers.layer_norm(g, inputs[0], stage.norm), module, part.margin)


def _window_attention(g: Graph, stage: Stage, inputs: list[str], part: Part) -> str:
    module: Any = stage.module
    z = layers.layer_norm(g, inputs[0], stage.norm)
    y = layers.crop(g, inputs[-1], part.margin) if len(inputs) == 1 else inputs[-1]
    return g.add("Add", y, window_attention(g, z, module, part.size, part.margin))


def _conv_attn(g: Graph, stage: Stage, inputs: list[str], part: Part) -> str:
    z, y = inputs
    module = stage.module
    assert isinstance(module, ConvAttn)
    passed = module.fuse.in_channels - module.attended_dim
    attended, identity = layers.split(g, z, [module.attended_dim, passed], axis=1)
    small = ""
    if module.estimator is not None:
        small = _small_kernels(g, module.estimator, part.pooled or layers.mean(g, attended))
    mixed = _large(g, attended, stage, small, part.margin)
    joined = g.add("Concat", mixed, layers.crop(g, identity, part.margin), axis=1)
    return g.add("Add", y, layers.conv(g, joined, module.fuse))


def _small_kernels(g: Graph, estimator: nn.Sequential, pooled: str) -> str:
    """DK of the picture, (C_a, 1, 3, 3)."""
    squeeze, _, expand = cast("Iterable[nn.Conv2d]", estimator)
    kernels = layers.conv(g, layers.gelu(g, layers.conv(g, pooled, squeeze)), expand)
    return g.add("Reshape", kernels, g.integers([-1, 1, 3, 3]))


def _large(g: Graph, attended: str, stage: Stage, small: str, margin: str) -> str:
    """Eqs. 4–5: attended ⊗ LK (+ attended ⊗ DK), in ESC-FP (attended ⊗ LK^c) ⊗ (DK + LK^s)."""
    module: Any = stage.module
    groups = module.attended_dim
    if module.decomposed:
        channel, spatial = stage.large_kernel
        radius = spatial.shape[-1] // 2
        kernel = g.weight(spatial)
        if small:
            kernel = g.add("Add", kernel, g.add("Pad", small, g.integers([0, 0, *[radius - 1] * 2] * 2)))
        mixed = g.add("Conv", attended, g.weight(channel))
        return layers.convolve(g, mixed, kernel, radius, groups=groups, margin=margin)
    dense, *bias = stage.large_kernel if module.own is None else (module.own.weight, module.own.bias)
    extra = [g.weight(each) for each in bias]
    result = layers.convolve(g, attended, g.weight(dense), dense.shape[-1] // 2, *extra, margin=margin)
    if not small:
        return result
    return g.add("Add", result, layers.convolve(g, attended, small, 1, groups=groups, margin=margin))


def _block_last(g: Graph, stage: Stage, inputs: list[str], part: Part) -> str:
    y, x = inputs
    last = layers.conv(g, layers.layer_norm(g, y, stage.norm), _conv(stage))
    return g.add("Add", x, layers.crop(g, last, part.margin))


def _deep(g: Graph, stage: Stage, inputs: list[str], part: Part) -> str:
    (x, lr), network = inputs, stage.module
    assert isinstance(network, ESC)
    last = layers.conv(g, layers.layer_norm(g, x, network.norm_last), network.last)
    features = g.add("Add", last, layers.conv(g, lr, network.shallow))
    if network.shortcut is not None:
        features = g.add("Add", features, _conv_shortcut(g, network.shortcut, lr, part.size))
    return layers.crop(g, features, part.margin)


def _conv_shortcut(g: Graph, module: ConvShortcut, lr: str, size: tuple[Length, Length]) -> str:
    halo = module.halo
    h = layers.reflect_pad(g, layers.conv(g, lr, module.expand), size, halo, (halo, halo))
    return layers.conv(g, layers.leaky_relu(g, layers.conv(g, h, module.depthwise)), module.reduce)


def _upsample(g: Graph, stage: Stage, inputs: list[str], part: Part) -> str:  # noqa: ARG001
    """All of the maps given, upscaled; of a part the margin is in the result too."""
    (x, lr), module = inputs, stage.module
    if isinstance(module, PixelShuffleUpsampler):
        scale = module.scale
        detail = g.add("DepthToSpace", layers.conv(g, x, module.conv), blocksize=scale, mode="CRD")
        return g.add("Add", detail, layers.resize(g, lr, scale, module.shortcut))
    assert isinstance(module, NearestConvUpsampler)
    first, second, third, last = cast("Iterable[nn.Conv2d]", module.convs)
    for conv in (first, second):
        x = layers.leaky_relu(g, layers.conv(g, layers.resize(g, x, 2, "nearest"), conv))
    return layers.conv(g, layers.leaky_relu(g, layers.conv(g, x, third)), last)


def _conv(stage: Stage) -> nn.Conv2d:
    assert isinstance(stage.module, nn.Conv2d)
    return stage.module


_KNOWN: tuple[type[nn.Module], ...] = (
    nn.Conv2d,
    nn.GELU,
    nn.Identity,
    nn.ModuleList,
    nn.Sequential,
    ConvAttn,
    ConvFFN,
    ConvShortcut,
    Gate,
    ImplicitBias,
    LayerNorm,
    NearestConvUpsampler,
    PixelShuffleUpsampler,
    Projection,
    WindowAttention,
)
"""Classes of modules whose twins are here, and of what holds them."""

_ADD: dict[Operation, Callable[[Graph, Stage, list[str], Part], str]] = {
    "shallow": _shallow,
    "conv_ffn": _conv_ffn,
    "window_attention": _window_attention,
    "conv_attn": _conv_attn,
    "block_last": _block_last,
    "deep": _deep,
    "upsample": _upsample,
}
