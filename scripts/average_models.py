"""Averages the weights of models that come from the same training: a start that is often calmer than each.

    python scripts/average_models.py A.safetensors B.safetensors --output mean.safetensors

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
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    mean = average([escsr.load_network(model) for model in options.models])
    escsr.save_network(mean, options.output, training=f"mean of {', '.join(options.models)}")


@torch.no_grad()
def average(networks: list[ESC]) -> ESC:
    """The first of the networks, its weights replaced by the mean of all.

    Raises:
        ConfigError: They are not of one shape.
    """
    first, *others = networks
    if any(network.config != first.config for network in others):
        raise ConfigError("Only models of one variant and scale can be averaged.")
    for name, weight in first.state_dict().items():
        weight.copy_(torch.stack([network.state_dict()[name] for network in networks]).mean(0))
    return first


if __name__ == "__main__":
    main()
