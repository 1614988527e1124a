"""The network: shallow features, N blocks, deep features, upsampler (ESC, ICCV 2025, Eqs. 1–3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from escsr.errors import ConfigError
from escsr.networks.attention import AttentionBackend, WindowAttention, check_backend
from escsr.networks.config import NetworkConfig
from escsr.networks.conv_attn import ConvAttn, DecomposedLargeKernel, DenseLargeKernel
from escsr.networks.layers import NO_MARGIN, ConvFFN, LayerNorm, Margin, crop
from escsr.networks.lte import LTE, query_axis, sampled_axis
from escsr.networks.upsamplers import ConvShortcut, NearestConvUpsampler, PixelShuffleUpsampler

__all__ = ["ESC", "AttentionPair", "Block", "Stage"]


@dataclass(frozen=True)
class Stage:
    """A step of the network that works on any part of the picture, given a margin around it.

    Attributes:
        around: FeatureStore it takes with the margin: "lr" (B, 3, H, W), "x", "y", "z" (B, C, H, W).
        at: FeatureStore it takes at the part alone; it may write one of these.
        writes: The map it makes: "x", "y", "z" or "features".
        halo: LR pixels of margin that its result depends on.
        run: (*around, *at, margin) → the map at the part; after a stage that pools
            (*around, *at, pooled, margin).
        pool: Mean over a part of the map just made, (B, C_a, 1, 1); the mean over the whole picture
            is what the next stage's `run` takes as `pooled`.
    """

    around: tuple[str, ...]
    at: tuple[str, ...]
    writes: str
    halo: int
    run: Callable[..., Tensor]
    pool: Callable[[Tensor], Tensor] | None = None


class AttentionPair(nn.Module):
    """ConvFFN and window attention, in the place of ConvFFN and ConvAttn; ablations only."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.conv_ffn = ConvFFN(config.dim, config.ffn_ratio_first)
        self.norm = LayerNorm(config.dim)
        self.attention = WindowAttention(config)

    def attend(self, z: Tensor, y: Tensor, _: Margin = NO_MARGIN) -> Tensor:
        """Attention on the ConvFFN's output z, with a residual: y + SelfAttn(LN(z))."""
        return y + self.attention(self.norm(z))


