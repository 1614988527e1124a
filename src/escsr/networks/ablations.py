"""The ablations of the paper's Table 3: ESC ×2 with one thing changed.

The paper does not give the shapes of "attention only", "ConvAttn only" and "more layers". Those here have
its parameters and multiply-accumulates to every printed digit, and were the only ones found that do, in
searches over blocks, layers and kernel sizes.
"""

from __future__ import annotations

from escsr.networks.config import NetworkConfig, variant_config

__all__ = ["ABLATIONS"]

_ESC = variant_config("esc", scale=2)

ABLATIONS: dict[str, NetworkConfig] = {
    "attention-only": _ESC.replace(num_attention=2, num_conv_attn=0),
    "conv-attn-only": _ESC.replace(num_blocks=7, num_attention=0, num_conv_attn=6, large_kernel_size=17),
    "large-kernel-9": _ESC.replace(large_kernel_size=9),
    "large-kernel-17": _ESC.replace(large_kernel_size=17),
    "unshared": _ESC.replace(large_kernel="unshared"),
    "unshared-static": _ESC.replace(large_kernel="unshared", dynamic_kernel=False),
    "window-16": _ESC.replace(window_size=16, num_conv_attn=7),
    "window-24": _ESC.replace(window_size=24, num_conv_attn=6),
}
"""Networks of Table 3 by name; "static" is without dynamic kernels."""
