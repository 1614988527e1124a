"""Runtimes that compute graphs on the CPU: ONNX Runtime and OpenVINO, each in float32 and no lower."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from escsr.exports.packages import package

__all__ = ["Load", "Run", "open_runtime"]

Run = Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float32]]
"""A graph that is loaded: inputs by name → its output; threads may share it."""

Load = Callable[[bytes, bool], Run]
"""Loads a graph, a serialized `onnx.ModelProto`. The second argument says whether it is to stay: then the
memory it works in is free again after each call, else once the `Run` is dropped, which is faster."""


def open_runtime(backend: str) -> Load:
    """What loads graphs into a runtime, which computes with as many threads as PyTorch.

    Args:
        backend: "onnx" or "openvino".

    Raises:
        ConfigError: It is not installed; with the line that installs it.
    """
    return {"onnx": _onnxruntime, "openvino": _openvino}[backend]()


def _onnxruntime() -> Load:
    package("onnx")
    runtime = package("onnxruntime")

    def load(graph: bytes, stays: bool) -> Run:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        session = runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        how = runtime.RunOptions()
        if stays:
            how.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

        def run(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
            try:
                return session.run(None, inputs, how)[0]
            except Exception as error:  # its errors are of kinds of their own
                raise RuntimeError(f"ONNX Runtime: {error}") from error

        return run

    return load


def _openvino() -> Load:
    package("onnx", extra="openvino")
    runtime = package("openvino")
    core = runtime.Core()

    def load(graph: bytes, stays: bool) -> Run:
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",  # else it takes bfloat16 where the CPU has it: 2e-2 away
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
        }
        compiled, lock = core.compile_model(core.read_model(graph), "CPU", settings), threading.Lock()
        taken = {
            name for port in compiled.inputs for name in port.names
        }  # without those that nothing reads

        def run(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
            with lock:  # its request is for one at a time
                result = compiled({name: inputs[name] for name in taken & inputs.keys()})[0].copy()
                if stays:
                    compiled.release_memory()
                return result

        return run

    return load
