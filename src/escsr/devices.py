"""Which device computes."""

from __future__ import annotations

import torch

from escsr.errors import DeviceError

__all__ = ["choose_device"]


def choose_device(device: str = "auto") -> torch.device:
    """The device to compute on.

    Args:
        device: "auto" for the first of CUDA (and ROCm), XPU, MPS, CPU that is there; or a name.

    Returns:
        The device.

    Raises:
        DeviceError: There is no such device here.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "xpu": hasattr(torch, "xpu") and torch.xpu.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return torch.device(next(name for name, available in there.items() if available))
    name, _, index = device.partition(":")
    names = ", ".join(name for name, available in there.items() if available)
    if not there.get(name) or (index and not index.isdigit()):
        raise DeviceError(f"No device {device!r} for this PyTorch ({torch.__version__}); there is {names}.")
    if name == "cuda" and index and int(index) >= torch.cuda.device_count():
        raise DeviceError(f"No device {device!r}; CUDA devices here: {torch.cuda.device_count()}.")
    return torch.device(device)
