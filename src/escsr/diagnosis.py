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
from escsr.kernels.cpu import native_library, why_no_library
from escsr.models.bundled import list_models
from escsr.models.checkpoints import load_network
from escsr.runtime.devices import choose_device, device_name, free_device_memory, free_host_memory
from escsr.runtime.extras import install_line
from escsr.runtime.precision import PrecisionPolicy

__all__ = ["Finding", "diagnose"]

_EXTRAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "OpenImageIO": ("JPEG XL, OpenEXR and Radiance HDR", ("jxl", "exr")),
    "pillow-heif": ("HEIC", ("heic",)),
    "rawpy": ("camera raw", ("raw",)),
    "onnxruntime": ("export to ONNX and --backend onnx", ("onnx",)),
    "openvino": ("export to OpenVINO and --backend openvino", ("openvino",)),
    "huggingface_hub": ("models on the Hugging Face Hub", ("hub",)),
    "spandrel": ("models of other architectures", ("spandrel",)),
    "av": ("videos", ("video",)),
    "ray": ("many machines, escsr fleet", ("fleet",)),
    "fastapi": ("a page and an HTTP API, escsr serve", ("web",)),
    "matplotlib": ("figures of analyses and benchmarks", ("plots",)),
    "pyiqa": ("learned metrics for real photos", ("pyiqa",)),
    "tensorboard": ("training logs in TensorBoard", ("tensorboard",)),
    "wandb": ("training logs at Weights & Biases", ("wandb",)),
}
"""Optional packages, what each is for, and the extras that install it."""


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
        _kernels(),
        Finding("memory", f"{_gib(free_host_memory())} free of {_gib(psutil.virtual_memory().total)}"),
        *_models(),
        _cache(),
        *(_extra(name, *what) for name, what in _EXTRAS.items()),
    ]


def _devices() -> list[Finding]:
    chosen = choose_device("auto")
    findings = [Finding("device", f"{chosen} {device_name(chosen)}, {PrecisionPolicy(chosen).precision}")]
    if chosen.type == "cuda":
        findings.append(Finding("device memory", f"{_gib(free_device_memory(chosen))} free"))
    elif torch.version.cuda is None and chosen.type == "cpu":
        advice = "to use a GPU, install a PyTorch build for it: https://pytorch.org/get-started/locally/"
        findings.append(Finding("GPU", "none that this PyTorch can use", advice))
    return findings


def _kernels() -> Finding:
    library = native_library()
    if library is None:
        advice = (
            "install escsr again where a C++17 compiler is found (g++ or clang++): twice as fast on a CPU"
        )
        return Finding("CPU kernels", f"none: {why_no_library()}", advice)
    products = "float32 and bfloat16" if library.has_bfloat16 else "float32"
    threads = (
        "the threads of PyTorch" if library.shares_threads else "one thread: no OpenMP runtime was found"
    )
    return Finding("CPU kernels", f"{library.name} ({products}), {threads}")


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
        advice = f"not writable ({error.strerror}): downloads and measured tile sizes are not kept"
    return Finding("cache folder", str(folder), advice)


def _extra(name: str, purpose: str, extras: tuple[str, ...]) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "not installed", f"for {purpose}: {install_line(*extras)}")


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f} GiB"
