"""What this installation has and lacks: devices, memory, versions, extras."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import dataclass
from tempfile import TemporaryFile

import platformdirs
import psutil
import pyvips
import torch

from escsr._version import __version__
from escsr.errors import EscError
from escsr.models.bundled import list_models
from escsr.models.checkpoints import load_network
from escsr.runtime.devices import choose_device, device_name, free_device_memory, free_host_memory
from escsr.runtime.precision import PrecisionPolicy

__all__ = ["Finding", "diagnose"]

_EXTRAS = {
    "pillow": "PIL images in Python: pip install pillow",
    "OpenImageIO": 'JPEG XL, OpenEXR and Radiance HDR: pip install "escsr[jxl,exr]"',
    "pillow-heif": 'HEIC: pip install "escsr[heic]"',
    "fastapi": 'a page and an HTTP API, escsr serve: pip install "escsr[web]"',
    "pyiqa": 'learnt measures of real photos: pip install "escsr[pyiqa]"',
}
"""Optional packages, and what each is for with its install line."""


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis.

    Attributes:
        name: What was looked at.
        value: What it is.
        advice: What to do about it, or None.
        is_fault: Whether something that is needed does not work.
    """

    name: str
    value: str
    advice: str | None = None
    is_fault: bool = False


def diagnose() -> list[Finding]:
    """Looks at devices, memory, versions, bundled models, the cache folder and optional packages.

    Returns:
        Findings, in the order to show.
    """
    return [
        Finding("escsr", __version__),
        Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Finding("PyTorch", f"{torch.__version__}, {torch.get_num_threads()} threads"),
        Finding("libvips", ".".join(str(pyvips.version(part)) for part in range(3))),
        *_devices(),
        Finding("memory", f"{_gib(free_host_memory())} free of {_gib(psutil.virtual_memory().total)}"),
        *_models(),
        _cache(),
        *(_extra(name, advice) for name, advice in _EXTRAS.items()),
    ]


def _devices() -> list[Finding]:
    chosen = choose_device("auto")
    findings = [Finding("device", f"{chosen} {device_name(chosen)}, {PrecisionPolicy(chosen).precision}")]
    if chosen.type == "cuda":
        findings.append(Finding("device memory", f"{_gib(free_device_memory(chosen))} free"))
    elif torch.version.cuda is None and chosen.type == "cpu":
        advice = "for a GPU install a build of PyTorch for it: https://pytorch.org/get-started/locally/"
        findings.append(Finding("GPU", "none that this PyTorch can use", advice))
    return findings


def _models() -> list[Finding]:
    faults = [finding for name in list_models() if (finding := _fault_of(name)) is not None]
    return faults or [Finding("bundled models", ", ".join(list_models()) or "none")]


def _fault_of(model: str) -> Finding | None:
    try:
        load_network(model)
    except EscError as error:
        return Finding(model, str(error), "install escsr again", is_fault=True)
    return None


def _cache() -> Finding:
    folder, advice = platformdirs.user_cache_path("escsr"), None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        advice = f"not writable ({error.strerror}): tile sizes and downloads are not kept"
    return Finding("cache folder", str(folder), advice)


def _extra(name: str, advice: str) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "not installed", advice)


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f} GiB"
