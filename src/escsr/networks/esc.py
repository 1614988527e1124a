"""The network: shallow features, N blocks, deep features, upsampler (ESC, ICCV 2025, Eqs. 1–3)."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from numbers import Real
from typing import Any, cast, get_args

from torch import Tensor, nn

from escsr.errors import ConfigError
from escsr.networks.attention import AttentionBackend, Gate, WindowAttention
from escsr.networks.config import NetworkConfig
from escsr.networks.conv_attn import ConvAttn, DecomposedLargeKernel, DenseLargeKernel
from escsr.networks.layers import ConvFFN, LayerNorm, Scale, Size
from escsr.networks.lte import LTE
from escsr.networks.replaceable import is_replaceable, keeps_forward
from escsr.networks.stages import Stage
from escsr.networks.upsamplers import (
    ConvShortcut,
    NearestConvUpsampler,
    PixelShuffleUpsampler,
    Upsampler,
    whole_output,
)

__all__ = ["ESC", "UPSAMPLERS", "AttentionPair", "Block"]


class AttentionPair(nn.Module):
    """ConvFFN and window attention, in the place of ConvFFN and ConvAttn; ablations only."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.conv_ffn = ConvFFN(config.dim, config.ffn_ratio_first)
        self.norm = LayerNorm(config.dim)
        self.attention = WindowAttention(config)

    def forward(self, y: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W): z = ConvFFN(y); y + SelfAttn(LN(z))."""
        return y + self.attention(self.norm(self.conv_ffn(y)))


class Block(nn.Module):
    """One block: ConvFFN, window attention, M pairs of ConvFFN and ConvAttn, a 3×3 convolution."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        dim, pairs = config.dim, range(config.num_conv_attn)
        self.norm_first = LayerNorm(dim)
        self.conv_ffn_first = ConvFFN(dim, config.ffn_ratio_first)
        self.attends = config.num_attention > 0
        if self.attends:
            self.norm_attention = LayerNorm(dim)
            self.attention = WindowAttention(config)
        self.attention_pairs = nn.ModuleList(AttentionPair(config) for _ in range(1, config.num_attention))
        self.norms = nn.ModuleList(
            LayerNorm(dim) if config.norm_before_ffn else nn.Identity() for _ in pairs
        )
        self.conv_ffns = nn.ModuleList(ConvFFN(dim, config.ffn_ratio) for _ in pairs)
        self.conv_attns = nn.ModuleList(ConvAttn(config) for _ in pairs)
        self.norm_last = LayerNorm(dim)
        self.conv_last = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor, large_kernel: tuple[Tensor, ...]) -> Tensor:
        """(B, C, H, W) → (B, C, H, W); the first ConvFFN has no residual around it."""
        y = self.conv_ffn_first(self.norm_first(x))
        if self.attends:
            y = y + self.attention(self.norm_attention(y))
        for pair in self.attention_pairs:
            y = pair(y)
        for norm, conv_ffn, conv_attn in zip(self.norms, self.conv_ffns, self.conv_attns, strict=True):
            y = y + conv_attn(conv_ffn(norm(y)), large_kernel)
        return x + self.conv_last(self.norm_last(y))

    def stages(self, large_kernel: tuple[Tensor, ...]) -> Iterator[Stage]:
        """`forward`, cut where the whole picture is pooled or the windows begin."""
        is_gated = self.attends and self.attention.gate is not None
        first = "z" if is_gated else "y"  # what a margin is read of cannot be written at once
        yield Stage("conv_ffn", self.conv_ffn_first, ("x",), (), first, 1, self.norm_first)
        if self.attends:
            yield _attention_stage(self.attention, (first,), self.norm_attention)
        for pair in cast("Iterable[AttentionPair]", self.attention_pairs):
            yield Stage("conv_ffn", pair.conv_ffn, ("y",), (), "z", 1)
            yield _attention_stage(pair.attention, ("z", "y"), pair.norm)
        for norm, conv_ffn, conv_attn in zip(self.norms, self.conv_ffns, self.conv_attns, strict=True):
            assert isinstance(conv_attn, ConvAttn)
            pool = conv_attn.pool if conv_attn.estimator else None
            yield Stage("conv_ffn", conv_ffn, ("y",), (), "z", 1, norm, pool=pool)
            inputs = ("z",), ("y",), "y", conv_attn.halo, nn.Identity(), large_kernel
            yield Stage("conv_attn", conv_attn, *inputs, takes_pooled=pool is not None)
        yield Stage("block_last", self.conv_last, ("y",), ("x",), "x", 1, self.norm_last)


