"""ESC: Emulating Self-attention with Convolution for Efficient Image Super-Resolution (ICCV 2025).

With ESC-RIB, its successor (Rank-factorized Implicit Neural Bias, arXiv 2603.06738).

An independent implementation by the escsr authors, MIT. Modules bear the names of the authors' checkpoints.
"""

from __future__ import annotations

import torch
from spandrel.util import store_hyperparameters
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


def reflect_pad(x: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Reflection by any number of pixels, for images of any size from 1x1."""

    def index(size: int, before: int, after: int) -> Tensor:
        period = max(1, 2 * (size - 1))
        position = torch.arange(-before, size + after, device=x.device) % period
        return torch.minimum(position, period - position)

    if top or bottom:
        x = x.index_select(-2, index(x.shape[-2], top, bottom))
    if left or right:
        x = x.index_select(-1, index(x.shape[-1], left, right))
    return x


class LayerNorm(nn.LayerNorm):
    """Over the channels of (B, C, H, W)."""

    def __init__(self, dim: int):
        super().__init__(dim, eps=1e-6)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvFFN(nn.Module):
    def __init__(self, dim: int, ratio: float):
        super().__init__()
        hidden = int(dim * ratio)
        self.proj = nn.Conv2d(dim, hidden, 1)
        self.dwc = nn.Conv2d(hidden, hidden, 3, 1, 1, groups=hidden)
        self.aggr = nn.Conv2d(hidden, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.proj(x))
        return self.aggr(F.gelu(self.dwc(x)) + x)


def coordinate_features(window_size: int, like: Tensor) -> Tensor:
    """Where each pixel of a window lies: (w*w, 42), coordinates, then sines and cosines of them."""
    centres = torch.arange(window_size, dtype=like.dtype, device=like.device) + 0.5
    centres = centres * (2 / window_size) - 1
    x, y = centres.repeat(window_size), centres.repeat_interleave(window_size)
    at = torch.stack((x, y), 1)
    powers = 2.0 ** torch.arange(10, dtype=like.dtype, device=like.device)
    angles = powers[:, None] * at[:, None]
    waves = torch.cat((angles.sin(), angles.cos()), -1)
    return torch.cat((at, waves.flatten(1)), 1)


class WindowAttention(nn.Module):
    """Windows without shift.

    With a table of relative positions, a low-rank bias (FlashBias), or one made from coordinates and
    a gate (ESC-RIB).
    """

    def __init__(
        self,
        dim: int,
        window_size: int,
        num_heads: int,
        bias_rank: int | None,
        rib_hidden_dim: int | None,
    ):
        super().__init__()
        self.window_size = window_size
        self.num_heads = num_heads
        self.bias_rank = bias_rank
        self.rib_hidden_dim = rib_hidden_dim
        self.to_qkv = nn.Conv2d(dim, 3 * dim, 1)
        self.to_out = nn.Conv2d(dim, dim, 1)
        pixels = window_size**2
        if bias_rank is None:
            table = torch.zeros(num_heads, (2 * window_size - 1) ** 2)
            self.relative_position_bias = nn.Parameter(table)
        elif rib_hidden_dim is not None:
            hidden = rib_hidden_dim
            self.to_hidden = nn.Parameter(torch.zeros(42, hidden))
            self.hidden_b = nn.Parameter(torch.zeros(1, hidden))
            self.to_q = nn.Parameter(torch.zeros(num_heads, hidden, bias_rank))
            self.to_k = nn.Parameter(torch.zeros(num_heads, hidden, bias_rank))
            self.gate = nn.Sequential(
                nn.Conv2d(dim, dim, 3, 1, 1, groups=dim), nn.Conv2d(dim, dim, 1)
            )
        else:
            self.flashbias_q = nn.Parameter(torch.zeros(num_heads, pixels, bias_rank))
            self.flashbias_k = nn.Parameter(torch.zeros(num_heads, pixels, bias_rank))

    def position_bias(self) -> Tensor:
        """(heads, w*w, w*w), queries by keys."""
        if self.rib_hidden_dim is not None:
            features = coordinate_features(self.window_size, self.to_q)
            hidden = (features @ self.to_hidden + self.hidden_b).relu()
            scale = self.to_q.shape[-1] ** -0.5
            return (hidden @ self.to_q * scale) @ (hidden @ self.to_k).transpose(-2, -1)
        if self.bias_rank is not None:
            return self.flashbias_q @ self.flashbias_k.transpose(-2, -1)
        w = self.window_size
        grid = self.relative_position_bias.reshape(-1, 2 * w - 1, 2 * w - 1)
        views = grid.unfold(1, w, 1).unfold(2, w, 1).flip(1, 2)
        return views.reshape(-1, w * w, w * w)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        w, heads = self.window_size, self.num_heads
        gate = None if self.rib_hidden_dim is None else self.gate(x).sigmoid()
        x = reflect_pad(x, 0, -width % w, 0, -height % w)
        b, c, padded_height, padded_width = x.shape
        rows, columns = padded_height // w, padded_width // w
        qkv = self.to_qkv(x).reshape(b, 3, heads, c // heads, rows, w, columns, w)
        qkv = qkv.permute(1, 0, 4, 6, 2, 5, 7, 3)
        q, k, v = qkv.reshape(3, b * rows * columns, heads, w * w, c // heads)
        bias = self.position_bias().to(q.dtype)[None]
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = x.reshape(b, rows, columns, heads, w, w, c // heads)
        x = x.permute(0, 3, 6, 1, 4, 2, 5).reshape(b, c, padded_height, padded_width)
        x = x[..., :height, :width]
        return self.to_out(x if gate is None else x * gate)


def estimator(dim: int, hidden: int) -> nn.Sequential:
    """The kernels of 3x3 that are made for each image from the mean over it."""
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(dim, hidden, 1),
        nn.GELU(),
        nn.Conv2d(hidden, dim * 9, 1),
    )


def dynamic_depthwise(x: Tensor, kernels: Tensor) -> Tensor:
    """Each channel of each image with a kernel of its own: (B, C, H, W), (B, C, k, k)."""
    b, c, height, width = x.shape
    size = kernels.shape[-1]
    kernels = kernels.reshape(b * c, 1, size, size)
    x = x.reshape(1, b * c, height, width)
    return F.conv2d(x, kernels, padding=size // 2, groups=b * c).reshape(
        b, c, height, width
    )


class DenseKernel(nn.Module):
    def __init__(self, pdim: int):
        super().__init__()
        self.dwc_proj = estimator(pdim, pdim // 2)

    def forward(self, x: Tensor, large: tuple[Tensor, ...]) -> Tensor:
        (kernel,) = large
        small = self.dwc_proj(x).reshape(x.shape[0], x.shape[1], 3, 3)
        mixed = F.conv2d(x, kernel, padding=kernel.shape[-1] // 2)
        return mixed + dynamic_depthwise(x, small)


class DecomposedKernel(nn.Module):
    def __init__(self, pdim: int):
        super().__init__()
        self.proj = estimator(pdim, pdim // 4)

    def forward(self, x: Tensor, large: tuple[Tensor, ...]) -> Tensor:
        channel, spatial = large
        small = self.proj(x).reshape(x.shape[0], x.shape[1], 3, 3)
        ring = spatial.shape[-1] // 2 - 1
        kernels = spatial[:, 0] + F.pad(small, (ring,) * 4)
        return dynamic_depthwise(F.conv2d(x, channel), kernels)


class ConvAttn(nn.Module):
    def __init__(self, dim: int, pdim: int, decomposed: bool):
        super().__init__()
        self.pdim = pdim
        self.plk = DecomposedKernel(pdim) if decomposed else DenseKernel(pdim)
        self.aggr = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor, large: tuple[Tensor, ...]) -> Tensor:
        first, rest = x.tensor_split((self.pdim,), dim=1)
        return self.aggr(torch.cat((self.plk(first, large), rest), dim=1))


class Block(nn.Module):
    def __init__(
        self,
        dim: int,
        pdim: int,
        conv_blocks: int,
        window_size: int,
        num_heads: int,
        first_ratio: float,
        ratio: float,
        use_ln: bool,
        decomposed: bool,
        bias_rank: int | None,
        rib_hidden_dim: int | None,
    ):
        super().__init__()
        pairs = range(conv_blocks)
        self.ln_proj = LayerNorm(dim)
        self.proj = ConvFFN(dim, first_ratio)
        self.ln_attn = LayerNorm(dim)
        self.attn = WindowAttention(
            dim, window_size, num_heads, bias_rank, rib_hidden_dim
        )
        self.lns = nn.ModuleList(
            LayerNorm(dim) if use_ln else nn.Identity() for _ in pairs
        )
        self.convffns = nn.ModuleList(ConvFFN(dim, ratio) for _ in pairs)
        self.pconvs = nn.ModuleList(ConvAttn(dim, pdim, decomposed) for _ in pairs)
        self.ln_out = LayerNorm(dim)
        self.conv_out = nn.Conv2d(dim, dim, 3, 1, 1)

    def forward(self, x: Tensor, large: tuple[Tensor, ...]) -> Tensor:
        y = self.proj(self.ln_proj(x))
        y = y + self.attn(self.ln_attn(y))
        for norm, ffn, conv in zip(self.lns, self.convffns, self.pconvs):
            y = y + conv(ffn(norm(y)), large)
        return x + self.conv_out(self.ln_out(y))


class Upsampler(nn.Module):
    """The output convolution, under ESC-RIB's name."""

    def __init__(self, dim: int, channels: int):
        super().__init__()
        self.up_conv = nn.Conv2d(dim, channels, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.up_conv(x)


@store_hyperparameters()
class ESC(nn.Module):
    hyperparameters = {}  # noqa: RUF012

    def __init__(
        self,
        *,
        dim: int = 64,
        pdim: int = 16,
        kernel_size: int = 13,
        n_blocks: int = 5,
        conv_blocks: int = 5,
        window_size: int = 32,
        num_heads: int = 4,
        upscaling_factor: int = 4,
        first_ratio: float = 2.0,
        ratio: float = 1.25,
        use_ln: bool = False,
        last_ln: bool = False,
        decomposed: bool = False,
        real: bool = False,
        bias_rank: int | None = None,
        rib_hidden_dim: int | None = None,
    ):
        super().__init__()
        if real and upscaling_factor != 4:
            raise ValueError("The upsampler of ESC-Real has scale 4.")
        self.upscaling_factor = upscaling_factor
        self.decomposed = decomposed
        self.real = real
        if decomposed:
            self.lk_channel = nn.Parameter(torch.zeros(pdim, pdim, 1, 1))
            self.lk_spatial = nn.Parameter(
                torch.zeros(pdim, 1, kernel_size, kernel_size)
            )
        else:
            shape = (pdim, pdim, kernel_size, kernel_size)
            self.plk_filter = nn.Parameter(torch.zeros(shape))
        self.proj = nn.Conv2d(3, dim, 3, 1, 1)
        self.blocks = nn.ModuleList(
            Block(
                dim,
                pdim,
                conv_blocks,
                window_size,
                num_heads,
                first_ratio,
                ratio,
                use_ln,
                decomposed,
                bias_rank,
                rib_hidden_dim,
            )
            for _ in range(n_blocks)
        )
        self.rib = rib_hidden_dim is not None
        last = nn.Conv2d(dim, dim, 3, 1, 1)
        self.ln_last = LayerNorm(dim) if last_ln else nn.Identity()
        self.last = nn.Sequential(LayerNorm(dim), last) if self.rib else last
        if self.rib:
            self.upsampler = Upsampler(dim, 3 * upscaling_factor**2)
        elif real:
            self.skip = nn.Sequential(
                nn.Conv2d(3, dim * 2, 1),
                nn.Conv2d(dim * 2, dim * 2, 7, groups=dim * 2),
                nn.LeakyReLU(0.2),
                nn.Conv2d(dim * 2, dim, 1),
            )
            self.to_img = nn.Sequential(
                nn.Upsample(scale_factor=2),
                nn.Conv2d(dim, dim, 3, 1, 1),
                nn.LeakyReLU(0.2),
                nn.Upsample(scale_factor=2),
                nn.Conv2d(dim, dim, 3, 1, 1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(dim, dim, 3, 1, 1),
                nn.LeakyReLU(0.2),
                nn.Conv2d(dim, 3, 3, 1, 1),
            )
        else:
            self.to_img = nn.Conv2d(dim, 3 * upscaling_factor**2, 3, 1, 1)

    def large_kernel(self) -> tuple[Tensor, ...]:
        """Shared by all blocks; the dense one looks the same from all sides."""
        if self.decomposed:
            return self.lk_channel, self.lk_spatial
        turned = (self.plk_filter, self.plk_filter.rot90(-1, (-2, -1)))
        flips = ((-1,), (-2,), (-2, -1))
        views = [v for k in turned for v in (k, *(k.flip(axes) for axes in flips))]
        return (torch.stack(views).mean(0),)

    def forward(self, x: Tensor) -> Tensor:
        large = self.large_kernel()
        features = shallow = self.proj(x)
        for block in self.blocks:
            features = block(features, large)
        features = self.last(self.ln_last(features)) + shallow
        if self.real:
            expanded = reflect_pad(self.skip[0](x), 3, 3, 3, 3)
            return self.to_img(features + self.skip[1:](expanded))
        base = F.interpolate(
            x,
            scale_factor=self.upscaling_factor,
            mode="bicubic" if self.decomposed else "nearest",
        )
        detail = self.upsampler(features) if self.rib else self.to_img(features)
        return F.pixel_shuffle(detail, self.upscaling_factor) + base