class Block(nn.Module):
    """One block: ConvFFN, window attention, M pairs of ConvFFN and ConvAttn, a 3×3 convolution."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        dim, pairs = config.dim, range(config.num_conv_attn)
        self.large_kernel_halo = config.halo
        self.norm_first = LayerNorm(dim)
        self.conv_ffn_first = ConvFFN(dim, config.ffn_ratio_first)
        if config.num_attention:
            self.norm_attention = LayerNorm(dim)
            self.attention = WindowAttention(config)
        self.attends = config.num_attention > 0
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
        y = self.first(x)
        if self.attends:
            y = self.attend(y)
        for pair in self._attention_pairs():
            y = pair.attend(pair.conv_ffn(y), y)
        for norm, conv_ffn, conv_attn in self._pairs():
            z = conv_ffn(norm(y))
            y = y + conv_attn(z, large_kernel)
        return self.last(y, x)

    def first(self, x: Tensor, margin: Margin = NO_MARGIN) -> Tensor:
        """The first ConvFFN, without a residual: ConvFFN(LN(x))."""
        return self.conv_ffn_first(self.norm_first(x), margin)

    def attend(self, y: Tensor, _: Margin = NO_MARGIN) -> Tensor:
        """Window attention with its residual: y + SelfAttn(LN(y)); windows need no margin."""
        return y + self.attention(self.norm_attention(y))

    def last(self, y: Tensor, x: Tensor, margin: Margin = NO_MARGIN) -> Tensor:
        """The block's residual: x + conv3×3(LN(y))."""
        return x + crop(self.conv_last(self.norm_last(y)), margin)

    def stages(self, large_kernel: tuple[Tensor, ...]) -> Iterator[Stage]:
        """`forward`, cut where the whole picture is pooled or the windows begin."""
        yield Stage(("x",), (), "y", 1, self.first)
        if self.attends:
            yield Stage((), ("y",), "y", 0, self.attend)
        for attention in self._attention_pairs():
            yield Stage(("y",), (), "z", 1, attention.conv_ffn)
            yield Stage((), ("z", "y"), "y", 0, attention.attend)
        for pair in self._pairs():
            yield from self._pair_stages(*pair, large_kernel)
        yield Stage(("y",), ("x",), "x", 1, self.last)

    def _pair_stages(
        self, norm: nn.Module, conv_ffn: ConvFFN, conv_attn: ConvAttn, large_kernel: tuple[Tensor, ...]
    ) -> Iterator[Stage]:
        def feed(y: Tensor, margin: Margin) -> Tensor:
            return conv_ffn(norm(y), margin)

        def mix(z: Tensor, y: Tensor, *pooled: Tensor | Margin) -> Tensor:
            *mean, margin = pooled
            return y + conv_attn(z, large_kernel, *mean, margin=margin)

        yield Stage(("y",), (), "z", 1, feed, pool=conv_attn.pool if conv_attn.estimator else None)
        yield Stage(("z",), ("y",), "y", self.large_kernel_halo, mix)

    def _attention_pairs(self) -> Iterator[AttentionPair]:
        for pair in self.attention_pairs:
            assert isinstance(pair, AttentionPair)
            yield pair

    def _pairs(self) -> Iterator[tuple[nn.Module, ConvFFN, ConvAttn]]:
        for norm, conv_ffn, conv_attn in zip(self.norms, self.conv_ffns, self.conv_attns, strict=True):
            assert isinstance(conv_ffn, ConvFFN)
            assert isinstance(conv_attn, ConvAttn)
            yield norm, conv_ffn, conv_attn


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
        self.upsampler = _UPSAMPLERS[config.upsampler](config)

    def forward(
        self,
        lr: Tensor,
        *,
        scale: float | tuple[float, float] | None = None,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Enlarges pictures: `F = conv(blocks(F_0)) + F_0`, `sr = U(F) + S(lr)`.

        Args:
            lr: (B, 3, H, W), RGB in [0, 1], any size from 1×1; never written to.
            scale: Enlargement, or one for rows and one for columns; LTE only, where it or `size`
                is needed.
            size: Output (rows, columns); LTE only.

        Returns:
            (B, 3, rH, rW), about [0, 1], not clamped.

        Raises:
            ConfigError: `scale` or `size` do not fit the network.
        """
        height, width = self.output_size(lr.shape[-2], lr.shape[-1], scale=scale, size=size)
        lr = self.normalise(lr)
        features = self.features(lr)
        if isinstance(self.upsampler, LTE):
            rows = query_axis(lr.shape[-2], height, lr.device, lr.dtype)
            columns = query_axis(lr.shape[-1], width, lr.device, lr.dtype)
            return self.upsampler(features, lr, rows, columns) * 0.5 + 0.5
        return self.upsampler(features, lr)

    def sample(self, lr: Tensor, sizes: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Some pixels of enlargements to a size of its own for each picture; LTE only.

        Args:
            lr: (B, 3, H, W), RGB in [0, 1].
            sizes: (B, 2), int64: rows and columns of each result.
            rows: (B, Q), int64: which rows the wanted pixels lie in.
            columns: (B, Q), int64: which columns.

        Returns:
            (B, 3, Q), about [0, 1]: the same pixels as of `forward`, but for rounding.
        """
        assert isinstance(self.upsampler, LTE), "only LTE takes queries"
        lr = self.normalise(lr)
        places = zip(lr.shape[-2:], sizes.unbind(1), (rows, columns), strict=True)
        axes = (sampled_axis(side, size, positions) for side, size, positions in places)
        return self.upsampler.sample(self.features(lr), lr, *axes) * 0.5 + 0.5

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
        """The picture as the network sees it: [0, 1], or [−1, 1] for LTE."""
        return (lr - 0.5) / 0.5 if isinstance(self.upsampler, LTE) else lr

    def deep(self, x: Tensor, shallow: Tensor, lr: Tensor) -> Tensor:
        """Features for the upsampler: conv3×3(x) + F_0 (+ ESC-Real's shortcut)."""
        features = self.last(self.norm_last(x)) + shallow
        return features if self.shortcut is None else features + self.shortcut(lr)

    def stages(self) -> Iterator[Stage]:
        """The network up to the features, as steps over parts; the same functions as `forward`.

        F_0 is computed again from the picture at the end: that is cheaper than a map to keep.
        """
        large_kernel = self.shared_kernel()
        yield Stage(("lr",), (), "x", 1, lambda lr, margin: crop(self.shallow(lr), margin))
        for block in self.blocks:
            assert isinstance(block, Block)
            yield from block.stages(large_kernel)
        halo = 1 if self.shortcut is None else self.shortcut.halo

        def deep(x: Tensor, lr: Tensor, margin: Margin) -> Tensor:
            return crop(self.deep(x, self.shallow(lr), lr), margin)

        yield Stage(("x", "lr"), (), "features", halo, deep)

    def output_size(
        self,
        height: int,
        width: int,
        *,
        scale: float | tuple[float, float] | None = None,
        size: tuple[int, int] | None = None,
    ) -> tuple[int, int]:
        """Size of the result for a picture of the given size: round(side · scale) for LTE.

        Raises:
            ConfigError: `scale` or `size` do not fit the network.
        """
        fixed = self.config.scale
        if fixed is not None:
            if size not in (None, (height * fixed, width * fixed)) or scale not in (
                None,
                fixed,
                (fixed, fixed),
            ):
                raise ConfigError(
                    f"This network enlarges by {fixed}; for other scales and sizes use an LTE model."
                )
            return height * fixed, width * fixed
        if (scale is None) == (size is None):
            raise ConfigError("An LTE network needs either scale= or size=.")
        if scale is not None:
            down, right = scale if isinstance(scale, tuple) else (scale, scale)
            size = max(1, round(height * down)), max(1, round(width * right))
            if not (down > 0 and right > 0):
                raise ConfigError(f"scale must be positive, not {scale}.")
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
        checked: AttentionBackend = check_backend(backend)
        for module in self.modules():
            if isinstance(module, WindowAttention):
                module.backend = checked
        return self


_LARGE_KERNELS: dict[str, type[DenseLargeKernel | DecomposedLargeKernel]] = {
    "dense": DenseLargeKernel,
    "decomposed": DecomposedLargeKernel,
}
_UPSAMPLERS: dict[str, type[PixelShuffleUpsampler | NearestConvUpsampler | LTE]] = {
    "pixel_shuffle": PixelShuffleUpsampler,
    "nearest_conv": NearestConvUpsampler,
    "lte": LTE,
}