def _attention_stage(attention: WindowAttention, inputs: tuple[str, ...], norm: nn.Module) -> Stage:
    """Attention to the first of the inputs, added to the last; a gate reads the first with a margin."""
    haloed = inputs[:1] if attention.halo else ()
    return Stage("window_attention", attention, haloed, inputs[len(haloed) :], "y", attention.halo, norm)


class ESC(nn.Module):
    """Emulating Self-attention with Convolution: every variant of the family from one configuration.

    Args:
        config: The shape; see `variant_config` for the named ones.

    Example:
        >>> from escsr.networks import variant_config
        >>> network = ESC(variant_config("esc-light", scale=2))
        >>> network(torch.rand(1, 3, 24, 17)).shape
        torch.Size([1, 3, 48, 34])
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        is_shared = config.num_conv_attn > 0 and config.large_kernel != "unshared"
        self.large_kernel = _LARGE_KERNELS[config.large_kernel](config) if is_shared else None
        self.shallow = nn.Conv2d(3, dim, 3, padding=1)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_blocks))
        self.norm_last = LayerNorm(dim) if config.norm_last else nn.Identity()
        self.last = nn.Conv2d(dim, dim, 3, padding=1)
        self.shortcut = ConvShortcut(config) if config.shortcut == "conv" else None
        self.upsampler: Upsampler = UPSAMPLERS[config.upsampler](config)
        self.is_inference_form = False

    def forward(self, lr: Tensor, *, scale: Scale | None = None, size: Size | None = None) -> Tensor:
        """Upscales pictures: `F = conv(blocks(F_0)) + F_0`, `sr = U(F) + S(lr)`.

        Args:
            lr: (B, 3, H, W), RGB in [0, 1], any size from 1×1; never written to.
            scale: Factor of both sides, or one for rows and one for columns; LTE only, where it or `size`
                is needed.
            size: Output (rows, columns); LTE only.

        Returns:
            (B, 3, rH, rW), about [0, 1], not clamped.

        Raises:
            ConfigError: `scale` or `size` do not fit the network.
        """
        out_size = self.output_size(lr.shape[-2], lr.shape[-1], scale=scale, size=size)
        lr = self.normalise(lr)
        return self.upsampler(self.features(lr), lr, whole_output(lr, out_size))

    def sample(self, lr: Tensor, sizes: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Some pixels of results of a size of its own for each picture; LTE only.

        Args:
            lr: (B, 3, H, W), RGB in [0, 1].
            sizes: (B, 2), int64: rows and columns of each result.
            rows: (B, Q), int64: which rows the wanted pixels lie in.
            columns: (B, Q), int64: which columns.

        Returns:
            (B, 3, Q), about [0, 1]: the same pixels as of `forward`, but for rounding.
        """
        lr = self.normalise(lr)
        return self.upsampler.sample(self.features(lr), lr, sizes, rows, columns)

    def features(self, lr: Tensor) -> Tensor:
        """Everything before the upsampler: (B, 3, H, W), normalised → (B, C, H, W)."""
        large_kernel = self.shared_kernel()
        x = shallow = self.shallow(lr)
        for block in self.blocks:
            x = block(x, large_kernel)
        return self.deep(x, shallow, lr)

    def shared_kernel(self) -> tuple[Tensor, ...]:
        """LK as the blocks take it; empty where none is shared."""
        return () if self.large_kernel is None else self.large_kernel()

    def normalise(self, lr: Tensor) -> Tensor:
        """The picture in [0, 1] as the network sees it, see `Upsampler.input_range`."""
        low, high = self.upsampler.input_range
        return lr if (low, high) == (0, 1) else lr * (high - low) + low

    def deep(self, x: Tensor, shallow: Tensor, lr: Tensor) -> Tensor:
        """Features for the upsampler: conv3×3(x) + F_0 (+ ESC-Real's shortcut)."""
        features = self.last(self.norm_last(x)) + shallow
        return features if self.shortcut is None else features + self.shortcut(lr)

    def stages(self) -> list[Stage]:
        """The same as `forward`, as steps over parts of the picture.

        F_0 is computed again from the picture at the end: that is cheaper than a map to keep.

        Raises:
            ConfigError: They would not be the same, see `whole_only`.
        """
        if (name := self.whole_only()) is not None:
            raise ConfigError(
                f"{name or 'The network'} has adapters or hooks, a larger kernel, or is of a class of its "
                "own, so that the network computes whole pictures by PyTorch only: merge them first, or "
                "use backend torch."
            )
        large_kernel = self.shared_kernel()
        stages = [Stage("shallow", self.shallow, ("lr",), (), "x", 1)]
        for block in cast("Iterable[Block]", self.blocks):
            stages += block.stages(large_kernel)
        halo = 1 if self.shortcut is None else self.shortcut.halo
        stages.append(Stage("deep", self, ("x", "lr"), (), "features", halo))
        stages.append(Stage("upsample", self.upsampler, ("features", "lr"), (), "sr", self.upsampler.halo))
        names = {module: name for name, module in self.named_modules()}
        return [replace(stage, name=names[stage.module]) for stage in stages]

    def whole_only(self) -> str | None:
        """Name of a module for which `stages` would not be the same as `forward`; None where they are.

        Stages do not call the network ("") and its blocks, which must have no hooks, nor a `forward` of
        their own. Most other parts they call with margins, so that these must be of their classes, and no
        convolution in them may read further than the margins reach.
        """
        obstacle = next(chain(_obstacles(self, ESC), _far_reaching(self)), None)
        return next((name for name, module in self.named_modules() if module is obstacle), None)

    def output_size(
        self, height: int, width: int, *, scale: Scale | None = None, size: Size | None = None
    ) -> Size:
        """Size of the result for a picture of the given size: round(side · scale) for LTE.

        Raises:
            ConfigError: `scale` or `size` do not fit the network.
        """
        if size is not None:
            size = _whole_sides(size)
        fixed = self.config.scale
        if fixed is not None:
            expected = (height * fixed, width * fixed)
            if size not in (None, expected) or scale not in (None, fixed, (fixed, fixed)):
                raise ConfigError(
                    f"This network upscales by {fixed}; for other scales and sizes use an LTE model."
                )
            return expected
        if (scale is None) == (size is None):
            raise ConfigError("An LTE network needs either scale= or size=.")
        if scale is not None:
            sides = scale if isinstance(scale, tuple) else (scale, scale)
            if len(sides) != 2 or not all(isinstance(side, Real) and 0 < side < math.inf for side in sides):
                raise ConfigError(f"scale must be positive, one number or two, not {scale!r}.")
            rows, columns = map(float, sides)
            size = max(1, round(height * rows)), max(1, round(width * columns))
        assert size is not None
        if min(size) < 1:
            raise ConfigError(f"size must be at least 1×1, not {size[0]}×{size[1]}.")
        return size

    def set_attention_backend(self, backend: str) -> ESC:
        """Chooses how attention is computed in every block; see `AttentionBackend`.

        Returns:
            The network itself.

        Raises:
            ConfigError: There is no such backend.
        """
        known = get_args(AttentionBackend)
        if backend not in known:
            raise ConfigError(f"Unknown attention backend {backend!r}; known are {', '.join(known)}.")
        for module in self.modules():
            if isinstance(module, WindowAttention):
                module.backend = backend
        return self


