"""A process that was forked after the libraries' threads began would wait for them for ever."""

from __future__ import annotations

import os

from escsr.errors import DeviceError

__all__ = ["claim_process"]

_owners: list[int] = []
"""The process that first computed or read an image; a fork inherits the entry, a new program does not."""


def claim_process() -> None:
    """Called before work that starts threads (OpenMP's, libvips's), which a fork does not inherit.

    Raises:
        DeviceError: This process was forked from one that had worked already.
    """
    if not _owners:
        _owners.append(os.getpid())
    elif _owners[0] != os.getpid():
        raise DeviceError(
            "This process was forked from one that had already used escsr. The threads of PyTorch and "
            "libvips do not live on in it, so it would hang; start processes by "
            'multiprocessing.get_context("spawn").'
        )
