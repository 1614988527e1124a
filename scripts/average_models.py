"""Averages the weights of models that come from the same training: a start that is often calmer than each.

    python scripts/average_models.py A.safetensors B.safetensors --output mean.safetensors
    python scripts/average_models.py A.safetensors B.safetensors --shares 4 1 --output mean.safetensors

"Model soups" (Wortsman et al., ICML 2022). Trainings must share their beginning; else the mean is no model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import escsr
from escsr.errors import ConfigError
from escsr.networks import ESC


def main() -> None:
    """Writes the mean."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+")
    parser.add_argument("--shares", type=float, nargs="+", help="of each in the mean; default: equal")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    shares = options.shares or [1.0] * len(options.models)
    if len(shares) != len(options.models) or sum(shares) <= 0:
        parser.error("--shares: one number for each model, their sum above 0")
    mean = average([escsr.load_network(model) for model in options.models], shares)
    parts = ", ".join(f"{share:g} {model}" for share, model in zip(shares, options.models, strict=True))
    escsr.save_network(mean, options.output, training=f"mean of {parts}")


@torch.no_grad()
def average(networks: list[ESC], shares: list[float]) -> ESC:
    """The first of the networks, its weights replaced by the mean of all, summed in double precision.

    Args:
        networks: One for each share.
        shares: Of any sum above 0.

    Raises:
        ConfigError: They are not of one shape.
    """
    first, *others = networks
    if any(network.config != first.config for network in others):
        raise ConfigError("Only models of one variant and scale can be averaged.")
    others_states = [network.state_dict() for network in others]
    for name, weight in first.state_dict().items():
        weights = [weight, *(state[name] for state in others_states)]
        total = sum(share * each.double() for share, each in zip(shares, weights, strict=True))
        weight.copy_(total / sum(shares))
    return first


if __name__ == "__main__":
    main()
