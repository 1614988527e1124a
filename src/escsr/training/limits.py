"""Which batches processes can share and memory can hold, before anything is read or written."""

from __future__ import annotations

import torch

from escsr.errors import ConfigError
from escsr.runtime.devices import free_device_memory, free_host_memory
from escsr.training.config import TrainingConfig

__all__ = ["check_batch"]


def check_batch(
    config: TrainingConfig, device: torch.device, num_processes: int, *, own_network: bool = False
) -> None:
    """Refuses a batch that processes cannot share, or that cannot fit the memory.

    Args:
        config: The recipe.
        device: Where to train.
        num_processes: How many train together.
        own_network: Whether another network than the recipe's is trained, whose memory nobody knows.

    Raises:
        ConfigError: It is one of these.
    """
    _check_shares(config, num_processes)
    _check_memory(config, device, num_processes, own_network=own_network)


def _check_shares(config: TrainingConfig, num_processes: int) -> None:
    """Refuses a batch that processes cannot share."""
    shares = num_processes * config.accumulation
    if config.batch_size % shares:
        raise ConfigError(
            f"batch_size {config.batch_size} cannot be shared evenly by {num_processes} processes with "
            f"accumulation {config.accumulation}; choose a multiple of {shares}."
        )


def _check_memory(
    config: TrainingConfig, device: torch.device, num_processes: int, *, own_network: bool
) -> None:
    """Refuses a batch that cannot fit: its patches, and the output of each block, which backward needs."""
    share, network = -(-config.batch_size // num_processes), config.network
    patches = 12 * config.patch_size**2 * (1 + (network.scale or 0) ** 2) * share
    blocks = 4 * network.dim * network.num_blocks * config.patch_size**2 * share // config.accumulation
    blocks = 0 if own_network else blocks
    for place, needed, free in (
        ("memory", patches, free_host_memory()),
        (f"memory of {device}", blocks, free_device_memory(device)),
    ):
        if needed > free:
            raise ConfigError(
                f"batch_size {config.batch_size} with patch_size {config.patch_size} requires at least "
                f"{needed / 2**30:,.1f} GiB of {place}, {free / 2**30:,.1f} are free; choose a smaller "
                f"batch_size or patch_size, or a larger accumulation."
            )
