"""A process that was forked after the libraries' threads began would wait for them for ever."""

from __future__ import annotations

import os

from escsr.errors import DeviceError

__all__ = ["claim_process", "claim_threads"]

_owners: dict[str, int] = {}
"""The process that first computed or read an image ("use"), and the first in which several threads of
PyTorch worked ("threads"); a fork inherits the entries, a new program does not."""


def claim_process() -> None:
    """Called before work that starts threads (OpenMP's, libvips's), which a fork does not inherit.

    Raises:
        DeviceError: This process was forked from one that had worked already.
    """
    _claim("use")


def claim_threads() -> None:
    """Called before PyTorch works, if only on weights; what one thread does alone a fork may do too.

    Raises:
        DeviceError: This process was forked from one in which several threads of PyTorch had worked, and
            would use several itself.
    """
    import torch  # who only reads images does without

    if torch.get_num_threads() > 1:
        _claim("threads")


def _claim(kind: str) -> None:
    if _owners.setdefault(kind, os.getpid()) != os.getpid():
        raise DeviceError(
            "This process was forked from one that had already used escsr, if only to load a model. The "
            "threads of PyTorch and libvips do not live on in it, so it would hang; start processes by "
            'multiprocessing.get_context("spawn").'
        )
