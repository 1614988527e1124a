"""Files of tensors, whoever wrote them: read without running code, refused where they cannot be true."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from escsr.errors import CheckpointError, ForeignNetworkError

__all__ = ["FLOATS", "check_tensors", "read_tensor_file", "uncompiled", "unwrapped"]

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_ACCEPTED = "a safetensors file of ESC weights, or a .pth of the authors' releases"


def read_tensor_file(path: Path) -> tuple[Any, dict[str, str]]:
    """What a file holds, and its text fields.

    Args:
        path: A safetensors file, or whatever `torch.save` writes.

    Returns:
        Tensors by name, perhaps inside of other dicts; and the metadata of safetensors.

    Raises:
        CheckpointError: The file is missing, damaged, or holds more than tensors and plain values.
    """
    try:
        if path.suffix.lower() == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if sum(each.file_size for each in archive.infolist()) > path.stat().st_size:
                    raise ValueError("it unpacks to more than it holds")
        return torch.load(path, map_location="cpu", weights_only=True), {}
    except Exception as error:  # what readers raise for a crafted file is anything
        problem = f"damaged or not a checkpoint ({error!s:.200})"
        if isinstance(error, pickle.UnpicklingError):
            problem = "refused, it holds more than tensors (or is no checkpoint at all)"
        raise CheckpointError(f"{path}: {problem}; accepted is {_ACCEPTED}.") from error


def unwrapped(path: Path, content: Any) -> dict[str, Tensor]:
    """`params_ema` > `params` > LTE's model.sd > bare, without what wrappers add to names.

    Wrappers are those of several devices (`module.`) and of `torch.compile` (`_orig_mod.`).

    Args:
        path: The file, for an error.
        content: What it holds.

    Raises:
        CheckpointError: There are no names.
    """
    for key in ("model", "sd", "params_ema", "params", "state_dict", "model_state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}; accepted is {_ACCEPTED}.")
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    return {uncompiled(key).removeprefix("module."): value.detach() for key, value in tensors.items()}


def uncompiled(key: str) -> str:
    """The name of a weight without what `torch.compile` puts in front of those of its module."""
    return key.replace("_orig_mod.", "")


def check_tensors(
    path: Path, weights: Mapping[str, Tensor], dtypes: Collection[torch.dtype] | None = FLOATS
) -> None:
    """Refuses tensors that are no plain numbers, or larger than the file that holds them.

    Args:
        path: The file.
        weights: What it holds.
        dtypes: Accepted types; None for any.

    Raises:
        ForeignNetworkError: One is of another type or kind, as no network of this family has.
        CheckpointError: They are larger.
    """
    for key, value in weights.items():
        plain = value.layout is torch.strided and not value.is_nested and value.device.type == "cpu"
        if not plain or (dtypes is not None and value.dtype not in dtypes):
            kind = f"{key:.100} is {value.dtype}, {value.layout}, {value.device}"
            accepted = "" if dtypes is None else f" of {dtypes}"
            raise ForeignNetworkError(f"{path}: {kind}; accepted are dense tensors{accepted}.")
    claimed, held = sum(value.nbytes for value in weights.values()), path.stat().st_size
    if claimed > held:
        raise CheckpointError(f"{path}: its tensors claim {claimed:,} bytes, the file has {held:,}.")
