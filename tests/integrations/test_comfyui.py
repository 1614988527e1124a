"""The ComfyUI node by its class, without ComfyUI; its hooks are those of ComfyUI's source, as stand-ins."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import escsr
from escsr.models import bundled
from escsr.models.saving import save_network
from samples import ROOT, flowers, save_form, small_network

FOLDER = ROOT / "contrib" / "comfyui"


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """As ComfyUI imports a folder of custom nodes."""
    spec = importlib.util.spec_from_file_location(
        "esc_upscale", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "esc_upscale", module)
    spec.loader.exec_module(module)
    yield module
    for name in [name for name in sys.modules if name.startswith("esc_upscale.")]:
        del sys.modules[name]


@pytest.fixture
def picture() -> torch.Tensor:
    pixels = flowers()[100:137, 200:241]
    return torch.from_numpy(pixels.astype(np.float32) / 255)[None]


def run(nodes: Any, **inputs: Any) -> torch.Tensor:
    """As ComfyUI runs a node: made by its mapping, called by the name of its function."""
    kind = nodes.NODE_CLASS_MAPPINGS["ESCUpscale"]
    accepted = kind.INPUT_TYPES()
    assert set(accepted["required"]) <= set(inputs) <= {*accepted["required"], *accepted["optional"]}
    result = getattr(kind(), kind.FUNCTION)(**inputs)
    assert len(result) == len(kind.RETURN_TYPES) == 1
    larger: torch.Tensor = result[0]
    return larger


def planes(picture: torch.Tensor) -> torch.Tensor:
    return picture.permute(0, 3, 1, 2).contiguous()


def with_comfy(monkeypatch: pytest.MonkeyPatch, *, folder: Path | None = None) -> dict[str, Any]:
    """Stand-ins for the modules of ComfyUI that the node looks for."""
    seen: dict[str, Any] = {"steps": [], "interrupted": False}
    utilities, management, folders = (ModuleType(name) for name in ("utils", "management", "folder_paths"))

    class ProgressBar:
        def __init__(self, total: int) -> None:
            seen["total"] = total

        def update_absolute(self, value: int, total: int | None = None) -> None:
            seen["steps"].append(value)

    def throw_exception_if_processing_interrupted() -> None:
        if seen["interrupted"]:
            raise InterruptedError

    utilities.ProgressBar = ProgressBar  # type: ignore[attr-defined]
    management.throw_exception_if_processing_interrupted = throw_exception_if_processing_interrupted  # type: ignore[attr-defined]
    management.get_torch_device = lambda: torch.device("cpu")  # type: ignore[attr-defined]
    files = {} if folder is None else {path.name: str(path) for path in folder.iterdir()}
    folders.get_filename_list = lambda kind: sorted(files)  # type: ignore[attr-defined]
    folders.get_full_path = lambda kind, name: files.get(name)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "comfy", ModuleType("comfy"))
    monkeypatch.setitem(sys.modules, "comfy.utils", utilities)
    monkeypatch.setitem(sys.modules, "comfy.model_management", management)
    monkeypatch.setitem(sys.modules, "folder_paths", folders)
    return seen


CASES = [("auto", 2.0), ("esc-light", 2.7), ("real", 4.0), ("esc-lte", 1.5)]


@pytest.mark.parametrize(("model", "scale"), CASES)
def test_the_result_is_our_upscalers(nodes: Any, picture: torch.Tensor, model: str, scale: float) -> None:
    larger = run(nodes, image=picture, model=model, scale=scale)
    upscaler = escsr.Upscaler(model, scale=scale, device="cpu")
    expected = upscaler(planes(picture), scale=scale).permute(0, 2, 3, 1)
    assert larger.dtype == torch.float32
    assert larger.is_contiguous()
    assert torch.equal(larger, expected)


def test_strength_counts_where_there_are_two_forms(
    nodes: Any, picture: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate(("esc-real-light-x2", "esc-real-light-gan-x2", "esc-real-light-x4")):
        save_form(tmp_path / f"{name}.safetensors", int(name[-1]), seed=seed)
    there = {path.stem: path for path in tmp_path.iterdir()}
    monkeypatch.setattr(bundled, "_bundled", lambda: there)
    for scale, strength in ((2.0, 0.2), (2.0, 1.0), (4.0, 0.2)):
        larger = run(nodes, image=picture, model="real", scale=scale, strength=strength)
        own = strength if scale == 2 else None
        expected = escsr.Upscaler("real", scale=scale, strength=own, device="cpu")(planes(picture))
        assert torch.equal(larger, expected.permute(0, 2, 3, 1))
    run(nodes, image=picture, model="esc-real-light-x4", scale=4.0, strength=0.2)


def test_batches_and_opacity(nodes: Any, picture: torch.Tensor) -> None:
    batch = torch.cat([picture, picture.flip(1), picture])
    larger = run(nodes, image=batch, model="esc-light-x2", scale=2.0)
    assert larger.shape == (3, 74, 82, 3)
    assert torch.equal(larger[0], larger[2])
    assert not torch.equal(larger[0], larger[1])
    opacity = torch.linspace(0, 1, 41).expand(1, 37, 41)[..., None]
    shown = run(nodes, image=torch.cat((picture, opacity), -1), model="esc-light-x2", scale=2.0)
    assert shown.shape == (1, 74, 82, 4)
    assert 0 <= shown.min() <= shown.max() <= 1
    assert shown[0, 0, -1, 3] > 0.9 > 0.1 > shown[0, 0, 0, 3]


def test_names_and_files(nodes: Any, picture: torch.Tensor, tmp_path: Path, monkeypatch: Any) -> None:
    save_network(small_network("esc"), tmp_path / "mine.safetensors", published_names=True)
    kind = nodes.NODE_CLASS_MAPPINGS["ESCUpscale"]
    names = kind.INPUT_TYPES()["required"]["model"][0]
    assert names[:2] == ["auto", "real"]
    assert {"esc-light", *escsr.list_models()} <= set(names)
    with_comfy(monkeypatch, folder=tmp_path)
    assert "mine.safetensors" in kind.INPUT_TYPES()["required"]["model"][0]
    larger = run(nodes, image=picture, model="mine.safetensors", scale=2.0)
    expected = escsr.Upscaler(tmp_path / "mine.safetensors", device="cpu")(planes(picture))
    assert torch.equal(larger, expected.permute(0, 2, 3, 1))


def test_progress_and_cancel(nodes: Any, picture: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = with_comfy(monkeypatch)
    inputs = {"image": picture.repeat(2, 1, 1, 1), "model": "esc-light-x2", "scale": 2.0}
    run(nodes, **inputs)
    assert seen["steps"] == sorted(seen["steps"])
    assert seen["total"] // 2 in seen["steps"]
    assert seen["steps"][-1] == seen["total"]
    seen["interrupted"] = True
    with pytest.raises(InterruptedError):
        run(nodes, **inputs)
    seen["interrupted"] = False
    assert run(nodes, **inputs).shape == (2, 74, 82, 3)


def test_the_registrys_fields() -> None:
    text = (FOLDER / "pyproject.toml").read_text()
    name = next(line for line in text.splitlines() if line.startswith("name"))
    assert "comfy" not in name.lower()
    assert f'version = "{escsr.__version__}"' in text
    assert all(field in text for field in ("Repository", "PublisherId", "DisplayName"))
    assert (FOLDER / "requirements.txt").read_text().split() == ["escsr"]
