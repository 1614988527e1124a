"""`escsr export`: files that other programs open, and what they say of themselves."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands import escsr_command
from escsr.errors import ConfigError, ModelNotFoundError, OutputError
from escsr.exports import export
from escsr.files import sha256_of
from escsr.models.bundled import find_model
from escsr.models.checkpoints import load_network
from escsr.models.saving import save_network
from escsr.runtime.extras import install_line
from samples import small_network

onnx = pytest.importorskip("onnx", reason='needs pip install "escsr[onnx]"')

MODEL = "esc-light-x2"


@pytest.fixture(scope="module")
def lr() -> torch.Tensor:
    return torch.rand(1, 3, 41, 67, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def expected(lr: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(load_network(MODEL)(lr).numpy())


def test_a_bundled_model_in_onnx_runtime(tmp_path: Path, lr: torch.Tensor, expected: np.ndarray) -> None:
    runtime = pytest.importorskip("onnxruntime", reason='needs pip install "escsr[onnx]"')
    path = export(MODEL, output=tmp_path / "model.onnx")
    parameters = sum(weight.numel() for weight in load_network(MODEL).parameters())
    assert path.stat().st_size < 1.3 * 4 * parameters
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert np.abs(session.run(None, {"input": lr.numpy()})[0] - expected).max() <= 5e-6
    told = session.get_modelmeta().custom_metadata_map
    assert told["scale"] == "2"
    assert told["window"] == "32"
    assert told["colour_order"] == "RGB"
    assert told["input_range"] == "0 to 1"
    assert told["licence"] == "MIT"
    assert told["sha256"] == sha256_of(find_model(MODEL))


@pytest.mark.parametrize("half", [False, True])
def test_a_bundled_model_in_openvino(
    tmp_path: Path, lr: torch.Tensor, expected: np.ndarray, half: bool
) -> None:
    openvino = pytest.importorskip("openvino", reason='needs pip install "escsr[openvino]"')
    path = export(MODEL, to="openvino", output=tmp_path / "model.xml", half=half)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model.bin", "model.xml"]
    parameters = sum(weight.numel() for weight in load_network(MODEL).parameters())
    size = sum(each.stat().st_size for each in tmp_path.iterdir())
    assert size < 1.3 * 4 * parameters
    assert (tmp_path / "model.bin").stat().st_size < 1.01 * (2 if half else 4) * parameters
    core = openvino.Core()
    model = core.read_model(path)
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert np.abs(compiled(lr.numpy())[0] - expected).max() <= (1e-2 if half else 5e-6)
    assert model.get_rt_info(["escsr", "colour_order"]).value == "RGB"
    assert model.get_rt_info(["escsr", "sha256"]).value == sha256_of(find_model(MODEL))


def test_names_and_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_network(small_network("esc"), tmp_path / "mine.safetensors", licence="CC0")
    assert export("mine.safetensors") == Path("mine.onnx")
    sixteen, opset = np.array([16, 17])  # whole numbers of NumPy's kind are such too
    assert export("mine.safetensors", static=sixteen, opset=opset, half=True) == Path("mine-16-fp16.onnx")
    graph = onnx.load("mine-16-fp16.onnx")
    assert [dim.dim_value for dim in graph.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 16, 16]
    assert graph.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
    assert {"licence": "CC0", "window": "8"}.items() <= {
        entry.key: entry.value for entry in graph.metadata_props
    }.items()


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    for settings, message in (
        ({"to": "tensorrt"}, "onnx, openvino"),
        ({"static": 0}, "static"),
        ({"static": 64.0}, "static must be a whole number of pixels from 1 to 8192, not 64.0"),
        ({"static": "64"}, "static must be a whole number"),
        ({"static": True}, "static must be a whole number"),
        ({"opset": 16}, "opset"),
        ({"opset": 20.0}, "opset must be a whole number from 17 to 23, not 20.0"),
    ):
        with pytest.raises(ConfigError, match=message):
            export(MODEL, output=tmp_path / "model.onnx", **settings)
    with pytest.raises(OutputError, match=r"must end in \.onnx"):
        export(MODEL, output=tmp_path / "model.pt")
    with pytest.raises(OutputError, match=r"must end in \.xml"):
        export(MODEL, to="openvino", output=tmp_path / "MODEL.XML")
    with pytest.raises(OutputError, match="File name too long"):
        export(MODEL, output=tmp_path / f"{'a' * 300}.onnx")
    own = tmp_path / "model.bin"
    torch.save(small_network("esc").state_dict(), own)
    with pytest.raises(OutputError, match=r"model\.bin is what it would be made from"):
        export(own, to="openvino", output=tmp_path / "model.xml")
    with pytest.raises(ModelNotFoundError):
        export("no-such-model")
    with pytest.raises(ConfigError, match="any scale"):
        export("esc-lte", output=tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == [own]


def test_a_full_disk_leaves_nothing_of_openvino(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason='needs pip install "escsr[openvino]"')
    resource = pytest.importorskip("resource", reason="needs limits of Unix")
    save_network(small_network("esc"), own := tmp_path / "mine.safetensors")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"OpenVINO cannot write .*mine\.xml, as on a full disk"):
            export(own, to="openvino", output=tmp_path / "mine.xml")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == [own]


@pytest.mark.parametrize(
    ("to", "missing"), [("onnx", "onnx"), ("openvino", "openvino"), ("openvino", "onnx")]
)
def test_a_missing_package_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: Any, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    output = tmp_path / {"onnx": "model.onnx", "openvino": "model.xml"}[to]
    with pytest.raises(ConfigError, match=re.escape(install_line(to))):
        export(MODEL, to=to, output=output)
    assert not list(tmp_path.iterdir())


def test_the_command(tmp_path: Path) -> None:
    save_network(small_network("esc"), tmp_path / "mine.safetensors")
    command = [*escsr_command(), "export", "mine.safetensors"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "mine.onnx\n"
    assert (tmp_path / "mine.onnx").exists()


def test_openvino_reports_to_nobody() -> None:
    pytest.importorskip("openvino", reason='needs pip install "escsr[openvino]"')
    code = (
        "import sys; from escsr.exports.packages import package; package('openvino').Core(); "
        "assert not any(name.startswith('openvino_telemetry') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
