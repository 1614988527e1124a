"""Which device computes, what it is called, and how much memory is free."""

from __future__ import annotations

import contextlib
import platform
import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from escsr.errors import DeviceError
from escsr.runtime.processor import has_bfloat16

__all__ = ["choose_device", "device_name", "free_device_memory", "free_host_memory", "multiplies_bfloat16"]

_ROOT = Path("/")
_CPU = Path("/proc/cpuinfo")


def choose_device(device: str | torch.device | None = "auto") -> torch.device:
    """The device to compute on.

    Args:
        device: "auto" for the first of CUDA (and ROCm), XPU, MPS, CPU that is there, and so is None; or
            a name, or PyTorch's own device.

    Returns:
        The device.

    Raises:
        DeviceError: There is no such device here.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "xpu": torch.xpu.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    device = "auto" if device is None else str(device)
    if device == "auto":
        return torch.device(next(name for name, available in there.items() if available))
    name, _, index = device.partition(":")
    names = ", ".join(name for name, available in there.items() if available)
    if not there.get(name) or (index and not re.fullmatch(r"[0-9]{1,3}", index)):
        raise DeviceError(f"No device {device!r} for this PyTorch ({torch.__version__}); there is {names}.")
    if name == "cuda" and index and int(index) >= torch.cuda.device_count():
        raise DeviceError(f"No device {device!r}; CUDA devices here: {torch.cuda.device_count()}.")
    return torch.device(device)


def device_name(device: torch.device) -> str:
    """What a device calls itself: the model of the GPU or of the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    with contextlib.suppress(OSError, StopIteration):
        lines = _CPU.read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 itself.

    NVIDIA's GPUs do from compute capability 8.0 on, Intel's (XPU) all do, some CPUs do (`has_bfloat16`);
    MPS counts as one that does not.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "xpu" or (device.type == "cpu" and has_bfloat16())


def free_host_memory() -> int:
    """Bytes that this process can still take: what the system has, or its control groups allow.

    Containers, batch systems such as SLURM and systemd limit memory so; a group is within the limits of
    those above it.
    """
    free = int(psutil.virtual_memory().available)
    for group, (limit, usage, inactive) in _control_groups():
        with contextlib.suppress(OSError, ValueError, KeyError):  # "max", or no such file
            most, used = (int((group / name).read_text()) for name in (limit, usage))
            parts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            free = min(free, most - used + int(parts[inactive]))
    return max(0, free)


def _control_groups() -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """Folders of the groups of this process and of those above, and what their numbers are called there.

    Inside a container the paths may be those of the host, of which only the uppermost folder is there: it
    is the container's own.
    """
    mount = _ROOT / "sys/fs/cgroup"
    with contextlib.suppress(OSError, ValueError):
        for line in (_ROOT / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                top, names = mount / "memory", _VERSION_1
            elif not controllers:
                top, names = mount, _VERSION_2
            else:
                continue
            own = top / path.lstrip("/")
            yield from ((group, names) for group in (own, *own.parents) if group.is_relative_to(top))


_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = ("memory.max", "memory.current", "inactive_file")


def free_device_memory(device: torch.device) -> int:
    """Bytes free on a device; those of the host where the device shares them or does not tell."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free_host_memory()
