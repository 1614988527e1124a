"""ConvAttn: a large kernel shared by the whole network and small kernels made for each picture.

ESC, ICCV 2025, Eqs. 4–5 and supplementary section 6.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from escsr.networks import training_kernels
from escsr.networks.config import NetworkConfig
from escsr.networks.layers import NO_MARGIN, Margin, Projection, crop, initial
from escsr.networks.replaceable import note_symmetries

__all__ = [
    "ConvAttn",
    "DecomposedLargeKernel",
    "DenseLargeKernel",
    "average_symmetries",
    "convolve",
    "dynamic_depthwise",
]


def average_symmetries(kernel: Tensor) -> Tensor:
    """Mean of a kernel's eight flips and quarter turns: the result looks the same from all sides.

    Args:
        kernel: (..., k, k).

    Returns:
        The mean, same shape.
    """
    bases, flips = (kernel, kernel.rot90(-1, (-2, -1))), ((-1,), (-2,), (-2, -1))
    views = [view for base in bases for view in (base, *map(base.flip, flips))]  # eight of (..., k, k)
    return torch.stack(views).mean(0)


class DenseLargeKernel(nn.Module):
    """LK of Eq. 4: one kernel over all attended channels, shared by every ConvAttn.

    Differs from the paper: averaged over its flips and quarter turns before use and initialised
    orthogonally, as the published weights were.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels, size = config.attended_dim, config.large_kernel_size
        self.weight = initial(nn.init.orthogonal_, channels, channels, size, size)
        self.averaged: Tensor | None
        self.register_buffer("averaged", None, persistent=False)

    def forward(self) -> tuple[Tensor, ...]:
        """Returns the effective kernel, ((C_a, C_a, k, k),); in the inference form the one made there."""
        averaged = average_symmetries(self.weight) if self.averaged is None else self.averaged
        return (note_symmetries(averaged),)


