"""ConvAttn as a layer for any network: denoising, classification, segmentation (the paper's outlook)."""

from __future__ import annotations

from torch import Tensor, nn

from escsr.errors import ConfigError
from escsr.networks.config import NetworkConfig
from escsr.networks.conv_attn import ConvAttn, DecomposedLargeKernel, DenseLargeKernel

__all__ = ["ConvAttn2d", "LargeKernel", "large_kernel"]

LargeKernel = DenseLargeKernel | DecomposedLargeKernel
"""What several `ConvAttn2d` may share."""


def large_kernel(attended_dim: int, size: int = 13, *, decomposed: bool = False) -> LargeKernel:
    """A large kernel for one layer or several; it is trained by all layers that share it.

    Args:
        attended_dim: Channels C_a that it convolves.
        size: Side k, odd.
        decomposed: 1×1 over the channels, then depthwise k×k (C_a² + k²·C_a weights, as in ESC-FP); else
            k×k over all channels at once, averaged over its flips and quarter turns (k²·C_a² weights).

    Returns:
        The kernel, a module.

    Raises:
        ConfigError: A value is impossible.

    Example:
        >>> sum(each.numel() for each in large_kernel(16, 13).parameters())
        43264
    """
    config = NetworkConfig(
        dim=attended_dim + 1,
        attended_dim=attended_dim,
        num_heads=1,
        large_kernel_size=size,
        large_kernel="decomposed" if decomposed else "dense",
    )
    return DecomposedLargeKernel(config) if decomposed else DenseLargeKernel(config)


class ConvAttn2d(nn.Module):
    """Convolutional attention for maps of any size: (B, C, H, W) → (B, C, H, W), no residual around it.

    Mixes the first C_a channels by a large kernel (LK) and by a 3×3 depthwise kernel made for each image
    from the mean of those channels (DK); the others pass; a 1×1 convolution fuses all (ESC, ICCV 2025,
    Eqs. 4–5). Each image of a batch gets the result that it gets alone.

    Args:
        dim: Channels C.
        attended_dim: Channels C_a, fewer than `dim`; None for those of `large_kernel`, or else a quarter
            of `dim`.
        large_kernel_size: Side of the layer's own LK, odd.
        large_kernel: An LK to share, made by `large_kernel`; None for one of the layer's own, dense.
        dynamic_kernel: Whether there is a DK.

    Raises:
        ConfigError: A value is impossible, alone or together with another.

    Example:
        >>> shared = large_kernel(16)
        >>> layers = nn.Sequential(*(ConvAttn2d(64, large_kernel=shared) for _ in range(5)))
        >>> layers(torch.rand(2, 64, 24, 17)).shape
        torch.Size([2, 64, 24, 17])
    """

    def __init__(
        self,
        dim: int,
        *,
        attended_dim: int | None = None,
        large_kernel_size: int = 13,
        large_kernel: LargeKernel | None = None,
        dynamic_kernel: bool = True,
    ) -> None:
        super().__init__()
        if large_kernel is not None:
            attended_dim, large_kernel_size = _shape_of(large_kernel, attended_dim)
        decomposed = isinstance(large_kernel, DecomposedLargeKernel)
        config = NetworkConfig(
            dim=dim,
            attended_dim=dim // 4 if attended_dim is None else attended_dim,
            num_heads=1,
            large_kernel_size=large_kernel_size,
            large_kernel="decomposed" if decomposed else "dense",
            dynamic_kernel=dynamic_kernel,
        )
        self.large_kernel = DenseLargeKernel(config) if large_kernel is None else large_kernel
        self.conv_attn = ConvAttn(config)

    def forward(self, z: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W), any size from 1×1."""
        return self.conv_attn(z, self.large_kernel())


def _shape_of(kernel: LargeKernel, attended_dim: int | None) -> tuple[int, int]:
    """Channels and side of a kernel to share."""
    weight = kernel.spatial if isinstance(kernel, DecomposedLargeKernel) else kernel.weight
    channels, size = len(weight), weight.shape[-1]
    if attended_dim not in (None, channels):
        raise ConfigError(
            f"attended_dim is {attended_dim}, but the large kernel has {channels} channels; leave it out."
        )
    return channels, size
