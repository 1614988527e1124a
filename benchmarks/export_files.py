"""Exported files against the networks: every bundled model of a fixed scale, at sizes from 1×1.

    python benchmarks/export_files.py

Records results/exports/exactness.json: largest difference of ONNX Runtime and OpenVINO (float32) from
PyTorch on noise of each size, and of all three from PyTorch in float64; sizes of the files over the float32
weights; and how far files of float16 are off on a photo. Stops where a file is not what
docs/integrations.md promises.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino
import torch
from numpy.typing import NDArray

from conditions import record
from escsr import images
from escsr.exports import export
from escsr.models.bundled import list_models
from escsr.models.checkpoints import load_network
from escsr.networks import ESC

SIZES = ((1, 1), (7, 5), (31, 33), (32, 32), (65, 97), (128, 96))
MOST = 5e-6
PHOTO = Path("examples/flowers.png")

Run = Callable[[NDArray[Any]], NDArray[Any]]


def main() -> None:
    """Goes through the models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", nargs="+", default=list_models())
    options = parser.parse_args()
    rows = []
    for name in options.models:
        network = load_network(name).requires_grad_(False)
        if network.config.scale is not None:
            with TemporaryDirectory() as folder:
                rows.append(_row(name, network, Path(folder)))
            print(rows[-1], flush=True)
    versions = {each.__name__: each.__version__ for each in (onnx, onnxruntime, openvino)}
    print(record("exports/exactness", {"rows": rows, "versions": versions}))


def _row(name: str, network: ESC, folder: Path) -> dict[str, Any]:
    weights = 4 * sum(parameter.numel() for parameter in network.parameters())
    graph = export(name, output=folder / "model.onnx")
    model = export(name, to="openvino", output=folder / "model.xml")
    _check(graph, network)
    runs = {"onnxruntime": _onnxruntime(graph), "openvino": _openvino(model)}
    differences = {
        f"{height}x{width}": _differences(network, runs, height, width) for height, width in SIZES
    }
    binary = model.with_suffix(".bin").stat().st_size
    ratios = {
        "onnx": graph.stat().st_size / weights,
        "openvino .bin": binary / weights,
        "openvino .xml": model.stat().st_size / weights,
    }
    assert ratios["onnx"] < 1.3
    return {
        "model": name,
        "max_differences": differences,
        "bytes_over_float32_weights": ratios,
        "float16": _half(name, network, folder),
    }


def _check(path: Path, network: ESC) -> None:
    """The checker in full, and strict inference of shapes at 64×64."""
    graph = onnx.load(path)
    onnx.checker.check_model(graph, full_check=True)
    for axis in (2, 3):
        graph.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 64
        graph.graph.output[0].type.tensor_type.shape.dim[axis].Clear()
    inferred = onnx.shape_inference.infer_shapes(graph, check_type=True, strict_mode=True, data_prop=True)
    side = 64 * (network.config.scale or 0)
    dims = [dim.dim_value for dim in inferred.graph.output[0].type.tensor_type.shape.dim]
    assert dims == [1, 3, side, side], dims


def _half(name: str, network: ESC, folder: Path) -> dict[str, dict[str, float]]:
    """Files of float16 on a photo: largest difference, and share of 8-bit values that differ."""
    pixels = images.read(PHOTO).colour[160:288, 224:352]
    lr = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
    expected = network(lr).numpy()
    graph = _onnxruntime(export(name, output=folder / "half.onnx", half=True))
    model = _openvino(export(name, to="openvino", output=folder / "half.xml", half=True))
    results = {
        "onnxruntime": graph(lr.numpy().astype(np.float16)).astype(np.float32),
        "openvino": model(lr.numpy()),
    }
    return {
        runtime: {
            "max_difference": float(np.abs(result - expected).max()),
            "share_of_8_bit_values_that_differ": float((_levels(result) != _levels(expected)).mean()),
        }
        for runtime, result in results.items()
    }


def _levels(values: NDArray[Any]) -> NDArray[Any]:
    return np.rint(values.clip(0, 1) * 255)


def _differences(network: ESC, runs: dict[str, Run], height: int, width: int) -> dict[str, float]:
    """Within the limit of PyTorch, or else no farther from float64 than PyTorch itself is."""
    lr = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    exact = copy.deepcopy(network).double()(lr.double()).numpy()
    expected = network(lr).numpy()
    found = {"torch from float64": float(np.abs(expected - exact).max())}
    for name, run in runs.items():
        result = run(lr.numpy())
        found[f"{name} from torch"] = float(np.abs(result - expected).max())
        found[f"{name} from float64"] = float(np.abs(result - exact).max())
        is_near = found[f"{name} from torch"] <= MOST
        assert is_near or found[f"{name} from float64"] <= found["torch from float64"], found
    return found


def _onnxruntime(path: Path) -> Run:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda lr: session.run(None, {"input": lr})[0]


def _openvino(path: Path) -> Run:
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda lr: compiled(lr)[0].copy()


if __name__ == "__main__":
    main()