class DecomposedLargeKernel(nn.Module):
    """LK of ESC-FP: LK^c mixes channels (1×1), LK^s convolves each channel (depthwise k×k)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels, size = config.attended_dim, config.large_kernel_size
        self.channel = initial(nn.init.normal_, channels, channels, 1, 1)
        self.spatial = initial(nn.init.orthogonal_, channels, 1, size, size)

    def forward(self) -> tuple[Tensor, ...]:
        """Returns LK^c (C_a, C_a, 1, 1) and LK^s (C_a, 1, k, k)."""
        return (self.channel, self.spatial)


def convolve(x: Tensor, kernel: Tensor, margin: Margin = NO_MARGIN, groups: int = 1) -> Tensor:
    """Convolution padded with zeros to equal size, computed only inside a margin.

    Args:
        x: (B, C, top + H + bottom, left + W + right).
        kernel: (C', C / groups, k, k), k odd.
        margin: Pixels of `x` whose result is not wanted; they stand where zeros would.
        groups: As for `torch.nn.functional.conv2d`.

    Returns:
        (B, C', H, W).
    """
    radius = kernel.shape[-1] // 2
    if margin == NO_MARGIN:
        return F.conv2d(x, kernel, padding=radius, groups=groups)
    return F.conv2d(F.pad(x, [radius - pixels for pixels in margin]), kernel, groups=groups)


def dynamic_depthwise(x: Tensor, kernels: Tensor, margin: Margin = NO_MARGIN) -> Tensor:
    """Convolves each channel of each image with a kernel of its own; see `convolve`.

    Args:
        x: (B, C, top + H + bottom, left + W + right).
        kernels: (B, C, k, k), k odd.
        margin: See `convolve`.

    Returns:
        (B, C, H, W).
    """
    batch, channels = x.shape[:2]
    if batch == 0:  # a convolution of no groups is none
        return crop(x, margin)
    images = x.reshape(1, batch * channels, *x.shape[2:])  # (1, B·C, top + H + bottom, …)
    kernel = kernels.reshape(batch * channels, 1, *kernels.shape[2:])  # (B·C, 1, k, k)
    out = convolve(images, kernel, margin, groups=batch * channels)
    return out.reshape(batch, channels, *out.shape[2:])  # (B, C, H, W)


class ConvAttn(nn.Module):
    """Convolutional attention of Eqs. 4–5 on the first C_a channels; the others pass unchanged.

    Dense: `attended ⊗ LK + attended ⊗ DK`. Decomposed (ESC-FP): `(attended ⊗ LK^c) ⊗ (DK + LK^s)`.
    DK is a 3×3 depthwise kernel per image, estimated from the mean of the attended channels.
    In ablations the module has an LK of its own, with a bias, and may do without DK.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        attended, hidden, size = config.attended_dim, config.estimator_dim, config.large_kernel_size
        self.attended_dim, self.halo = attended, size // 2
        self.decomposed = config.large_kernel == "decomposed"
        is_unshared = config.large_kernel == "unshared"
        self.own = nn.Conv2d(attended, attended, size, padding=size // 2) if is_unshared else None
        self.estimator: nn.Sequential | None = None
        if config.dynamic_kernel:
            squeeze, kernels = nn.Conv2d(attended, hidden, 1), nn.Conv2d(hidden, attended * 9, 1)
            self.estimator = nn.Sequential(squeeze, nn.GELU(), kernels)
            if not self.decomposed:
                for parameter in kernels.parameters():
                    nn.init.zeros_(parameter)
        self.fuse = Projection(config.dim, config.dim)

    def pool(self, z: Tensor) -> Tensor:
        """Mean of the attended channels over the picture: (B, C, H, W) → (B, C_a, 1, 1)."""
        return z[:, : self.attended_dim].mean((-2, -1), keepdim=True)

    def forward(
        self,
        z: Tensor,
        large_kernel: tuple[Tensor, ...],
        pooled: Tensor | None = None,
        margin: Margin = NO_MARGIN,
    ) -> Tensor:
        """Applies the module.

        Args:
            z: (B, C, H, W) and a margin, the output of a ConvFFN.
            large_kernel: The shared kernel, from `DenseLargeKernel` or `DecomposedLargeKernel`; empty
                where there is none.
            pooled: (B, C_a, 1, 1), `pool` of the whole picture where `z` is a part of it.
            margin: Pixels around the part whose result is wanted.

        Returns:
            (B, C, H, W), to be added to the stream.
        """
        small = None
        if self.estimator is not None:
            kernels = self.estimator(self.pool(z) if pooled is None else pooled)  # (B, 9·C_a, 1, 1)
            small = kernels.reshape(-1, self.attended_dim, 3, 3)  # DK, (B, C_a, 3, 3)
        if margin == NO_MARGIN and not self.decomposed and self.own is None:
            merged = training_kernels.convolve_first(z, large_kernel[0], small)
            if merged is not None:
                return self.fuse(merged)
        attended, identity = z.tensor_split((self.attended_dim,), dim=1)
        if self.decomposed:
            assert small is not None
            channel, spatial = large_kernel
            ring = spatial.shape[-1] // 2 - 1
            kernel = spatial[:, 0] + F.pad(small, (ring,) * 4)
            mixed = dynamic_depthwise(F.conv2d(attended, channel), kernel, margin)
        else:
            mixed = self._large(attended, large_kernel, margin)
            if small is not None:
                mixed = mixed + dynamic_depthwise(attended, small, margin)
        return self.fuse(torch.cat((mixed, crop(identity, margin)), dim=1))

    def _large(self, attended: Tensor, large_kernel: tuple[Tensor, ...], margin: Margin) -> Tensor:
        """LK alone: attended ⊗ LK."""
        if self.own is None:
            (dense,) = large_kernel
            return convolve(attended, dense, margin)
        assert self.own.bias is not None
        return convolve(attended, self.own.weight, margin) + self.own.bias[:, None, None]