def _obstacles(module: nn.Module, kind: type[nn.Module]) -> Iterator[nn.Module]:
    """Modules that the stages of a network, block or pair would pass over, or cannot call."""
    is_plain = keeps_forward(module, kind) and is_replaceable(module, type(module))
    if not is_plain or (isinstance(module, ESC) and type(module).features is not ESC.features):
        yield module
        return
    for name, child in module.named_children():
        for part in child if isinstance(child, nn.ModuleList) else [child]:
            if name in _HOLDERS:
                yield from _obstacles(part, _HOLDERS[name])
            elif name == "upsampler":
                yield from () if isinstance(part, Upsampler) else (part,)
            elif name in _PARTS and not keeps_forward(part, *_PARTS[name]):
                yield part


def _far_reaching(network: nn.Module) -> Iterator[nn.Module]:
    """Parts that read pixels further away than the margins of stages allow for."""
    for module in network.modules():
        for kind, places in _REACHES.items():
            if isinstance(module, kind):
                parts = ((getattr(module, name), most) for name, most in places.items())
                yield from (part for part, most in parts if _reach(part) > most)


def _reach(module: nn.Module) -> float:
    """Pixels on each side that a module's convolutions read: in turn in a sequence, else side by side."""
    if isinstance(module, nn.Conv2d):
        sides = zip(module.kernel_size, module.dilation, strict=True)
        reach = max(math.ceil((size - 1) * step / 2) for size, step in sides)
        return math.inf if reach and module.padding_mode == "circular" else reach
    reaches = [_reach(child) for child in module.children()]
    return sum(reaches) if isinstance(module, nn.Sequential) else max(reaches, default=0)


