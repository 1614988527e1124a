"""Small networks of every variant, and where pictures for tests are."""

from __future__ import annotations

from pathlib import Path

import torch

from escsr.networks import ESC, VARIANTS, NetworkConfig

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


def small_config(variant: str, *, bias_rank: int | None = None) -> NetworkConfig:
    """A variant with its traits but few and narrow layers, and windows of 8."""
    config = VARIANTS[variant]
    return config.replace(
        dim=24,
        attended_dim=8,
        num_heads=3,
        num_blocks=2,
        num_conv_attn=2,
        window_size=8,
        bias_rank=bias_rank,
    )


def lively(network: ESC) -> ESC:
    """Makes every parameter matter: those that start at zero or one are moved away from it."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


def small_network(variant: str, *, bias_rank: int | None = None) -> ESC:
    """A lively network of `small_config`."""
    torch.manual_seed(0)
    return lively(ESC(small_config(variant, bias_rank=bias_rank)))


def call_options(network: ESC) -> dict[str, float]:
    """What a network needs to be called: a scale, where it has none of its own."""
    return {} if network.config.scale else {"scale": 2.6}


def nearest_network() -> ESC:
    """A network that repeats every pixel 2×2: all parameters are 0, the shortcut remains."""
    network = small_network("esc")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    return network