def _whole_sides(size: object) -> Size:
    """Rows and columns that a caller asks for."""
    try:
        rows, columns = map(operator.index, cast("Iterable[Any]", size))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"size must be two whole numbers, rows and columns, not {size!r}.") from error
    return rows, columns


_HOLDERS: dict[str, type[nn.Module]] = {"blocks": Block, "attention_pairs": AttentionPair}
_PARTS: dict[str, tuple[type[nn.Module], ...]] = {
    **dict.fromkeys(("conv_ffn", "conv_ffn_first", "conv_ffns"), (ConvFFN,)),
    **dict.fromkeys(
        ("norm", "norm_first", "norm_attention", "norms", "norm_last"), (LayerNorm, nn.Identity)
    ),
    "attention": (WindowAttention,),
    "conv_attns": (ConvAttn,),
    "shortcut": (ConvShortcut,),
}
"""By names of attributes: what stages do not call, and what they call with arguments of their own."""

_REACHES: dict[type[nn.Module], dict[str, int]] = {
    ESC: {"shallow": 1, "last": 1},
    Block: {"conv_last": 1},
    ConvFFN: {"expand": 0, "depthwise": 1, "reduce": 0},
    WindowAttention: {"qkv": 0, "out": 0},
    Gate: {"depthwise": 1, "project": 0},
    ConvAttn: {"fuse": 0},
    ConvShortcut: {"expand": 0, "depthwise": 3, "reduce": 0},
    PixelShuffleUpsampler: {"conv": 1},
    NearestConvUpsampler: {"convs": 1},
    LTE: {"coef": 1, "freq": 1},
}
"""Pixels on each side that parts may read, from which the margins of stages follow."""

_LARGE_KERNELS = {"dense": DenseLargeKernel, "decomposed": DecomposedLargeKernel}
UPSAMPLERS = {"pixel_shuffle": PixelShuffleUpsampler, "nearest_conv": NearestConvUpsampler, "lte": LTE}
